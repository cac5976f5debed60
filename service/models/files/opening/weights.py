"""Weights in the layout of Keras 2.12 to 2.14, which later versions of Keras 2 do not read, as these read them.

Those versions kept the layers of a model under `_layer_checkpoint_dependencies`, named by their class and a number that
went on by two behind a layer with weights and by one behind any other. Later ones keep them under `layers`, and their
numbers go on by one. On Windows the parts of a path were joined by backslashes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import h5py

from service.arrays import Structure
from service.errors import ModelNotLoadable

OLD_LAYERS = "_layer_checkpoint_dependencies"
NOT_OF_THE_MODEL = ("optimizer/", "metrics/", "_metrics/", "compile_metrics/", "_compile_metrics/")


def foreign_storage(path: Path) -> str | None:
    """The first place of an HDF5 file whose values lie in another file; None where all lie in this one.

    Links, external storage and virtual arrays can name any file. Raises ModelNotLoadable for what is no HDF5.
    """
    seen: set[tuple[int, int]] = set()
    try:
        with h5py.File(path, "r") as file:
            waiting = [("", file)]
            while waiting:
                place, group = waiting.pop()
                info = h5py.h5o.get_info(group.id)
                if (info.fileno, info.addr) in seen:
                    continue
                seen.add((info.fileno, info.addr))
                for name in group:
                    inner = f"{place}/{name}"
                    if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
                        return inner
                    item = group.get(name)
                    if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
                        return inner
                    if isinstance(item, h5py.Group):
                        waiting.append((inner, item))
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise ModelNotLoadable(f"the HDF5 file {path.name!r} cannot be read: {str(error)[:200]}") from None
    return None


def require_own_storage(path: Path) -> None:
    """Raises ModelNotLoadable for weights that lie in another file."""
    if place := foreign_storage(path):
        raise ModelNotLoadable(f"the weights in {path.name!r} have their values in another file, at {place[:200]!r}")


def is_old_layout(path: Path) -> bool:
    """Whether the paths in a weights file must be renamed."""
    with h5py.File(path, "r") as file:
        return any("\\" in name or name == OLD_LAYERS for name in file)


def with_new_paths(source: Path, target: Path) -> int:
    """Writes `target`, in which every array of `source` stands under its new path without being copied.

    Gives how many there are. Raises ModelNotLoadable where two would get one path.
    """
    with h5py.File(source, "r") as old, h5py.File(target, "w") as new:
        names: dict[str, str] = {}
        groups: set[str] = set()

        def visit(name: str, item: Structure) -> None:
            path = name.replace("\\", "/")
            if isinstance(item, h5py.Dataset):
                names[path] = name
            groups.update("/".join(path.split("/")[:end]) for end in range(1, path.count("/") + 2))

        old.visititems(visit)
        renamed = _renamed(groups)
        for path, name in names.items():
            if path.startswith(NOT_OF_THE_MODEL):
                continue
            folder, _, last = path.rpartition("/")
            place = f"{renamed[folder]}/{last}" if folder else last
            if place in new:
                raise ModelNotLoadable(f"the weights hold two arrays for {place[:200]!r}")
            new[place] = h5py.ExternalLink(str(source), name)
        # A model has no arrays of its own, and its reader asks for the group of them all the same.
        new.require_group("vars")
        return sum(not path.startswith(NOT_OF_THE_MODEL) for path in names)


def _renamed(groups: Iterable[str]) -> dict[str, str]:
    """Old path → new path of every group."""
    children: dict[str, list[str]] = {}
    for group in groups:
        parent, _, name = group.rpartition("/")
        children.setdefault(parent, []).append(name)
    renamed = {"": ""}
    waiting = [""]
    while waiting:
        parent = waiting.pop()
        is_list = parent.rpartition("/")[2] == OLD_LAYERS
        numbered = _numbered(children.get(parent, ())) if is_list else {}
        for name in children.get(parent, ()):
            path = f"{parent}/{name}" if parent else name
            new_name = numbered.get(name, "layers" if name == OLD_LAYERS else name)
            renamed[path] = f"{renamed[parent]}/{new_name}" if renamed[parent] else new_name
            waiting.append(path)
    return renamed


def _numbered(names: Iterable[str]) -> dict[str, str]:
    """`conv2d`, `conv2d_2`, `dense` → `conv2d`, `conv2d_1`, `dense`, by old name."""
    of_class: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        match = re.fullmatch(r"(.*?)(?:_(\d{1,9}))?", name)
        base, number = (match[1], int(match[2] or 0)) if match else (name, 0)
        of_class.setdefault(base, []).append((number, name))
    return {
        name: base if place == 0 else f"{base}_{place}"
        for base, numbered in of_class.items()
        for place, (_, name) in enumerate(sorted(numbered))
    }
