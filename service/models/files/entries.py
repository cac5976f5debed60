"""One entry of a model folder, a file or a folder → a spec, or why it is none. Reads no weights."""

from __future__ import annotations

import re
import stat
import tomllib
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydantic import ValidationError

from service.errors import ModelNotLoadable
from service.errors.validation import field_errors, in_one
from service.json_types import JsonObject
from service.models.files.opening.strangers import is_pointer, what_it_is
from service.models.files.spec import ModelSpec

log = structlog.get_logger(__name__)

# Files of other libraries, which are shown for what they are.
STRANGERS = (".tflite", ".onnx", ".pb", ".pt", ".pth", ".ckpt", ".safetensors")
# A pointer of Git LFS is smaller.
POINTER_BYTES = 1024
# Beside the one model of a folder, as Teachable Machine names it.
LABELS = "labels.txt"
MODEL_SUFFIXES = (".keras", ".h5", ".hdf5")
PAIR_SUFFIXES = (".weights.h5", ".h5", ".hdf5", "_weights.h5", "_weights.hdf5")

NAMELESS = "unnamed"
SPEC_BYTES = 1024**2


@dataclass(frozen=True)
class Broken:
    """An entry that is meant as a model and is none, and why."""

    id: str
    reason: str


def entry_at(path: Path) -> ModelSpec | Broken | None:
    """What lies there; None for what is no model. Never raises: an odd entry hides itself alone."""
    try:
        found = _in_folder(path) if path.is_dir() else _of_file(path)
        return _with_plain_names(path, found) if isinstance(found, ModelSpec) else found
    except OSError as error:
        reason = f"{path.name!r} cannot be read: {error.strerror}"
    except RecursionError:
        reason = f"{path.name!r} cannot be read: it is nested too deeply"
    except ValueError as error:
        reason = f"{path.name!r} cannot be read: {error}"
    except Exception:
        log.exception("entry of the model folder not readable", entry=path.name)
        reason = f"{path.name!r} cannot be read; the log of the service says why"
    return Broken(_slug(path.stem) or NAMELESS, reason)


def _with_plain_names(path: Path, spec: ModelSpec) -> ModelSpec | Broken:
    """Answers name the files, and JSON holds nothing but Unicode."""
    for name in (spec.weights, spec.architecture, spec.labels):
        if isinstance(name, str) and not _is_unicode(name):
            return Broken(spec.id, f"the file name {name!r} is not UTF-8; rename it")
    return spec


def _is_unicode(name: str) -> bool:
    return name.isascii() or not any("\ud800" <= character <= "\udfff" for character in name)


def spec_of_file(path: Path) -> ModelSpec:
    """The spec of one file or folder on disk: a `model.toml`, a model file, the JSON of a pair, a SavedModel.

    Raises ModelNotLoadable.
    """
    if not path.exists():
        raise ModelNotLoadable(f"there is no file {path.name!r}")
    found: ModelSpec | Broken | None
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
    if isinstance(found, Broken):
        raise ModelNotLoadable(found.reason)
    return found


def _of_file(path: Path) -> ModelSpec | Broken | None:
    """Reads one file; None for what is not meant as a model."""
    suffix = path.suffix.lower()
    if suffix not in (*STRANGERS, *MODEL_SUFFIXES, ".json"):
        return None
    if not stat.S_ISREG(path.stat().st_mode):
        # Opening one of these may wait for ever.
        return Broken(_slug(path.stem) or NAMELESS, f"{path.name!r} is neither a file nor a folder")
    if suffix in STRANGERS:
        return Broken(_slug(path.stem) or NAMELESS, f"{path.name!r} cannot be opened: {what_it_is(path)}")
    if suffix in MODEL_SUFFIXES and not _weights_of_a_pair(path):
        if path.stat().st_size <= POINTER_BYTES and is_pointer(path):
            return Broken(_slug(path.stem) or NAMELESS, f"{path.name!r} cannot be opened: {what_it_is(path)}")
        return _bare(path.stem, path.parent, {"weights": path.name})
    return _of_pair(path) if suffix == ".json" else None


def _of_file_there(path: Path) -> ModelSpec | Broken | None:
    """Reads as `_of_file` does; None also for what cannot be looked at: it lies beside a model and is none."""
    try:
        return _of_file(path)
    except OSError:
        return None


def _of_pair(path: Path) -> ModelSpec | Broken | None:
    weights = _pair(path)
    if weights is None:
        return None
    return _bare(path.stem, path.parent, {"weights": weights.name, "architecture": path.name})


def _in_folder(path: Path) -> ModelSpec | Broken | None:
    """A folder is a model with a spec, as a SavedModel or unpacked archive, or where just one model lies in it."""
    if (path / "model.toml").is_file():
        return _read_spec(path / "model.toml")
    if (path / "saved_model.pb").is_file() or (path / "model.weights.h5").is_file():
        return _bare(path.name, path.parent, {"weights": path.name})
    names = [item for item in sorted(path.iterdir()) if not item.name.startswith(".")]
    found = [spec for item in names if not item.is_dir() and (spec := _of_file_there(item)) is not None]
    if len(found) != 1 or not isinstance(found[0], ModelSpec):
        return None
    return _bare(
        path.name, path, {name: value for name in ("weights", "architecture") if (value := getattr(found[0], name))}
    )


def _read_spec(path: Path) -> ModelSpec | Broken:
    fallback, where = _slug(path.parent.name) or NAMELESS, f"model.toml in the folder {path.parent.name!r}"
    try:
        if path.stat().st_size > SPEC_BYTES:
            return Broken(fallback, f"{where} has more than {SPEC_BYTES} bytes")
        values: JsonObject = tomllib.loads(path.read_text(encoding="utf-8"))
        spec = ModelSpec(**{"id": fallback, **values, "folder": path.parent})
        if "@" in spec.id:
            return Broken(fallback, f"{where} is not valid: id: '@' stands before the version of an upload alone")
        return spec
    except ValidationError as error:
        return Broken(fallback, f"{where} is not valid: {_at_fault(error)}")
    except OSError as error:
        return Broken(fallback, f"{where} cannot be read: {error.strerror}")
    except RecursionError:
        return Broken(fallback, f"{where} cannot be read: it is nested too deeply")
    except ValueError as error:
        return Broken(fallback, f"{where} cannot be read: {error}")


def _at_fault(error: ValidationError) -> str:
    """Everything that is wrong, each with its place."""
    return in_one(field_errors(error.errors(), ModelSpec), "spec")


def _bare(stem: str, folder: Path, values: dict[str, str]) -> ModelSpec | Broken:
    model_id = _slug(stem)
    labels = next((name for name in (f"{stem}.labels.txt", f"{stem}_labels.txt") if (folder / name).is_file()), None)
    if labels is None and folder.name == stem and (folder / LABELS).is_file():
        labels = LABELS
    try:
        named = {"labels": labels, "labels_found": True} if labels else {}
        return ModelSpec(**{"id": model_id, "folder": folder, **named, **values})
    except ValidationError as error:
        first = field_errors(error.errors(), ModelSpec)[0]
        if "id" not in first.loc:
            return Broken(model_id, f"the file {values['weights']!r} cannot be used: {first.msg}")
        reason = f"the file name {stem!r} gives no model ID; use letters, digits, '.', '_' and '-'"
        return Broken(model_id or NAMELESS, reason)


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
