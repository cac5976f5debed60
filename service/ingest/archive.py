"""The zip that a `.keras` file is: exactly its three members, each once, none larger than it says."""

from __future__ import annotations

import json
import stat
import struct
import zipfile
import zlib
from pathlib import Path

from service.ingest.verdict import Refused
from service.json_types import JsonObject

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
MEMBERS = {CONFIG, METADATA, WEIGHTS}
MOST_RATIO = 100
# Below this a good ratio is no bomb: configs are repetitive.
FREE_BYTES = 8 * 1024**2
_END_BYTES = 22
_BLOCK = 1024**2


def read(path: Path, weights: Path, max_json_bytes: int, max_weights_bytes: int) -> bytes:
    """The config; the weights are written to a file of their own. Raises Refused."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, path.stat().st_size)
            _check_gaps(path, list(members.values()), archive.start_dir)
            config = _whole(archive, members[CONFIG], max_json_bytes)
            _whole(archive, members[METADATA], max_json_bytes)
            _copy(archive, members[WEIGHTS], weights, max_weights_bytes)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError):
        said = "the file is a damaged or incomplete zip archive; save it again, or send it again"
        raise Refused("model.unreadable", said) from None
    except (zipfile.LargeZipFile, NotImplementedError, ValueError) as error:
        raise Refused("model.unreadable", f"the file is an unusual zip archive: {str(error)[:200]}") from None
    except RuntimeError:
        raise Refused("model.bad_archive", "the archive is encrypted") from None
    return config


def metadata(path: Path) -> JsonObject:
    """What the archive, which `read` has let through, says of itself."""
    with zipfile.ZipFile(path) as archive:
        values = json.loads(archive.read(METADATA))
    return values if isinstance(values, dict) else {}


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    found = archive.infolist()
    names = [info.filename for info in found]
    if CONFIG not in names:
        raise Refused("model.unsupported", "the file is a zip archive but not a .keras file: it has no config.json")
    if sorted(names) != sorted(MEMBERS):
        odd = next((name for name in names if name not in MEMBERS or names.count(name) > 1), "nothing else")
        raise Refused(
            "model.bad_archive",
            f"the archive holds {odd[:100]!r}; what is taken holds {', '.join(sorted(MEMBERS))}, each once",
        )
    for info in found:
        if info.flag_bits & 0x1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Refused("model.bad_archive", f"{info.filename!r} is encrypted, or packed in a way that is not taken")
        mode = info.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise Refused("model.bad_archive", f"{info.filename!r} is no ordinary file")
        if info.file_size > max(FREE_BYTES, MOST_RATIO * info.compress_size):
            raise Refused("model.too_large", f"{info.filename!r} is packed more than {MOST_RATIO} times")
    starts = min(info.header_offset for info in found)
    ends = archive.start_dir + sum(_entry_bytes(info) for info in found) + _END_BYTES
    if starts != 0 or archive.comment or ends != size:
        raise Refused("model.bad_archive", "there is something before, behind or beside the archive's members")
    return {info.filename: info for info in found}


def _check_gaps(path: Path, members: list[zipfile.ZipInfo], end: int) -> None:
    """Each member begins where the one before it ends: a reader that ignores the directory finds nothing else."""
    at = 0
    with path.open("rb") as file:
        for info in sorted(members, key=lambda info: info.header_offset):
            file.seek(info.header_offset)
            header = file.read(30)
            if info.header_offset != at or len(header) != 30 or info.flag_bits & 0x8:
                raise Refused("model.bad_archive", "there is something between the archive's members")
            at += 30 + sum(struct.unpack("<2H", header[26:30])) + info.compress_size
    if at != end:
        raise Refused("model.bad_archive", "there is something between the archive's members")


def _entry_bytes(info: zipfile.ZipInfo) -> int:
    """Counts the bytes of its entry in the archive's directory."""
    return 46 + len(info.orig_filename.encode()) + len(info.extra) + len(info.comment)


def _whole(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes:
    with archive.open(info) as member:
        data = member.read(most + 1)
    if len(data) > most:
        raise Refused("model.too_large", f"{info.filename!r} has more than {most} bytes")
    return data


def _copy(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, most: int) -> None:
    written = 0
    with archive.open(info) as member, path.open("xb") as file:
        while block := member.read(_BLOCK):
            written += len(block)
            if written > most:
                raise Refused("model.too_large", f"{info.filename!r} has more than {most} bytes")
            file.write(block)
