"""The formats of pictures that are taken, and what can be told from a file's bytes without decoding them.

Nothing here believes a length it is told.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from service.errors import UndecodableImage
from service.file_kinds import kind_of


@dataclass(frozen=True)
class FileFormat:
    """One format of pictures: how its files begin, who opens them, and whether the mark that ends a file is missing.

    `opener` is Pillow's class and not `Image.open`: that one warns about large files before it tells their size, and a
    warning cannot be caught in one thread without changing the filters of all the others.
    """

    name: str
    media_types: tuple[str, ...]
    beginning: bytes
    opener: Callable[[io.BytesIO], ImageFile]
    is_cut_off: Callable[[bytes], bool]

    @property
    def short(self) -> str:
        """The name in an answer: `png`."""
        return self.name.lower()


def _ends_too_early(data: bytes, start: int, more: int = 0) -> bool:
    """Whether fewer bytes arrived than the four at `start` promise."""
    return int.from_bytes(data[start : start + 4], "little") + more > len(data)


FORMATS: Final[tuple[FileFormat, ...]] = (
    FileFormat("PNG", ("image/png",), rb"\x89PNG\r\n\x1a\n", PngImageFile, lambda data: b"IEND" not in data[-1024:]),
    FileFormat(
        "JPEG",
        ("image/jpeg", "image/jpg"),
        rb"\xff\xd8\xff",
        JpegImageFile,
        lambda data: b"\xff\xd9" not in data[-1024:],
    ),
    FileFormat("WebP", ("image/webp",), rb"(?s)RIFF....WEBP", WebPImageFile, lambda data: _ends_too_early(data, 4, 8)),
    FileFormat("GIF", ("image/gif",), rb"GIF8[79]a", GifImageFile, lambda data: not data.endswith(b";")),
    FileFormat("BMP", ("image/bmp",), rb"BM", BmpImageFile, lambda data: _ends_too_early(data, 2)),
)
MEDIA_TYPES: Final[tuple[str, ...]] = tuple(kind for each in FORMATS for kind in each.media_types)
ACCEPTED = f"{', '.join(each.name for each in FORMATS[:-1])} and {FORMATS[-1].name} are accepted"
_MAX_GIF_FRAMES = 1000
# What is an image all the same, sent in another way than it is taken.
_SENT_OTHERWISE: Final[list[tuple[bytes, str]]] = [
    (rb"data:|iVBORw0KGgo|/9j/|UklGR|R0lGOD", "base64 text (send the bytes themselves, or JSON)"),
    (rb"\x93NUMPY", "a NumPy array (send it as application/x-npy)"),
]


def sniff(data: bytes) -> FileFormat:
    """The format that the first bytes promise.

    Raises `UndecodableImage` saying what the bytes look like instead.
    """
    if found := next((each for each in FORMATS if re.match(each.beginning, data)), None):
        return found
    if not data:
        raise UndecodableImage(f"The image is empty: 0 bytes arrived; {ACCEPTED}.")
    otherwise = next((what for pattern, what in _SENT_OTHERWISE if re.match(pattern, data)), None)
    if what := otherwise or kind_of(data):
        raise UndecodableImage(f"The bytes are not an accepted image: they look like {what}; {ACCEPTED}.")
    raise UndecodableImage(f"The bytes are not an image of a known format; {ACCEPTED}.")


def webp_size(data: bytes) -> tuple[int, int]:
    """Width and height; libwebp reserves the canvas as soon as it sees the file, so they are read before.

    Raises `EOFError` where the header is incomplete.
    """
    if len(data) < 30:
        raise EOFError
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF


def gif_frames(data: bytes) -> int:
    """The number of pictures in a GIF, 1 to 1000; counting stops there, and where the file breaks off."""

    def after_palette(at: int, flags: int) -> int:
        return at + (3 << (flags & 7) + 1 if flags & 128 else 0)

    at, frames = after_palette(13, data[10]), 0
    while at + 10 < len(data) and data[at] in b"\x21\x2c" and frames < _MAX_GIF_FRAMES:
        if data[at] == 0x2C:
            frames += 1
            at = after_palette(at + 10, data[at + 9]) + 1
        else:
            at += 2
        while at < len(data) and data[at]:
            at += data[at] + 1
        at += 1
    return max(frames, 1)


def jpeg_scans(data: bytes) -> int:
    """The number of start-of-scan headers in a JPEG; appended films contain the bare marker by chance, these hardly."""
    return len(re.findall(rb"\xff\xda\x00(?:\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)", data))
