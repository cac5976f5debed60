"""The operator's own classes and functions, from Python files beside a model that the operator trusts."""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import types
from pathlib import Path
from typing import Literal

from service.errors import ModelNotLoadable
from service.json_types import JsonObject
from service.models.files.spec import ModelSpec


def own_objects(spec: ModelSpec, keras: Literal[2, 3]) -> JsonObject:
    """What `custom_objects = "layers.py:MyLayer, …"` of a spec names, by name. Runs the files that it names.

    `keras` and `tensorflow.keras` in these files mean the Keras that the model belongs to. Raises ModelNotLoadable.
    """
    found: JsonObject = {}
    modules: dict[str, types.ModuleType] = {}
    for item in filter(None, (part.strip() for part in (spec.custom_objects or "").split(","))):
        file, colon, name = item.partition(":")
        if not colon or not name.isidentifier():
            raise ModelNotLoadable(
                f"custom_objects of model {spec.id!r} has {item!r}; write file and name, such as 'layers.py:MyLayer'"
            )
        if file not in modules:
            modules[file] = _run(spec, file, keras)
        if not hasattr(modules[file], name):
            raise ModelNotLoadable(f"the file {file!r} of model {spec.id!r} defines no {name!r}")
        found[name] = getattr(modules[file], name)
    return found


def _run(spec: ModelSpec, file: str, keras: Literal[2, 3]) -> types.ModuleType:
    path = spec.path(file)
    loader = _Loader(path, "tf_keras" if keras == 2 else "keras")
    found = importlib.machinery.ModuleSpec(path.stem, loader, origin=path.name)
    module = importlib.util.module_from_spec(found)
    try:
        loader.exec_module(module)
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}".strip(": ")
        raise ModelNotLoadable(f"the file {file!r} of model {spec.id!r} cannot be run: {reason}") from error
    return module


class _Loader(importlib.abc.InspectLoader):
    """Runs a Python file whose imports of Keras mean the package that the model belongs to."""

    def __init__(self, path: Path, package: str) -> None:
        self._path = path
        self._package = package

    def get_source(self, fullname: str) -> str:
        text: str = self._path.read_text(encoding="utf-8")
        return text

    def get_code(self, fullname: str) -> types.CodeType:
        tree = _Renaming(self._package).visit(ast.parse(self.get_source(fullname), filename=self._path.name))
        return compile(ast.fix_missing_locations(tree), self._path.name, "exec")


class _Renaming(ast.NodeTransformer):
    """Imports of Keras become imports of the package that the model belongs to."""

    def __init__(self, package: str) -> None:
        self._package = package

    def visit_Import(self, node: ast.Import) -> ast.AST:
        for alias in node.names:
            if renamed := self._renamed(alias.name):
                if alias.asname is None and "." not in alias.name:
                    alias.asname = alias.name
                alias.name = renamed
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if node.module == "tensorflow" and [alias.name for alias in node.names] == ["keras"]:
            return ast.Import([ast.alias(self._package, node.names[0].asname or "keras")])
        node.module = self._renamed(node.module or "") or node.module
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if node.attr == "keras" and isinstance(node.value, ast.Name) and node.value.id in ("tf", "tensorflow"):
            return ast.Call(ast.Name("__import__", ast.Load()), [ast.Constant(self._package)], [])
        return node

    def _renamed(self, module: str) -> str | None:
        for old in ("tensorflow.keras", "keras"):
            if module == old or module.startswith(old + "."):
                return self._package + module.removeprefix(old)
        return None
