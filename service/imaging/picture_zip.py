"""A set of pictures as one zip: what is in it is read a picture at a time, and one that is bad is left out.

Nothing of it is ever written to a disk, and nothing in it is believed before it is counted.
"""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import PurePosixPath

from service.errors import ImageTooLarge, InvalidParameter, KerascopeError, TooLarge, UndecodableImage
from service.imaging.decode import DecodedImage, DecodeLimits, decode
from service.imaging.formats import sniff

MOST_MEMBERS = 2000
MOST_DIRECTORY_BYTES = 2**20
MOST_UNPACKED_BYTES = 2**29
MOST_PICTURE_BYTES = 2**26
MOST_RATIO = 100
# Below this a good ratio is no bomb: drawings are packed well.
FREE_BYTES = 8 * 1024**2
# All pictures of a set together have at most so many times the pixels that one may have.
PIXELS_OF_SET = 10
# What file managers leave behind.
PASSED_OVER = {".ds_store", "thumbs.db", "desktop.ini"}
PASSED_FOLDERS = {"__macosx"}
ZIP = b"PK"
_END, _LOCATOR, _END_BYTES, _COMMENT_BYTES = b"PK\x05\x06", b"PK\x06\x07", 22, 2**16
_NO_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Taken:
    """What was found in a set: the names of its pictures in order, and why others were left out, by their names."""

    pictures: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]


def zipped(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Files as a zip that is the same for the same files; of several with one name, the later ones get a number."""
    stream = io.BytesIO()
    known: set[str] = set()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in files:
            # A name in another encoding than UTF-8 has characters that none has.
            plain = name.encode("utf-8", "replace").decode("utf-8").replace("\\", "/").replace("\0", "")
            short = PurePosixPath(plain).name
            short = "picture" if short in ("", "..") else short
            numbered = (f"{number} {short}" for number in count(2))
            own = short if short not in known else next(each for each in numbered if each not in known)
            known.add(own)
            archive.writestr(zipfile.ZipInfo(own, _NO_DATE), data)
    return stream.getvalue()


def pictures_in(data: bytes, limits: DecodeLimits) -> Taken:
    """Decodes every picture of a zip, one after the other, and keeps none.

    Raises InvalidParameter or TooLarge for a zip that is damaged, encrypted, larger than it may be, or that holds what
    no set of pictures does: other archives, links, paths that lead out of it. A member that is no picture, or a bad or
    too large one, is left out.
    """
    taken: list[str] = []
    left_out: list[tuple[str, str]] = []
    pixels = 0
    with _opened(data) as archive:
        for member in _members(archive):
            try:
                image = _picture(archive, member, limits)
            except (UndecodableImage, ImageTooLarge) as error:
                left_out.append((member.filename, error.detail))
                continue
            pixels += image.pixels.shape[0] * image.pixels.shape[1]
            if pixels > PIXELS_OF_SET * limits.max_pixels:
                most = PIXELS_OF_SET * limits.max_pixels
                raise TooLarge(f"the pictures have more than {most} pixels in all; send fewer, or smaller ones")
            taken.append(member.filename)
    return Taken(tuple(taken), tuple(left_out))


class OpenZip:
    """A zip whose pictures are decoded one at a time; its directory is read once. Raises what `pictures_in` does."""

    def __init__(self, data: bytes, limits: DecodeLimits) -> None:
        self._archive = _opened(data)
        self._members = {member.filename: member for member in _members(self._archive)}
        self._limits = limits

    def picture(self, name: str) -> DecodedImage:
        """The picture of that name. Raises what `pictures_in` does, and for a bad one too."""
        return _picture(self._archive, self._members[name], self._limits)


def _opened(data: bytes) -> zipfile.ZipFile:
    """Its directory is read whole by `zipfile`, so its size is looked at before."""
    if not data.startswith(ZIP):
        raise InvalidParameter(f"it is no zip, nor a picture; {_looks(data)}")
    end = len(data) - _END_BYTES
    if data[end : end + 4] != _END or data[-2:] != b"\0\0":
        end = data.rfind(_END, max(0, len(data) - _END_BYTES - _COMMENT_BYTES))
    if end < 0 or len(data) < end + _END_BYTES:
        raise InvalidParameter("the zip is damaged or was cut off on its way; make it again, or send it again")
    size, count = (
        int.from_bytes(data[end + 12 : end + 16], "little"),
        int.from_bytes(data[end + 10 : end + 12], "little"),
    )
    if data[max(0, end - 20) :].startswith(_LOCATOR) or size > MOST_DIRECTORY_BYTES or count > MOST_MEMBERS:
        raise TooLarge(f"the zip has more than the {MOST_MEMBERS} members that one set of pictures may have")
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise InvalidParameter("the zip is damaged; make it again, or send it again") from error


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The members that should be pictures, by name. Raises InvalidParameter or TooLarge for what no set of pictures
    holds."""
    found: dict[str, zipfile.ZipInfo] = {}
    if len(archive.infolist()) > MOST_MEMBERS:
        raise TooLarge(f"the zip has more than the {MOST_MEMBERS} members that one set of pictures may have")
    for member in archive.infolist():
        path = PurePosixPath(member.filename.replace("\\", "/"))
        shown = repr(member.filename[:100])
        if path.is_absolute() or ".." in path.parts or "\0" in member.orig_filename:
            raise InvalidParameter(f"the zip holds {shown}, whose path leads out of it")
        if member.is_dir() or _passed_over(path):
            continue
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
            raise InvalidParameter(f"the zip holds {shown}, which is no ordinary file")
        if member.flag_bits & 0x1:
            raise InvalidParameter(f"{shown} in the zip is encrypted; send it without a password")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InvalidParameter(
                f"{shown} in the zip is packed in a way that is not taken; use the usual one, deflate"
            )
        if member.file_size > max(FREE_BYTES, MOST_RATIO * member.compress_size):
            raise TooLarge(f"{shown} in the zip is packed more than {MOST_RATIO} times")
        if member.filename in found:
            raise InvalidParameter(f"the zip holds {shown} twice")
        found[member.filename] = member
    if sum(member.file_size for member in found.values()) > MOST_UNPACKED_BYTES:
        raise TooLarge(f"the zip unpacks to more than {MOST_UNPACKED_BYTES} bytes; send fewer, or smaller pictures")
    return [found[name] for name in sorted(found)]


def _passed_over(path: PurePosixPath) -> bool:
    folders = {part.lower() for part in path.parts[:-1]}
    return bool(folders & PASSED_FOLDERS) or path.name.lower() in PASSED_OVER or path.name.startswith("._")


def _picture(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limits: DecodeLimits) -> DecodedImage:
    """Raises UndecodableImage or ImageTooLarge; InvalidParameter for a zip within the zip."""
    if member.file_size > MOST_PICTURE_BYTES:
        raise ImageTooLarge(f"The picture has more than {MOST_PICTURE_BYTES} bytes.")
    try:
        with archive.open(member) as file:
            data = file.read(MOST_PICTURE_BYTES + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError, RuntimeError, NotImplementedError) as error:
        raise UndecodableImage("It is damaged within the zip.") from error
    if data.startswith(b"PK\x03\x04"):
        raise InvalidParameter(f"the zip holds another zip, {member.filename[:100]!r}; send the pictures themselves")
    return decode(data, limits)


def _looks(data: bytes) -> str:
    """Says what the bytes look like, in the words of the decoder."""
    try:
        sniff(data)
    except KerascopeError as error:
        return error.detail
    return "a picture is a file part of its own, or one of several in a zip"
