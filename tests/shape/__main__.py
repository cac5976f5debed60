"""`make shape`: the table of the house, with what is measured now in its last column."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.conftest import ROOT
from tests.shape import source
from tests.shape.passed import passed_files

VARIANTS = ("layercam", "hirescam", "gradcam++", "smoothgrad", "integrated_gradients")


def table(root: Path) -> list[tuple[str, str, str, str]]:
    """The rows: what is measured, what it was on 903fe49, what it ought to be, what it is."""
    with tempfile.TemporaryDirectory(prefix="kerascope-shape-") as folder:
        passed = passed_files(Path(folder) / "call", root)
    number, lines, median, most = source.lengths(root)
    on_floor, rooms = source.floor(root)
    places = {variant: len(source.variant_places(root, variant)) for variant in VARIANTS}
    contracts = (root / "pyproject.toml").read_text(encoding="utf-8")
    clients = source.tracked(root, "openapi_examples/*.sh openapi_examples/*.mjs openapi_examples/python")
    clients += source.tracked(root, "openapi_examples/examples.py openapi_examples/examples.http")
    readme = len((root / "README.md").read_text(encoding="utf-8").splitlines())
    return [
        ("files one warm `POST …/cam` passes", "66", "≤ 40", str(len(passed))),
        ("places a variant is written in", "5–7", "1", ", ".join(f"{name} {count}" for name, count in places.items())),
        ("`Any`", "815", "≤ 300", str(source.occurrences(root, r"\bAny\b"))),
        ("`dict[str, Any]`", "163", "≤ 40", str(source.occurrences(root, r"\bdict\[str, Any\]"))),
        ("string keys read off payloads between the processes", "36", "0", str(len(source.string_keys(root)))),
        ("files of ≤ 60 lines with one importer", "36", "≤ 8", str(len(source.crumbs(root)))),
        ("files on the floor of `api/`", "36", "6 rooms", f"{on_floor}; rooms: {', '.join(rooms)}"),
        ("import contracts that allow indirect imports", "all", "0", str(contracts.count("allow_indirect_imports"))),
        ("generated clients tracked", "147", "≤ 4", str(clients)),
        ("lines of the README", "609", "≤ 200", str(readme)),
        ("docstrings without a subject", "64", "0", str(len(source.bare_docstrings(root)))),
        ("files; lines: all, median, most", "–", "about 110, ≤ 350", f"{number}; {lines}, {median}, {most}"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout to measure")
    parser.add_argument("--list", action="store_true", help="say which files, places and docstrings were counted")
    given = parser.parse_args()
    root = given.root.resolve()
    rows = [("", "903fe49", "after", "now"), ("---", "---", "---", "---"), *table(root)]
    for row in rows:
        sys.stdout.write("| " + " | ".join(row) + " |\n")
    if given.list:
        for found in (source.crumbs(root), source.string_keys(root), source.bare_docstrings(root)):
            sys.stdout.write("\n".join(["", *found, ""]))


if __name__ == "__main__":
    main()
