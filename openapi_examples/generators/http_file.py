"""One `.http` file with every call, for the REST clients of VS Code and of JetBrains' editors."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable

from generators.example import FILE_PARTS, FOLDER, Example, filename

BOUNDARY = "part-of-the-form"
START = """# Every example, to be sent from the editor.
# Where the service has keys, add a line to the request: Authorization: Bearer <key>
# `job` is the ID that the example submit_job answers.
@url = http://127.0.0.1:8000
@job = none
"""


def document(examples: Iterable[Example]) -> str:
    """The whole file; files are read from beside it."""
    return START + "".join(f"\n### {example.name}\n# {example.summary}\n{_request(example)}" for example in examples)


def _request(example: Example) -> str:
    lines = [f"{example.method} {{{{url}}}}{example.target.replace('{job}', '{{job}}')}"]
    lines += [f"{name}: {value}" for name, value in example.headers.items()]
    if example.form:
        lines.append(f"Content-Type: multipart/form-data; boundary={BOUNDARY}")
    if example.json is not None:
        lines.append("Content-Type: application/json")
    body = _body(example)
    return "\n".join([*lines, "", *body] if body else lines) + "\n"


def _body(example: Example) -> list[str]:
    if example.file:
        return [f"< ./{example.file}"]
    if example.json is not None:
        # A file cannot be put into JSON there: the pictures that are sent so are small.
        text = json.dumps(example.json)
        for file in example.pictures_sent:
            text = text.replace(f'"{file}"', f'"{base64.b64encode((FOLDER / file).read_bytes()).decode()}"')
        return [text]
    lines = []
    for name, value in example.form.items():
        lines.append(f"--{BOUNDARY}")
        if name in FILE_PARTS:
            lines.append(f'Content-Disposition: form-data; name="{name}"; filename="{filename(value)}"')
            lines += [f"Content-Type: {FILE_PARTS[name]}", "", f"< ./{value}"]
        else:
            lines += [f'Content-Disposition: form-data; name="{name}"', "", value]
    return [*lines, f"--{BOUNDARY}--"] if lines else []
