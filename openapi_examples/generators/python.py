"""One Python program in which each example is a function that makes the call with httpx."""

from __future__ import annotations

from collections.abc import Iterable

from generators.example import Example, filename
from generators.literal import Literals

LITERALS = Literals("True", "False", "None", indent="    ", picture="base64_of({})")
WIDTH = 120
IN_FUNCTION = " " * 4
IN_CALL = " " * 8

START = '''"""Every call of Kerascope with httpx, a function each.

`python examples.py` lists them, and `python examples.py cam occlusion` makes those two calls. KERASCOPE_URL and
KERASCOPE_KEY in the environment say where the service is and with which key it is called. Pictures are saved where the
program runs. `make docs` writes this file from requests/.
"""

import base64
import os
import sys
from pathlib import Path

import httpx

HERE = Path(__file__).parent
URL = os.environ.get("KERASCOPE_URL", "http://127.0.0.1:8000")
KEY = os.environ.get("KERASCOPE_KEY")


class Problem(Exception):
    """The service refused a call, and said why."""


def check(answer):
    """Raises what the service says was wrong."""
    if answer.is_error:
        answer.read()
        problem = answer.json()
        raise Problem(f"{answer.status_code}: {problem.get('detail') or problem['error']}")


client = httpx.Client(
    base_url=URL,
    headers={"Authorization": f"Bearer {KEY}"} if KEY else {},
    timeout=120,
    event_hooks={"response": [check]},
)


def read(file):
    """Gives the bytes of a file that lies beside this one."""
    return (HERE / file).read_bytes()


def base64_of(file):
    """Gives such a file as JSON holds it."""
    return base64.b64encode(read(file)).decode()


def wait_for(job):
    """Waits for a job's end, which is where its events end."""
    client.get(f"/v1/jobs/{job}/events")


def show(name, answer):
    """Prints an answer; the pictures in it are saved, under names that begin with the example's."""
    kind = answer.headers.get("Content-Type")
    if kind == "image/png":
        Path(f"{name}.png").write_bytes(answer.content)
    elif answer.content:
        print(answer.text)
    if kind == "application/json" and answer.content:
        found = answer.json()
        for result in found.get("results", [found]):
            for image in result.get("images", []):
                parts = [name, result.get("name"), image["name"]]
                file = "-".join(part for part in parts if part).replace("/", "_")
                Path(f"{file}.png").write_bytes(base64.b64decode(image["data"]))
'''

END = '''

def main(names):
    """Makes the calls of that name one after another, or lists them all; gives the exit code."""
    if not names:
        for name, example in EXAMPLES.items():
            print(f"{name:28}{example.__doc__}")
    for name in names:
        if name not in EXAMPLES:
            print(f"there is no example {name!r}; examples.py without a name lists them", file=sys.stderr)
            return 2
    for name in names:
        if len(names) > 1:
            print(f"\\n==> {name}")
        try:
            answer = EXAMPLES[name]()
        except Problem as problem:
            print(problem, file=sys.stderr)
            return 1
        if answer is not None:
            show(name, answer)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
'''


def program(examples: Iterable[Example]) -> str:
    """Gives the whole file."""
    examples = list(examples)
    functions = "".join(f'\n\ndef {each.name}():\n    """{each.summary}"""\n{_body(each)}' for each in examples)
    table = "".join(f'    "{each.name}": {each.name},\n' for each in examples)
    return f"{START}{functions}\n\nEXAMPLES = {{\n{table}}}\n{END}"


def _body(example: Example) -> str:
    lines = []
    if example.of_job:
        lines.append(f'job = {example.after}().json()["id"]')
    if example.finished:
        lines.append("wait_for(job)")
    if example.gives_events:
        lines.append(f"with {_call('client.stream', [_text(example.method), *_arguments(example)])} as events:")
        lines += ["    for line in events.iter_lines():", "        print(line)"]
    else:
        lines.append(f"return {_call(f'client.{example.method.lower()}', _arguments(example))}")
    return "".join(f"{IN_FUNCTION}{line}\n" for line in lines)


def _call(function: str, arguments: list[str]) -> str:
    """Writes a call, on one line where it fits there, as `ruff format` has it."""
    line = f"{function}({', '.join(arguments)})"
    # Before it stand the indent and `return `.
    if "\n" not in line and len(line) + len(IN_FUNCTION) + len("return ") <= WIDTH:
        return line
    return f"{function}(\n" + "".join(f"{IN_CALL}{argument},\n" for argument in arguments) + f"{IN_FUNCTION})"


def _arguments(example: Example) -> list[str]:
    arguments = [("f" if "{job}" in example.path else "") + _text(example.path)]
    if example.query:
        arguments.append(f"params={LITERALS.write(example.query, IN_CALL)}")
    if example.file:
        arguments.append(f"content=read({_text(example.file)})")
    if example.text_parts:
        arguments.append(f"data={LITERALS.write(dict(example.text_parts), IN_CALL)}")
    if example.file_parts:
        files = [
            f"{_text(name)}: ({_text(filename(path))}, read({_text(path)}))"
            for name, path in example.file_parts.items()
        ]
        arguments.append(f"files={{{', '.join(files)}}}")
    if example.json is not None:
        arguments.append(f"json={LITERALS.write(example.json, IN_CALL)}")
    if example.headers:
        arguments.append(f"headers={LITERALS.write(dict(example.headers), IN_CALL)}")
    return arguments


def _text(value: str) -> str:
    return f'"{value}"'
