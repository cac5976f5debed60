"""Which models can be loaded: the shipped catalogue, the operator's model folder, uploads. Reads no weights."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from service.errors import ModelNotLoadable, UnknownModel, nearest
from service.models.opening.strangers import is_pointer, what_it_is
from service.models.spec import ModelSpec
from service.models.uploads.store import UploadStore

# Files of other libraries, which are shown for what they are.
STRANGERS = (".tflite", ".onnx", ".pb", ".pt", ".pth", ".ckpt", ".safetensors")
# A pointer of Git LFS is smaller.
POINTER_BYTES = 1024
# Beside the one model of a folder, as Teachable Machine names it.
LABELS = "labels.txt"
CATALOGUE = Path(__file__).parent / "catalogue"
MODEL_SUFFIXES = (".keras", ".h5", ".hdf5")
PAIR_SUFFIXES = (".weights.h5", ".h5", ".hdf5", "_weights.h5", "_weights.hdf5")


@dataclass(frozen=True)
class Library:
    """The loadable models. The folders are read again whenever they are asked, so new files need no restart."""

    models_dir: Path | None = None
    uploads: UploadStore | None = None
    shipped: dict[str, ModelSpec] = field(default_factory=lambda: read_catalogue())

    def specs(self) -> dict[str, ModelSpec]:
        """Every readable spec by ID but uploaded ones; one in the folder goes before a shipped one of the same ID."""
        return self.shipped | {spec.id: spec for spec in self._folder() if isinstance(spec, ModelSpec)}

    def broken(self) -> dict[str, str]:
        """Folder entries that are no valid spec, and why."""
        return dict(item for item in self._folder() if not isinstance(item, ModelSpec))

    def get(self, model_id: str) -> ModelSpec:
        """The spec of an ID; that of an upload has the version in its own ID.

        Raises UnknownModel with the closest IDs, ModelNotLoadable when the spec itself is broken.
        """
        if self.uploads and (uploaded := self.uploads.spec(model_id)):
            return uploaded
        specs = self.specs()
        if model_id in specs:
            return specs[model_id]
        broken = self.broken()
        if model_id in broken:
            raise ModelNotLoadable(broken[model_id])
        raise UnknownModel(f"there is no model {model_id!r}{nearest(model_id, specs)}")

    def _folder(self) -> Iterator[ModelSpec | tuple[str, str]]:
        if self.models_dir is None or not self.models_dir.is_dir():
            return
        for path in sorted(self.models_dir.iterdir()):
            if path.name.startswith("."):
                continue
            try:
                found = _in_folder(path) if path.is_dir() else _of_file(path)
            except OSError as error:
                # One that cannot be read hides itself alone.
                yield _slug(path.stem) or "unnamed", f"{path.name!r} cannot be read: {error.strerror}"
                continue
            if found is not None:
                yield found


def spec_of_file(path: Path) -> ModelSpec:
    """The spec of one file or folder on disk: a `model.toml`, a model file, the JSON of a pair, a SavedModel.

    Raises ModelNotLoadable.
    """
    if not path.exists():
        raise ModelNotLoadable(f"there is no file {path.name!r}")
    found: ModelSpec | tuple[str, str] | None
    if path.is_dir():
        found = _in_folder(path)
        if found is None:
            raise ModelNotLoadable(
                f"the folder {path.name!r} is no model: it has neither model.toml, one model file, nor saved_model.pb"
            )
    elif path.suffix == ".toml":
        found = _read_spec(path)
    elif path.suffix == ".json":
        found = _of_pair(path)
        if found is None:
            endings = ", ".join(path.stem + suffix for suffix in PAIR_SUFFIXES)
            raise ModelNotLoadable(
                f"{path.name!r} is an architecture; its weights must lie beside it as one of {endings}"
            )
    else:
        found = _bare(path.stem, path.parent, {"weights": path.name})
    if isinstance(found, tuple):
        raise ModelNotLoadable(found[1])
    return found


def _of_file(path: Path) -> ModelSpec | tuple[str, str] | None:
    """A spec, or the ID and reason of what is meant as a model and is none; None for any other file."""
    suffix = path.suffix.lower()
    if suffix in STRANGERS:
        return _slug(path.stem) or "unnamed", f"{path.name!r} cannot be opened: {what_it_is(path)}"
    if suffix in MODEL_SUFFIXES and not _weights_of_a_pair(path):
        if path.stat().st_size <= POINTER_BYTES and is_pointer(path):
            return _slug(path.stem) or "unnamed", f"{path.name!r} cannot be opened: {what_it_is(path)}"
        return _bare(path.stem, path.parent, {"weights": path.name})
    return _of_pair(path) if suffix == ".json" else None


def _of_pair(path: Path) -> ModelSpec | tuple[str, str] | None:
    weights = _pair(path)
    if weights is None:
        return None
    return _bare(path.stem, path.parent, {"weights": weights.name, "architecture": path.name})


def _in_folder(path: Path) -> ModelSpec | tuple[str, str] | None:
    """A folder is a model with a spec, as a SavedModel or unpacked archive, or where just one model lies in it."""
    if (path / "model.toml").is_file():
        return _read_spec(path / "model.toml")
    if (path / "saved_model.pb").is_file() or (path / "model.weights.h5").is_file():
        return _bare(path.name, path.parent, {"weights": path.name})
    models = [item for item in sorted(path.iterdir()) if item.is_file() and not item.name.startswith(".")]
    found = [spec for item in models if (spec := _of_file(item)) is not None]
    if len(found) != 1 or not isinstance(found[0], ModelSpec):
        return None
    return _bare(
        path.name, path, {name: value for name in ("weights", "architecture") if (value := getattr(found[0], name))}
    )


def read_catalogue() -> dict[str, ModelSpec]:
    """The shipped specs: a folder for each model with files of its own, and the families of keras.applications."""
    specs = [_read_spec(path) for path in sorted(CATALOGUE.glob("*/model.toml"))]
    families = tomllib.loads((CATALOGUE / "applications.toml").read_text(encoding="utf-8"))["model"]
    found = [spec for spec in specs if isinstance(spec, ModelSpec)]
    found += [
        ModelSpec(**{"source": "application", "weights": "imagenet", "labels": "imagenet", **item}) for item in families
    ]
    return {spec.id: spec for spec in found}


def _read_spec(path: Path) -> ModelSpec | tuple[str, str]:
    fallback = _slug(path.parent.name)
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return ModelSpec(**{"id": fallback, **values, "folder": path.parent})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "spec"
        return fallback, f"model.toml in the folder {path.parent.name!r} is not valid: {where}: {first['msg']}"
    except OSError as error:
        return fallback, f"model.toml in the folder {path.parent.name!r} cannot be read: {error.strerror}"
    except ValueError as error:
        return fallback, f"model.toml in the folder {path.parent.name!r} cannot be read: {error}"


def _bare(stem: str, folder: Path, values: dict[str, str]) -> ModelSpec | tuple[str, str]:
    model_id = _slug(stem)
    labels = next((name for name in (f"{stem}.labels.txt", f"{stem}_labels.txt") if (folder / name).is_file()), None)
    if labels is None and folder.name == stem and (folder / LABELS).is_file():
        labels = LABELS
    try:
        named = {"labels": labels, "labels_found": True} if labels else {}
        return ModelSpec(**{"id": model_id, "folder": folder, **named, **values})
    except ValidationError as error:
        first = error.errors()[0]
        if "id" not in first["loc"]:
            return model_id, f"the file {values['weights']!r} cannot be used: {first['msg']}"
        return model_id or "unnamed", f"the file name {stem!r} gives no model ID; use letters, digits, '.', '_' and '-'"


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")[:64]


def _pair(architecture: Path) -> Path | None:
    candidates = (architecture.with_name(architecture.stem + suffix) for suffix in PAIR_SUFFIXES)
    return next((path for path in candidates if path.is_file()), None)


def _weights_of_a_pair(path: Path) -> bool:
    return any(
        path.name.endswith(suffix) and (path.parent / f"{path.name.removesuffix(suffix)}.json").is_file()
        for suffix in PAIR_SUFFIXES
    )
