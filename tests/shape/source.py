"""What can be counted in the source itself."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
from collections import defaultdict
from functools import cache
from pathlib import Path

# A docstring that opens so has no subject: "Whose key it is."
BARE = re.compile(r"^(That(?! is)|Whose|Of|As|For|In|With|By|At|To|From|Where|Which|Those)\b")
CRUMB_LINES = 60
# Names that hold what one process got from another.
PAYLOADS = {"payload", "reply", "status", "said", "document", "computed", "stored"}


@cache
def files(root: Path) -> dict[str, Path]:
    """Every module of the service by its dotted name."""
    found = sorted((root / "service").rglob("*.py"))
    return {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in found}


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _length(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def importers(root: Path) -> dict[str, set[str]]:
    """The modules that import each module."""
    known, found = files(root), defaultdict(set)
    for name, path in known.items():
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    found[inner if inner in known else node.module].add(name)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    found[alias.name].add(name)
    return found


def crumbs(root: Path) -> list[str]:
    """The files of at most sixty lines that one other file imports, and which hold code. A variant, which its family's
    table imports, has a file of its own however short it is."""
    by = importers(root)
    return [
        name
        for name, path in files(root).items()
        if len(importing := by.get(name, set())) == 1
        and not next(iter(importing)).endswith(".variants")
        and _length(path) <= CRUMB_LINES
        and path.name != "__init__.py"
    ]


def lengths(root: Path) -> tuple[int, int, int, int]:
    """Gives the number of files that hold code, and their lines: all, the median, the most."""
    found = [count for path in files(root).values() if (count := _length(path)) > 1]
    return len(found), sum(found), int(statistics.median(found)), max(found)


def occurrences(root: Path, pattern: str) -> int:
    return sum(len(re.findall(pattern, path.read_text(encoding="utf-8"))) for path in files(root).values())


def string_keys(root: Path) -> list[str]:
    """The places that read a key, written as a text, off what one process got from another.

    What `service.models` reads of files and explainers compute is said within one process.
    """
    found = []
    for name, path in files(root).items():
        if name.startswith(("service.models", "service.explainers")):
            continue
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.Subscript):
                of, key = node.value, node.slice
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
                of, key = node.func.value, node.args[0] if node.args else node
            else:
                continue
            named = of.attr if isinstance(of, ast.Attribute) else of.id if isinstance(of, ast.Name) else ""
            if named in PAYLOADS and isinstance(key, ast.Constant) and isinstance(key.value, str):
                found.append(f"{name}:{node.lineno} {named}[{key.value!r}]")
    return found


def variant_places(root: Path, variant: str) -> list[str]:
    """The places in which a variant's name, or a name made of it, is written: definitions, tables, comparisons."""
    written = re.compile(rf"(?<![a-z]){re.escape(variant).replace('_', '[_ ]?')}(?![a-z])", re.IGNORECASE)
    found = []
    for name, path in files(root).items():
        if not name.startswith("service.explainers"):
            continue
        for node in ast.walk(_tree(path)):
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
            if isinstance(text, str) and text == variant and written.fullmatch(text):
                found.append(f"{name}:{node.lineno}")
    return found


def bare_docstrings(root: Path, folders: tuple[str, ...] = ("service", "tests", "openapi_examples")) -> list[str]:
    """The docstrings that open without a subject and a verb, and where they stand."""
    found = []
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            if ".peers" in path.parts:
                continue
            for node in ast.walk(_tree(path)):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    text = ast.get_docstring(node)
                    if text and BARE.match(text) and not _is_sentence(text):
                        found.append(
                            f"{path.relative_to(root)}:{getattr(node, 'lineno', 1)} {text.splitlines()[0][:60]}"
                        )
    return found


def _is_sentence(text: str) -> bool:
    """Whether an opening such as "As the api does, it waits" goes on to a subject: after a comma."""
    return bool(re.match(r"^(As|For|In|With|By|At|To|From|Where)\b[^.]*?, \w+", text.split("\n\n")[0]))


def floor(root: Path) -> tuple[int, list[str]]:
    """Gives the number of files on the floor of `api/`, and its rooms."""
    inside = root / "service" / "api"
    rooms = [path.name for path in sorted(inside.iterdir()) if path.is_dir() and (path / "__init__.py").exists()]
    return len([path for path in inside.glob("*.py") if _length(path) > 1]), rooms


def tracked(root: Path, pattern: str) -> int:
    listed = subprocess.run(["git", "ls-files", *pattern.split()], cwd=root, capture_output=True, text=True, check=True)
    return len(listed.stdout.split())
