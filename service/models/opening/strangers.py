"""Files that are no model of Keras, named for what they are, so that their owner knows what to do."""

from __future__ import annotations

import zipfile
from pathlib import Path

_HEAD_BYTES = 512
_POINTER = b"version https://git-lfs.github.com"


def is_pointer(path: Path) -> bool:
    """Whether a file is a pointer of Git LFS, which stands for one that was not fetched."""
    with path.open("rb") as file:
        return file.read(len(_POINTER)) == _POINTER


def what_it_is(path: Path) -> str:
    """Half a sentence about a file, with what to do where that is known."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    text = head.lstrip().lower()
    if not head:
        return "it is empty"
    if head.startswith(_POINTER):
        return "it is a pointer of Git LFS and not the file itself; run 'git lfs pull' where it came from"
    if head[4:8] == b"TFL3":
        return "it is a TensorFlow Lite model; only models of Keras can be looked into"
    if text.startswith((b"<!doctype html", b"<html")):
        return "it is a web page, perhaps a download that asked for a login"
    if text.startswith(b"<?xml") or text.startswith(b"<error"):
        return "it is an XML document, perhaps the error of a download"
    if head.startswith(b"PK\x03\x04"):
        return _zip(path)
    if head.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        return "it is a pickle, which is never opened, for it can run code"
    if head.startswith(b"\x1f\x8b"):
        return "it is packed with gzip; unpack it"
    if head.startswith(b"\x89HDF"):
        return "it is a damaged HDF5 file"
    if path.suffix.lower() == ".onnx":
        return "it is an ONNX model; only models of Keras can be looked into"
    if path.suffix.lower() == ".pb":
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
