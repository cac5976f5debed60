"""Files that are no model of Keras, named for what they are, so that their owner knows what to do."""

from __future__ import annotations

import zipfile
from pathlib import Path

from service.file_kinds import HEAD_BYTES, LFS_POINTER, kind_of

# What can be done about some of them.
_ADVICE = {
    "a TensorFlow Lite model": "only models of Keras can be looked into",
    "a safetensors file": "only models of Keras can be looked into",
    "a GGUF model": "only models of Keras can be looked into",
    "a pickle": "pickles are never opened, for they can run code",
    "a gzip archive": "unpack it",
    "a 7z archive": "unpack it",
    "a RAR archive": "unpack it",
    "a tar archive": "unpack it",
    "a compressed archive": "unpack it",
    "JSON": "an architecture needs its weights beside it",
}


def is_pointer(path: Path) -> bool:
    """Whether a file is a pointer of Git LFS, which stands for one that was not fetched."""
    with path.open("rb") as file:
        return file.read(len(LFS_POINTER)) == LFS_POINTER


def what_it_is(path: Path) -> str:
    """Half a sentence about a file, with what to do where that is known."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(b"PK\x03\x04"):
        return _zip(path)
    return what_bytes_are(head, path.suffix.lower())


def what_bytes_are(head: bytes, suffix: str = "") -> str:
    """Says the same of a file's first bytes; its name has an ending like `.onnx`."""
    if not head:
        return "it is empty"
    if head.startswith(b"\x89HDF"):
        return "it is a damaged HDF5 file"
    what = kind_of(head)
    # Their first bytes are no mark of theirs, and may be letters.
    if what and not (what == "plain text" and suffix in (".onnx", ".pb")):
        return f"it is {what}; {_ADVICE.get(what, 'a model is a .keras archive or HDF5 (.h5, .hdf5)')}"
    if suffix == ".onnx":
        return "it is an ONNX model; only models of Keras can be looked into"
    if suffix == ".pb":
        return "it is a frozen graph or a part of a SavedModel; name the folder that holds saved_model.pb"
    return f"it starts with {head[:4]!r}, neither a .keras archive nor HDF5 (.h5, .hdf5)"


def _zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return "it is damaged"
    if any(name.endswith("data.pkl") for name in names):
        return "it is a file of PyTorch; only models of Keras can be looked into"
    if any(name.endswith("saved_model.pb") for name in names):
        return "it is a packed SavedModel; unpack it into a folder"
    if any(name.endswith((".h5", ".keras")) for name in names):
        return "it is a zip with a model inside; unpack it"
    return "it holds " + ", ".join(repr(name[:60]) for name in names[:3])
