"""Whether a model's files can be what they should, told from a few bytes of each: a list of models can afford it."""

from __future__ import annotations

import zipfile
from pathlib import Path

from service.models.files.opening.strangers import what_it_is
from service.models.files.spec import ModelSpec

# What stands for weights of an application beside the name of a file.
NAMED_WEIGHTS = ("imagenet", "random")
# In a folder that was a `.keras` archive.
UNPACKED_WEIGHTS = "model.weights.h5"
# What a folder is told.
NO_MODEL = f"is no model: it has neither saved_model.pb nor config.json and {UNPACKED_WEIGHTS}"
ZIP_MAGIC = b"PK\x03\x04"
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
# By the version of an HDF5 file's first block: where it says how many bytes an address takes, and where the addresses
# begin, of which the third says at which byte the file ends (HDF5 file format, III.A).
_HDF5_ADDRESSES = {0: (13, 24), 1: (13, 28), 2: (9, 12), 3: (9, 12)}
_HDF5_HEAD_BYTES = 52
# Bytes of its owner may stand before that block, which then begins at 512 or any power of two beyond.
_HDF5_STARTS = tuple(512 << power for power in range(8))


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
        if not unpacked.is_file():
            return None
        if not (weights / "config.json").is_file() and not (weights / "saved_model.pb").is_file():
            return f"the folder {weights.name!r} {NO_MODEL}"
        return weights_problem(unpacked)
    if spec.architecture:
        return weights_problem(weights)
    head = first_bytes(weights)
    if head.startswith(ZIP_MAGIC):
        return zip_problem(weights)
    if head.startswith(HDF5_MAGIC):
        return hdf5_problem(weights, head)
    return f"{weights.name!r} is no model file: {what_it_is(weights)}"


def missing_weights(spec: ModelSpec) -> str | None:
    """Says what is wrong with the file that holds the weights of an application; None where none is named."""
    kind = spec.weights or NAMED_WEIGHTS[0]
    if spec.source != "application" or kind in NAMED_WEIGHTS:
        return None
    if not spec.path(kind).is_file():
        return f"model {spec.id!r} names the weights {kind!r}, which is not in its folder"
    return weights_problem(spec.path(kind))


def weights_problem(path: Path) -> str | None:
    """Says what keeps a file from being weights in HDF5."""
    head = first_bytes(path)
    return (
        hdf5_problem(path, head)
        if head.startswith(HDF5_MAGIC)
        else f"{path.name!r} holds no weights: {what_it_is(path)}"
    )


def missing_file(spec: ModelSpec, path: Path) -> str:
    """Says that a file of a model is not there."""
    return f"model {spec.id!r} names the file {path.name!r}, which is not in its folder"


def first_bytes(path: Path) -> bytes:
    """Reads the bytes that tell the kinds of files apart, and how long an HDF5 file is: those from where it begins."""
    with path.open("rb") as file:
        head = file.read(_HDF5_HEAD_BYTES)
        if not head.startswith((ZIP_MAGIC, HDF5_MAGIC)):
            for start in _HDF5_STARTS:
                file.seek(start)
                if (there := file.read(_HDF5_HEAD_BYTES)).startswith(HDF5_MAGIC):
                    return there
        return head


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
    size = path.stat().st_size
    if len(head) <= 8:
        return f"{path.name!r} is a damaged or incomplete HDF5 file: it has {size} bytes; copy or save it again"
    if head[8] not in _HDF5_ADDRESSES:
        return None
    where, start = _HDF5_ADDRESSES[head[8]]
    width = head[where] if len(head) > where else 8
    first = start + 2 * width
    end = int.from_bytes(head[first : first + width], "little")
    if size >= end and len(head) >= first + width:
        return None
    known = f"{size} of {end} bytes" if len(head) >= first + width else f"{size} bytes"
    return f"{path.name!r} is a damaged or incomplete HDF5 file: it has {known}; copy or save it again"
