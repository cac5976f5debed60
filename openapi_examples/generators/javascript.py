"""A module for Node 18 or newer that makes the call with fetch and needs no packages."""

from __future__ import annotations

import json

from generators.example import FILE_PARTS, Example, variable
from generators.literal import Literals

LITERALS = Literals({True: "true", False: "false", None: "null"}, "  ", bare_keys=True, pad=" ")

START = """const url = process.env.KERASCOPE_URL ?? "http://127.0.0.1:8000";
const key = process.env.KERASCOPE_KEY;

/** The answer; a problem ends the program and says what was wrong. */
async function call(method, path, { headers = {}, body } = {}) {
  const authorization = key ? { Authorization: `Bearer ${key}` } : {};
  const answer = await fetch(url + path, { method, headers: { ...authorization, ...headers }, body });
  if (!answer.ok) {
    const problem = await answer.json();
    console.error(`${answer.status}: ${problem.detail ?? problem.error}`);
    process.exit(1);
  }
  return answer;
}

"""


def module(example: Example) -> str:
    """Prints the answer; pictures are saved."""
    before = ""
    if example.after:
        form, call = _form(example.after), _call(example.after)
        before = form + (f"const submitted = {call};\n" if example.of_job else f"{call};\n")
        before += "const job = (await submitted.json()).id;\n" if example.of_job else ""
        if example.finished:
            before += 'await (await call("GET", `/v1/jobs/${job}/events`)).text();\n'
    shown = _shown(example)
    body = before + _read(example) + _form(example)
    body += (f"const answer = {_call(example)};\n" if shown else f"{_call(example)};\n") + shown
    used = [name for name in ("readFile", "writeFile") if name in body]
    imports = f'import {{ {", ".join(used)} }} from "node:fs/promises";\n\n' if used else ""
    return f"// {example.summary}.\n{imports}{START}{body}"


def _file(name: str) -> str:
    return f'await readFile(new URL("../{name}", import.meta.url))'


def _read(example: Example) -> str:
    return "".join(f'const {variable(file)} = ({_file(file)}).toString("base64");\n' for file in example.pictures_sent)


def _form(example: Example) -> str:
    lines = ["const form = new FormData();"] if example.form else []
    for name, value in (example.form or {}).items():
        if name in FILE_PARTS:
            lines.append(f"const {name} = {_file(value)};")
            content = f'new Blob([{name}], {{ type: "{FILE_PARTS[name]}" }})'
            lines.append(f'form.append("{name}", {content}, "{value.rsplit("/", 1)[-1]}");')
        else:
            lines.append(f'form.append("{name}", {json.dumps(value)});')
    return "".join(f"{line}\n" for line in lines)


def _call(example: Example) -> str:
    target = example.target.replace("{job}", "${job}")
    path = f"`{target}`" if "{job}" in example.path else json.dumps(target)
    headers = dict(example.headers)
    if example.json is not None:
        headers["Content-Type"] = "application/json"
    options = [f"headers: {LITERALS.write(headers, '  ')}"] if headers else []
    if example.file:
        options.append(f"body: {_file(example.file)}")
    elif example.form:
        options.append("body: form")
    elif example.json is not None:
        options.append(f"body: JSON.stringify({LITERALS.write(example.json, '  ')})")
    if not options:
        return f'await call("{example.method}", {path})'
    if options == ["body: form"]:
        return f'await call("{example.method}", {path}, {{ body: form }})'
    inside = "".join(f"  {option},\n" for option in options)
    return f'await call("{example.method}", {path}, {{\n{inside}}})'


def _shown(example: Example) -> str:
    """What is done with the answer."""
    form = example.form_of_answer
    if form == "nothing":
        return ""
    if form == "png":
        return f'await writeFile("{example.name}.png", Buffer.from(await answer.arrayBuffer()));\n'
    if form == "events":
        return "for await (const part of answer.body) process.stdout.write(part);\n"
    if example.pictures is None:
        return "console.log(await answer.text());\n"
    save = 'await writeFile(`${image.name.replaceAll("/", "_")}.png`, Buffer.from(image.data, "base64"));\n'
    found = "const found = await answer.json();\nconsole.log(JSON.stringify(found));\n"
    if example.pictures == "images":
        return f"{found}for (const image of found.images) {save}"
    save = save.replace("${image", "${result.name}-${image")
    return (
        f"{found}for (const result of found.results) {{\n  for (const image of result.images) {{\n    {save}  }}\n}}\n"
    )
