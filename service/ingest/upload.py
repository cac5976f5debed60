"""The files of one upload: which kind they are, and what they hold once everything about them has been checked."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

import h5py

from service.errors import ModelNotLoadable
from service.ingest import archive, hdf5
from service.ingest.config import Config
from service.ingest.limits import IngestLimits
from service.ingest.verdict import Refused
from service.json_types import Json, JsonObject
from service.models.files.opening.contents import generation


def strict_json(data: bytes, what: str, max_bytes: int, max_depth: int) -> Json:
    """Gives the value of JSON that means one thing only: no key twice, no NaN, not too deep, not too long.

    Raises Refused with `model.bad_json`, or `model.too_large`."""
    if len(data) > max_bytes:
        raise Refused("model.too_large", f"{what} has {len(data)} bytes, and {max_bytes} are the most")
    _check_depth(data, what, max_depth)
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refused("model.bad_json", f"{what} is not valid JSON: {str(error)[:200]}") from None


def _check_depth(data: bytes, what: str, most: int) -> None:
    """Counts brackets outside of texts, so that no parser has to go down before it is known how deep it is."""
    depth, in_text, escaped = 0, False, False
    for byte in data:
        if in_text:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_text = False
        elif byte == 0x22:
            in_text = True
        elif byte in (0x5B, 0x7B):
            depth += 1
            if depth > most:
                raise Refused("model.bad_json", f"{what} is nested deeper than {most} levels")
        elif byte in (0x5D, 0x7D):
            depth -= 1


def _once(pairs: list[tuple[str, Json]]) -> JsonObject:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:80]!r} stands twice in one object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


ARCHIVE, HDF5, ARCHITECTURE, WEIGHTS = "upload.keras", "upload.h5", "upload.json", "upload.weights.h5"
EXTRACTED = "extracted.weights.h5"


@dataclass(frozen=True)
class Checked:
    """A config, the Keras that understands it and the version that wrote it, the file that holds its weights, the
    arrays in that, how often each class is used, and what `compile` was told."""

    config: JsonObject
    keras: Literal[2, 3]
    written_by: str
    weights: Path
    arrays: hdf5.Shapes
    classes: Counter[str]
    training: JsonObject | None


def files_of(folder: Path) -> list[Path]:
    """The files of the upload in `folder`. Raises Refused."""
    found = [folder / name for name in (ARCHIVE, HDF5, ARCHITECTURE, WEIGHTS) if (folder / name).is_file()]
    if [path.name for path in found] not in ([ARCHIVE], [HDF5], [ARCHITECTURE, WEIGHTS]):
        raise Refused("model.unsupported", "send one .keras or HDF5 file, or an architecture with its weights")
    return found


def checked(files: list[Path], scratch: Path, limits: IngestLimits) -> Checked:
    """Reads nothing but what it has looked at before; `scratch` takes the weights of an archive. Raises Refused."""
    size = sum(path.stat().st_size for path in files)
    if size > limits.max_file_bytes:
        raise Refused("model.too_large", f"the model is {size} bytes, and {limits.max_file_bytes} are the most")
    most = limits.max_file_bytes * 2
    if len(files) == 2:
        architecture, weights = files
        text = architecture.read_bytes()
    elif _begins(files[0]) == b"PK\x03\x04":
        weights = scratch / EXTRACTED
        text = archive.read(files[0], weights, limits.max_json_bytes, most)
    else:
        weights, text = files[0], b""
    arrays = hdf5.arrays(weights, most, limits.max_json_bytes)
    if not text:
        text = _model_config(weights)
    config = strict_json(text, "the architecture", limits.max_json_bytes, limits.max_json_depth)
    bare = without_training(config)
    walk = Config(limits.extra_classes, limits.max_layers)
    try:
        walk.check_model(bare)
        written_by = _version(config, weights, files)[:40]
        keras = generation(written_by, bare)
    except RecursionError:
        raise Refused("model.bad_graph", "models are nested too deep") from None
    except ModelNotLoadable as error:
        raise Refused("model.unsupported", error.detail) from None
    training = config.get("compile_config") or _training_config(weights)
    return Checked(
        bare, keras, written_by, weights, arrays, walk.counts, training if isinstance(training, dict) else None
    )


def _version(config: JsonObject, weights: Path, files: list[Path]) -> str:
    """The Keras that wrote the model: an archive's metadata say it, else the JSON, else an attribute of the HDF5."""
    if _begins(files[0]) == b"PK\x03\x04":
        return str(archive.metadata(files[0]).get("keras_version") or "")
    if config.get("keras_version"):
        return str(config["keras_version"])
    if len(files) == 2:
        return ""
    with h5py.File(weights, "r") as file:
        version = file.attrs.get("keras_version")
    return version.decode("ascii", "replace") if isinstance(version, bytes) else str(version or "")


def _training_config(weights: Path) -> Json:
    """What `compile` was told, as an HDF5 file has it; None where it says nothing that can be read."""
    with h5py.File(weights, "r") as file:
        text = file.attrs.get("training_config")
    try:
        return json.loads(text) if isinstance(text, str | bytes) else None
    except (ValueError, RecursionError):
        return None


def _begins(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def _model_config(path: Path) -> bytes:
    with h5py.File(path, "r") as file:
        text = file.attrs.get("model_config")
    if isinstance(text, str):
        return text.encode()
    if isinstance(text, bytes):
        return bytes(text)
    raise Refused(
        "model.unsupported",
        "the file holds weights and no architecture; save the whole model (model.save('mine.keras')), or send the "
        "architecture (model.to_json()) as 'architecture' and this file as 'weights'",
    )


def without_training(value: Json) -> Json:
    """Without what is not needed to build it, and would be run for nothing."""
    if isinstance(value, list):
        return [without_training(item) for item in value]
    if not isinstance(value, dict):
        return value
    drop = {"build_config", "compile_config", "shared_object_id"} if "class_name" in value else set()
    inner = value.get("config")
    if isinstance(inner, dict) and "layers" in inner and _is_shape(value.get("build_config")):
        # Of a Sequential without an input layer, which says its shape nowhere else.
        drop.discard("build_config")
    return {key: without_training(item) for key, item in value.items() if key not in drop}


def _is_shape(build_config: Json) -> bool:
    shape = build_config.get("input_shape") if isinstance(build_config, dict) and len(build_config) == 1 else None
    return isinstance(shape, list) and all(size is None or type(size) is int for size in shape)
