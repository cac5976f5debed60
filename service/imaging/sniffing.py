"""What can be told from a file's bytes without decoding them. Nothing here believes a length it is told."""

from __future__ import annotations

import re
from typing import Final

from service.errors import UndecodableImage
from service.file_kinds import kind_of

MEDIA_TYPES: Final[dict[str, str]] = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/bmp": "bmp",
}
ACCEPTED = "PNG, JPEG, WebP, GIF and BMP are accepted"
_MAX_GIF_FRAMES = 1000
# What is an image all the same, sent in another way than it is taken.
_SENT_OTHERWISE: Final[list[tuple[bytes, str]]] = [
    (rb"data:|iVBORw0KGgo|/9j/|UklGR|R0lGOD", "base64 text (send the bytes themselves, or JSON)"),
    (rb"\x93NUMPY", "a NumPy array (send it as application/x-npy)"),
]


def sniff(data: bytes) -> str:
    """The format the first bytes promise: `png`, `jpeg`, `webp`, `gif` or `bmp`.

    Raises `UndecodableImage` saying what the bytes look like instead.
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if data.startswith(b"BM"):
        return "bmp"
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


def is_cut_off(data: bytes, format_: str) -> bool:
    """Whether the mark that ends a file of this format is missing."""
    match format_:
        case "png":
            return b"IEND" not in data[-1024:]
        case "jpeg":
            return b"\xff\xd9" not in data[-1024:]
        case "gif":
            return not data.endswith(b";")
        case "webp":
            return int.from_bytes(data[4:8], "little") + 8 > len(data)
        case _:
            return int.from_bytes(data[2:6], "little") > len(data)
