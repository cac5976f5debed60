"""The files of one upload: which kind they are, and what they hold once everything about them has been checked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from service.errors import ModelNotLoadable
from service.ingest import archive, hdf5, strict_json
from service.ingest.config import Config
from service.ingest.limits import IngestLimits
from service.ingest.verdict import Refused
from service.models.legacy import repair

ARCHIVE, HDF5, ARCHITECTURE, WEIGHTS = "upload.keras", "upload.h5", "upload.json", "upload.weights.h5"
EXTRACTED = "extracted.weights.h5"


@dataclass(frozen=True)
class Checked:
    """A config of Keras 3, the file that holds its weights, the arrays in that, and how often each class is used."""

    config: dict[str, Any]
    weights: Path
    arrays: hdf5.Shapes
    classes: Counter[str]


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
    config = strict_json.parse(text, "the architecture", limits.max_json_bytes, limits.max_json_depth)
    try:
        config = _bare(config)
        Config(limits.extra_classes, limits.max_layers).check_model(config)
        # What is repaired is looked at again: it is that which is built.
        config = repair(config)
        walk = Config(limits.extra_classes, limits.max_layers)
        walk.check_model(config)
    except ModelNotLoadable as error:
        raise Refused("model.unsupported", error.detail) from None
    except RecursionError:
        raise Refused("model.bad_graph", "models are nested too deep") from None
    return Checked(config, weights, arrays, walk.counts)


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


def _bare(value: Any) -> Any:
    """Without what is not needed to build it, and would be run for nothing."""
    if isinstance(value, list):
        return [_bare(item) for item in value]
    if not isinstance(value, dict):
        return value
    drop = ("build_config", "compile_config", "shared_object_id") if "class_name" in value else ()
    return {key: _bare(item) for key, item in value.items() if key not in drop}
