"""Whether a model's files can be what they should, told from a few bytes of each: a list of models can afford it."""

from __future__ import annotations

import zipfile
from pathlib import Path

from service.models.opening.strangers import what_it_is
from service.models.spec import ModelSpec

# What stands for weights of an application beside the name of a file.
NAMED_WEIGHTS = ("imagenet", "random")
# In a folder that was a `.keras` archive.
UNPACKED_WEIGHTS = "model.weights.h5"
ZIP_MAGIC = b"PK\x03\x04"
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
# Where HDF5 says at which byte a file ends, by the version of its first block (HDF5 file format, III.A).
_HDF5_END = {0: 40, 1: 44, 2: 28, 3: 28}
_HDF5_HEAD_BYTES = 52


def first_problem(spec: ModelSpec) -> str | None:
    """Says why the model cannot be loaded; None where only opening its files would tell, or it has none.

    Raises OSError for files that cannot be looked at.
    """
    for path in spec.files():
        if not path.is_file():
            return missing_file(spec, path)
    if spec.source != "file":
        return missing_weights(spec)
    weights = spec.path(spec.weights or "")
    if weights.is_dir():
        unpacked = weights / UNPACKED_WEIGHTS
        return hdf5_problem(unpacked, first_bytes(unpacked)) if unpacked.is_file() else None
    head = first_bytes(weights)
    if spec.architecture and not head.startswith(HDF5_MAGIC):
        return f"{weights.name!r} holds no weights: {what_it_is(weights)}"
    if head.startswith(ZIP_MAGIC):
        return zip_problem(weights)
    if head.startswith(HDF5_MAGIC):
        return hdf5_problem(weights, head)
    return f"{weights.name!r} is no model file: {what_it_is(weights)}"


def missing_weights(spec: ModelSpec) -> str | None:
    """Says that the file is not there which holds the weights of an application; None where none is named, or it is."""
    kind = spec.weights or NAMED_WEIGHTS[0]
    if spec.source != "application" or kind in NAMED_WEIGHTS or spec.path(kind).is_file():
        return None
    return f"model {spec.id!r} names the weights {kind!r}, which is not in its folder"


def missing_file(spec: ModelSpec, path: Path) -> str:
    """Says that a file of a model is not there."""
    return f"model {spec.id!r} names the file {path.name!r}, which is not in its folder"


def first_bytes(path: Path) -> bytes:
    """Reads the bytes that tell the kinds of files apart, and how long an HDF5 file is."""
    with path.open("rb") as file:
        return file.read(_HDF5_HEAD_BYTES)


def zip_problem(path: Path) -> str | None:
    """Says what keeps an archive from being a `.keras` file; its table of contents alone is read."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.replace("\\", "/") for name in archive.namelist()}
    except (zipfile.BadZipFile, EOFError, NotImplementedError):
        return f"{path.name!r} is a damaged or incomplete zip archive; copy or save it again"
    if "config.json" in names:
        return None
    return f"{path.name!r} is a zip archive but not a .keras file: it has no config.json; {what_it_is(path)}"


def hdf5_problem(path: Path, head: bytes) -> str | None:
    """Says that an HDF5 file ends too early; None where it does not."""
    start = _HDF5_END.get(head[8]) if len(head) > 8 else None
    if start is None or len(head) < start + 8:
        return None
    end, size = int.from_bytes(head[start : start + 8], "little"), path.stat().st_size
    if size >= end:
        return None
    return f"{path.name!r} is a damaged or incomplete HDF5 file: it has {size} of {end} bytes; copy or save it again"
