"""Arrays, and what is said about them, as one file: an npz that `numpy.load` reads, with a JSON member beside."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
import orjson
from numpy.typing import NDArray

PAYLOAD = "payload.json"
_SUFFIX = ".npy"


def pack(arrays: Mapping[str, NDArray[Any]], payload: Mapping[str, Any] | None = None) -> bytes:
    """As `numpy.savez`, which cannot take every layer's name as it takes them as keywords. Equal input, equal bytes."""
    return bytes(packed(arrays, payload))


def packed(arrays: Mapping[str, NDArray[Any]], payload: Mapping[str, Any] | None = None) -> memoryview:
    """As `pack`, each array copied once."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        if payload is not None:
            archive.writestr(zipfile.ZipInfo(PAYLOAD), orjson.dumps(payload, option=orjson.OPT_SERIALIZE_NUMPY))
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(name + _SUFFIX), "w", force_zip64=True) as member:
                _write(member, array)
    return buffer.getbuffer()


def npy(array: NDArray[Any]) -> memoryview:
    """The file that `numpy.save` makes."""
    buffer = io.BytesIO()
    _write(buffer, array)
    return buffer.getbuffer()


def _write(file: IO[bytes], array: NDArray[Any]) -> None:
    ordered = np.asarray(array, order="C")
    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(ordered))
    file.write(raw(ordered))


def raw(array: NDArray[Any]) -> memoryview:
    """Its bytes in C order, not copied where they are so already."""
    return np.asarray(array, order="C").reshape(-1).view(np.uint8).data


def unpack(data: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Arrays and payload of what `pack` made. Raises ValueError for anything else; nothing in it is unpickled."""
    arrays: dict[str, NDArray[Any]] = {}
    payload: dict[str, Any] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                with archive.open(name) as member:
                    if name == PAYLOAD:
                        payload = orjson.loads(member.read())
                    else:
                        arrays[name.removesuffix(_SUFFIX)] = np.lib.format.read_array(member, allow_pickle=False)
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"this is no archive of arrays: {error}") from error
    return arrays, payload
