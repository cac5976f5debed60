"""Writes what is generated: `openapi.json`, the examples in each language, and the tables of README and `docs`.

`python openapi_examples/make_docs.py` writes, `--check` only says what is not current and exits with 1.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from generators import http_file, javascript, python, shell
from generators.example import FOLDER, names, read
from make_pictures import file_of, shown

from service.api.problems import STATUS, problem_type
from service.app import create_app
from service.errors import ConfigurationError, KerascopeError
from service.explainers import EXPLAINERS, Explainer
from service.settings import PREFIX, Settings

README = FOLDER.parent / "README.md"
RESULTS = FOLDER.parent / "tests" / "benchmarks" / "RESULTS.md"
SERVICE = FOLDER.parent / "service"
DOCS = FOLDER.parent / "docs"
# The example of each method in the table of the README.
PICTURES = {
    "activations": "activations",
    "cam": "layercam",
    "saliency": "guided_gradcam",
    "occlusion": "occlusion",
    "perturbation": "kernelshap",
    "kernels": "kernels",
    "maximization": "filters_middle",
    "concepts": "concepts",
}


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
    return files | pages()


def filled(text: str, tables: Mapping[str, str]) -> str:
    """Gives a page with its generated tables in place, each between two markers."""
    for name, table in tables.items():
        begin, end = f"<!-- {name}: made by `make docs` -->", f"<!-- {name} end -->"
        before, found, rest = text.partition(begin)
        if not found or end not in rest:
            raise ValueError(f"the page has no place for the table {name!r}, between {begin} and {end}")
        text = f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}"
    return text


def pages() -> dict[Path, str]:
    """Gives the pages that are generated, in part or as a whole."""
    tables = {
        README: {"methods": methods_table()},
        DOCS / "settings.md": {"settings": settings_table()},
        DOCS / "errors.md": {"errors": errors_table()},
        DOCS / "operations.md": {"scopes": scopes_table()},
        DOCS / "measured.md": {"measured": measured_table()},
    }
    found = {path: filled(path.read_text(encoding="utf-8"), made) for path, made in tables.items()}
    return {DOCS / "methods.md": methods_page(), **found}


def methods_page() -> str:
    """Gives one section a method: definitions, papers, cost in passes, when not to trust it, parameters."""
    parts = [
        "# Methods",
        "",
        "This page is for somebody who wants to know what exactly a map or a picture shows: it lists every definition "
        "with its paper, its cost, its parameters, and when not to trust it.",
        "",
        "`make docs` makes it from the classes of the methods. In the formulas, A is the layer's activations, y the "
        "target's score (the logit unless said otherwise), and G = ∂y/∂A. Raw arrays are never normalised. Pictures "
        "are, and `method.parameters` of the answer says how. [API](api.md#parameters-of-every-method) lists the "
        "parameters that every method takes. [Coming from another tool](coming-from.md) says which call of other "
        "libraries and services each is.",
        "",
        "The small pictures are of EfficientNet-Lite0 and its most probable class of one photograph, made by `make "
        "pictures`. Behind its last convolution this network has a mean and one dense layer, for which several class "
        "activation maps are the same by definition, or nearly.",
    ]
    for explainer in EXPLAINERS:
        parts += ["", f"## {explainer.title}: `{explainer.name}`", "", explainer.summary, ""]
        parts += ["| variant | definition | cost in passes | when not to trust it |", "|---|---|---|---|"]
        for variant in explainer.variants:
            name = f"[{variant.name}]({variant.paper})" if variant.paper else variant.name
            cells = (name, variant.summary, variant.passes, variant.caution)
            parts.append(f"| {' | '.join(_cell(text) for text in cells)} |")
        parts += gallery(explainer)
        if explainer.metrics:
            parts += [
                "",
                "| metric | definition | better | cost in passes | when not to trust it |",
                "|---|---|---|---|---|",
            ]
        for metric in explainer.metrics:
            cells = (f"[{metric.name}]({metric.paper})", metric.summary, f"{metric.better}; {metric.unit}")
            parts.append(f"| {' | '.join(_cell(text) for text in (*cells, metric.passes, metric.caution))} |")
        properties = explainer.Params.model_json_schema(by_alias=True)["properties"]
        parts += ["", "| parameter | default | what it does |", "|---|---|---|"]
        for name, schema in properties.items():
            default = "" if schema.get("default") is None else f"`{json.dumps(schema['default'])}`"
            choices = schema.get("enum") or next(
                (kind["enum"] for kind in schema.get("anyOf", []) if "enum" in kind), []
            )
            among = f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else ""
            parts.append(f"| `{name}` | {default} | {_cell(schema.get('description', '') + among)} |")
    return "\n".join(parts) + "\n"


def gallery(explainer: Explainer) -> list[str]:
    """Gives the pictures of a method's variants in rows of four, each above its name; says which are missing."""
    cells: list[str] = []
    for path, name in [(file_of(each.name, name), name) for each, name in shown() if each is explainer]:
        if path.is_file():
            cells.append(f"![{explainer.title}: {name}](pictures/{path.name})<br>{name}")
        else:
            print(f"docs/pictures/{path.name} is missing: run `make pictures` beside `make serve`", file=sys.stderr)
    across = min(4, len(cells))
    lines = [""] if cells else []
    for start in range(0, len(cells), 4):
        row = cells[start : start + 4]
        lines.append(f"| {' | '.join(row + [''] * (across - len(row)))} |")
        if start == 0:
            lines.append("|" + "---|" * across)
    return lines


def _cell(text: str) -> str:
    """Keeps a bar, as in |y|, from ending a cell of a table."""
    return text.replace("|", "\\|")


def methods_table() -> str:
    """Gives a row a method, with an example from `pictures` where there is one of that name."""
    rows = ["| method | what it shows | cost | example |", "|---|---|---|---|"]
    for explainer in EXPLAINERS:
        name, title = explainer.name, explainer.title
        picture = PICTURES.get(name)
        shown = f'<img src="openapi_examples/pictures/{picture}.png" alt="{title}" width="200">' if picture else ""
        link = f"[`{name}`](docs/methods.md#{anchor(f'{title}: {name}')})"
        rows.append(f"| {link} | {explainer.summary} | {explainer.cost.value} | {shown} |")
    return "\n".join(rows)


def anchor(heading: str) -> str:
    """Gives the name by which a link finds a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


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
    """Gives what the last `make bench` wrote, between its title and the list of times."""
    text = RESULTS.read_text(encoding="utf-8")
    return text.partition("\n\n")[2].partition("\n\n## ")[0]


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
