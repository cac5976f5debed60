"""Arrays, and what is said about them, as one file: an npz that `numpy.load` reads, with a JSON member beside."""

from __future__ import annotations

import io
import zipfile

import numpy as np
from isal import isal_zlib

from service.arrays import Array, Arrays
from service.usecases.pieces import Pieces

PAYLOAD = "payload.json"
_SUFFIX = ".npy"
# What `zipfile` gives members: the owner may read and write.
_ATTRIBUTES = 0o600 << 16


def pack(arrays: Arrays, said: bytes | None = None) -> bytes:
    """Writes what `numpy.savez` would, which takes names as keywords and so not every layer's. Equal in, equal out."""
    return packed(arrays, said).joined()


def packed(arrays: Arrays, said: bytes | None = None) -> Pieces:
    """Writes the same in pieces: large arrays are not copied, and read once, for their checksum."""
    pieces = Pieces()
    with zipfile.ZipFile(pieces, "w") as archive:
        if said is not None:
            _add(archive, pieces, PAYLOAD, said)
        for name, array in arrays.items():
            ordered = np.asarray(array, order="C")
            _add(archive, pieces, name + _SUFFIX, _head(ordered), raw(ordered))
    return pieces


def _add(archive: zipfile.ZipFile, pieces: Pieces, name: str, *contents: bytes | memoryview) -> None:
    """Adds a member whose checksum is known before it is written, so that nothing has to be written twice; `zipfile`
    itself would copy what it writes, and has no checksum but zlib's, which takes ten times as long."""
    member = zipfile.ZipInfo(name)
    member.external_attr = _ATTRIBUTES
    member.header_offset = pieces.tell()
    member.compress_size = member.file_size = sum(len(content) for content in contents)
    member.CRC = 0
    for content in contents:
        member.CRC = isal_zlib.crc32(content, member.CRC)
    for content in (member.FileHeader(), *contents):
        pieces.write(content)
    archive.filelist.append(member)
    archive.start_dir = pieces.tell()


def npy(array: Array) -> Pieces:
    """The file that `numpy.save` makes."""
    pieces, ordered = Pieces(), np.asarray(array, order="C")
    pieces.write(_head(ordered))
    pieces.write(raw(ordered))
    return pieces


def _head(ordered: Array) -> bytes:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(ordered))
    return head.getvalue()


def raw(array: Array) -> memoryview:
    """Its bytes in C order, not copied where they are so already."""
    return np.asarray(array, order="C").reshape(-1).view(np.uint8).data


def unpack(data: bytes) -> tuple[dict[str, Array], bytes]:
    """Gives the arrays of what `pack` made, and the JSON beside them, which is empty where there is none.

    Raises ValueError for anything else; nothing in it is unpickled.
    """
    arrays: dict[str, Array] = {}
    said = b""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                with archive.open(name) as member:
                    if name == PAYLOAD:
                        said = member.read()
                    else:
                        arrays[name.removesuffix(_SUFFIX)] = np.lib.format.read_array(member, allow_pickle=False)
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"this is no archive of arrays: {error}") from error
    return arrays, said
