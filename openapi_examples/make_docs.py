"""Writes what is generated: `openapi.json`, the examples in each language, and the tables of the README.

`python openapi_examples/make_docs.py` writes, `--check` only says what is not current and exits with 1.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from generators import http_file, javascript, python, shell
from generators.example import FOLDER, names, read

from service.api.errors import STATUS, problem_type
from service.app import create_app
from service.errors import ConfigurationError, KerascopeError
from service.explainers import EXPLAINERS
from service.settings import PREFIX, Settings

README = FOLDER.parent / "README.md"
RESULTS = FOLDER.parent / "tests" / "benchmarks" / "RESULTS.md"
SERVICE = FOLDER.parent / "service"
METHODS = FOLDER.parent / "service" / "explainers" / "README.md"


def main(check: bool) -> int:
    """Compares or writes every generated file; gives the exit code."""
    files = generated()
    stale = [path for path, text in files.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if check:
            print(f"{path.name} is not current: run `make docs`")
        else:
            path.write_text(files[path], encoding="utf-8")
            if path.suffix == ".sh":
                path.chmod(0o755)
    return 1 if check and stale else 0


def generated() -> dict[Path, str]:
    """Every generated file with its text."""
    app = create_app(Settings())
    files = {FOLDER / "openapi.json": json.dumps(app.openapi(), indent=1, ensure_ascii=False) + "\n"}
    examples = [read(name) for name in names()]
    files[FOLDER / "examples.sh"] = shell.script(examples)
    files[FOLDER / "examples.py"] = python.program(examples)
    files[FOLDER / "examples.mjs"] = javascript.module(examples)
    files[FOLDER / "examples.http"] = http_file.document(examples)
    files[METHODS] = methods_page()
    files[README] = readme(README.read_text(encoding="utf-8"))
    return files


def readme(text: str) -> str:
    """The README with its generated tables in place, each between two markers."""
    tables = {"methods": methods_table(), "settings": settings_table(), "errors": errors_table()}
    tables["scopes"] = scopes_table()
    for name, table in (tables | {"measured": measured_table()}).items():
        begin, end = f"<!-- {name}: made by `make docs` -->", f"<!-- {name} end -->"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}"
    return text


def methods_page() -> str:
    """One section a method: definitions, papers, cost in passes, when not to trust it, parameters."""
    parts = [
        "# Methods",
        "",
        "Made from the classes of this folder by `make docs`. A is the layer's activations, G = ∂y/∂A, y the target's "
        "score: the logit unless said otherwise. Raw arrays are never normalised; pictures are, as `method.parameters` "
        "of the answer says.",
    ]
    for explainer in EXPLAINERS:
        parts += ["", f"## {explainer.title}: `{explainer.name}`", "", explainer.summary, ""]
        parts += ["| variant | definition | cost in passes | when not to trust it |", "|---|---|---|---|"]
        for variant in explainer.variants:
            name = f"[{variant.name}]({variant.paper})" if variant.paper else variant.name
            parts.append(f"| {name} | {variant.summary} | {variant.passes} | {variant.caution} |")
        properties = explainer.Params.model_json_schema(by_alias=True)["properties"]
        parts += ["", "| parameter | default | what it does |", "|---|---|---|"]
        for name, schema in properties.items():
            default = "" if schema.get("default") is None else f"`{json.dumps(schema['default'])}`"
            choices = schema.get("enum") or next(
                (kind["enum"] for kind in schema.get("anyOf", []) if "enum" in kind), []
            )
            among = f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else ""
            parts.append(f"| `{name}` | {default} | {schema.get('description', '')}{among} |")
    return "\n".join(parts) + "\n"


def methods_table() -> str:
    rows = ["| method | what it shows | cost | definition |", "|---|---|---|---|"]
    for explainer in EXPLAINERS:
        variants = "; ".join(
            f"[{variant.name}]({variant.paper})" if variant.paper else variant.name for variant in explainer.variants
        )
        rows.append(f"| `{explainer.name}` | {explainer.summary} | {explainer.cost.value} | {variants} |")
    return "\n".join(rows)


def settings_table() -> str:
    rows = ["| setting | default | unit | what it does |", "|---|---|---|---|"]
    for name, info in Settings.model_fields.items():
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        default = "~/.local/share/kerascope" if info.default_factory else info.default
        shown = "" if default in (None, "") else f"`{default}`"
        rows.append(f"| `{PREFIX}{name.upper()}` | {shown} | {extra['unit']} | {info.description} |")
    return "\n".join(rows)


def errors_table() -> str:
    raised = raised_errors()
    rows = ["| status | `type` | title |", "|---|---|---|"]
    for error, status in sorted(STATUS.items(), key=lambda item: (item[1], item[0].__name__)):
        if error in raised:
            rows.append(f"| {status} | `{problem_type(error)}` | {error.title()} |")
    return "\n".join(rows)


def raised_errors() -> set[type[KerascopeError]]:
    """Gives the errors that the service makes somewhere and answers with; the others group them, or end a command."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in SERVICE.rglob("*.py"))
    made = {error for error in STATUS if re.search(rf"(?<!class )\b{error.__name__}\(", text)}
    return made - {KerascopeError, ConfigurationError}


def scopes_table() -> str:
    rows = ["| route | scope of the key |", "|---|---|"]
    for path, operations in create_app(Settings()).openapi()["paths"].items():
        rows += [f"| `{method.upper()} {path}` | {operation['x-scope']} |" for method, operation in operations.items()]
    return "\n".join(rows)


def measured_table() -> str:
    """What the last `make bench` wrote, between its title and the list of times."""
    text = RESULTS.read_text(encoding="utf-8")
    return text.partition("\n\n")[2].partition("\n\n## ")[0]


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
