"""A Python program that makes the call with httpx."""

from __future__ import annotations

from generators.example import FILE_PARTS, Example, variable
from generators.literal import Literals

LITERALS = Literals({True: "True", False: "False", None: "None"}, "    ")
IN_A_CALL = " " * 4


def program(example: Example) -> str:
    """Prints the answer; pictures are saved."""
    lines = [_call(example.after) if example.after else "", _call(example)]
    if example.after:
        lines[0] = f'job = {lines[0]}.json()["id"]\n' if example.of_job else lines[0] + "\n"
        if example.finished:
            lines[0] += 'call("GET", f"/v1/jobs/{job}/events")\n'
    if example.form_of_answer == "events":
        path = f'"GET", f"{example.path}", headers={LITERALS.write(example.headers)}'
        lines[1] = f"with client.stream({path}) as events:\n    for line in events.iter_lines():\n        print(line)\n"
    else:
        lines[1] = f"answer = {lines[1]}\n{_shown(example)}" if _shown(example) else lines[1] + "\n"
    body = _pictures_read(example) + "".join(lines)
    return f'"""{example.summary}."""\n\n{_imports(body)}{START}{body}'


START = '''URL = os.environ.get("KERASCOPE_URL", "http://127.0.0.1:8000")
KEY = os.environ.get("KERASCOPE_KEY")
EXAMPLES = Path(__file__).parent.parent

client = httpx.Client(base_url=URL, headers={"Authorization": f"Bearer {KEY}"} if KEY else {}, timeout=120)


def call(method, path, **request):
    """The answer; a problem ends the program and says what was wrong."""
    answer = client.request(method, path, **request)
    if answer.is_error:
        problem = answer.json()
        sys.exit(f"{answer.status_code}: {problem.get('detail') or problem['error']}")
    return answer


'''


def _imports(body: str) -> str:
    names = ["base64"] if "base64." in body else []
    standard = "".join(f"import {name}\n" for name in [*names, "os", "sys"])
    return f"{standard}from pathlib import Path\n\nimport httpx\n\n"


def _pictures_read(example: Example) -> str:
    return "".join(
        f'{variable(file)} = base64.b64encode((EXAMPLES / "{file}").read_bytes()).decode()\n'
        for file in example.pictures_sent
    )


def _call(example: Example) -> str:
    prefix = "f" if "{job}" in example.path else ""
    arguments = [f'"{example.method}"', f'{prefix}"{example.path}"']
    if example.query:
        arguments.append(f"params={LITERALS.write(example.query, IN_A_CALL)}")
    if example.headers:
        arguments.append(f"headers={LITERALS.write(example.headers, IN_A_CALL)}")
    if example.file:
        arguments.append(f'content=(EXAMPLES / "{example.file}").read_bytes()')
    if example.form:
        fields = {name: value for name, value in example.form.items() if name not in FILE_PARTS}
        files = [(name, value) for name, value in example.form.items() if name in FILE_PARTS]
        if fields:
            arguments.append(f"data={LITERALS.write(fields, IN_A_CALL)}")
        arguments += [f'files={{"{name}": (EXAMPLES / "{value}").open("rb")}}' for name, value in files]
    if example.json is not None:
        arguments.append(f"json={LITERALS.write(example.json, IN_A_CALL)}")
    line = f"call({', '.join(arguments)})"
    if len(arguments) == 2 and len(line) < 100:
        return line
    return "call(\n" + "".join(f"    {argument},\n" for argument in arguments) + ")"


def _shown(example: Example) -> str:
    """What is done with the answer."""
    form = example.form_of_answer
    if form == "nothing":
        return ""
    if form == "png":
        return f'Path("{example.name}.png").write_bytes(answer.content)\n'
    save = 'Path(image["name"].replace("/", "_") + ".png").write_bytes(base64.b64decode(image["data"]))\n'
    if example.pictures == "images":
        return f'print(answer.text)\nfor image in answer.json()["images"]:\n    {save}'
    if example.pictures == "results":
        save = save.replace('image["name"].replace("/", "_") + ".png"', "name")
        return (
            'print(answer.text)\nfor result in answer.json()["results"]:\n    for image in result["images"]:\n'
            '        name = f"{result[\'name\']}-{image[\'name\']}.png".replace("/", "_")\n'
            f"        {save}"
        )
    return "print(answer.text)\n"
