"""Rules of the house that a machine can check: sizes, imports, thin front doors."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

SERVICE = ROOT / "service"
SOURCES = sorted(SERVICE.rglob("*.py"))
ROUTES = sorted((SERVICE / "api" / "routes").glob("*.py"))
MAX_LINES = 350
MAX_STATEMENTS = 8
HTTP_METHODS = {"get", "post", "put", "patch", "delete"}


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=name)
class TestSource:
    def test_it_is_short(self, path: Path) -> None:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES

    def test_it_says_what_it_is(self, path: Path) -> None:
        tree = parsed(path)
        assert not tree.body or ast.get_docstring(tree), "a module that holds code starts with a docstring"

    def test_the_files_that_it_names_are_there(self, path: Path) -> None:
        for named in re.findall(r"`([\w/]+\.py)`", path.read_text(encoding="utf-8")):
            assert any(name(other).endswith(f"/{named}") for other in SOURCES), named

    def test_no_assert_and_no_print(self, path: Path) -> None:
        for node in ast.walk(parsed(path)):
            assert not isinstance(node, ast.Assert), f"line {node.lineno}: gone under python -O"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("print", "eval", "exec"), f"line {node.lineno}"

    def test_no_mutable_default(self, path: Path) -> None:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                for default in [*node.args.defaults, *node.args.kw_defaults]:
                    assert not isinstance(default, ast.List | ast.Dict | ast.Set), f"line {node.lineno}"


def endpoints() -> Iterator[tuple[str, ast.AsyncFunctionDef]]:
    """Gives the functions that a router's decorator, or the call of one, registers; what routes share is none."""
    for path in ROUTES:
        nodes = list(ast.walk(parsed(path)))
        calls = [node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Call)]
        called = {argument.id for call in calls for argument in call.args if isinstance(argument, ast.Name)}
        made = {inner for node in nodes if isinstance(node, ast.FunctionDef) for inner in ast.walk(node)}
        for node in nodes:
            if isinstance(node, ast.AsyncFunctionDef) and (node.decorator_list or node.name in called or node in made):
                yield f"{path.stem}.{node.name}", node


@pytest.mark.parametrize("function", [pytest.param(node, id=label) for label, node in endpoints()])
def test_endpoints_are_thin(function: ast.AsyncFunctionDef) -> None:
    statements = [node for node in ast.walk(function) if isinstance(node, ast.stmt)][1:]
    docstring = 1 if ast.get_docstring(function) else 0
    assert len(statements) - docstring <= MAX_STATEMENTS


def test_every_endpoint_is_seen() -> None:
    decorators = sum(
        isinstance(node, ast.Attribute) and node.attr in HTTP_METHODS and getattr(node.value, "id", "") == "router"
        for path in ROUTES
        for node in ast.walk(parsed(path))
    )
    assert decorators == len(list(endpoints()))


def test_the_api_process_loads_no_tensor_library() -> None:
    """Not by making the application, and not by making its OpenAPI document either."""
    code = """
import sys
from pathlib import Path
from service.app import create_app
from service.settings import Settings
create_app(Settings(data_dir=Path("unused"))).openapi()
print(*sorted({"tensorflow", "keras", "h5py", "torch", "jax", "matplotlib", "rich"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_the_database_is_used_in_the_job_queue_alone(path: Path) -> None:
    if path.is_relative_to(SERVICE / "jobs"):
        return
    for node in ast.walk(parsed(path)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not {found.split(".")[0] for found in names} & {"dbos", "sqlalchemy", "psycopg", "fsspec"}
