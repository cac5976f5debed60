"""Pictures as files: PNG as they are, JPEG and WebP without what the eye hardly sees, several one after another.

PNG is written fast: each row as its difference from the one above, deflated by ISA-L. PNG specification, third edition
(W3C 2025): filter type 2 in 9.2, chunks in 5.3; RFC 1950 and 1951 for what is in IDAT.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from functools import reduce
from itertools import chain
from typing import Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
from isal import isal_zlib
from PIL import Image

from service.strips import parts, side_by_side

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_UP = 2
# Deflate with a window of 32 KiB, at the fastest level.
_ZLIB_HEADER = b"\x78\x01"
_LEVEL = 1
_GREY, _RGB = 0, 2
_PIECE_BYTES = 128 * 1024
_ADLER = 65521


class _Part(NamedTuple):
    """Rows that were deflated: the Adler-32 checksum and the number of the bytes that they were."""

    pieces: list[bytes]
    checksum: int
    size: int


def encode_png(image: npt.NDArray[np.uint8]) -> bytes:
    """A PNG file without metadata of (H, W) grey or (H, W, 3) RGB uint8.

    The same pixels give the same bytes on the same kind of processor. Raises `ValueError` for another shape or dtype.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)) or image.size == 0:
        raise ValueError(f"cannot encode shape {image.shape}, dtype {image.dtype}")
    height, width = image.shape[:2]
    rows = np.ascontiguousarray(image).reshape(height, -1)
    wide = 1 + rows.shape[1]
    tall = max(1, _PIECE_BYTES // wide)

    def deflated(part: slice) -> _Part:
        start, end, _ = part.indices(height)
        filtered = np.empty((tall, wide), np.uint8)
        filtered[:, 0] = _UP
        deflate = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, -isal_zlib.MAX_WBITS)
        pieces, checksum = [], 1
        # In pieces that fit the cache: what is made of a large one is copied each time that it outgrows its buffer.
        for first in range(start, end, tall):
            last = min(first + tall, end)
            above = max(first, 1)
            if first == 0:
                filtered[0, 1:] = rows[0]
            piece = filtered[: last - first]
            np.subtract(rows[above:last], rows[above - 1 : last - 1], out=piece[above - first :, 1:])
            checksum = isal_zlib.adler32(piece, checksum)
            pieces.append(deflate.compress(piece))
        # A part that does not end the stream ends on a byte, so that the next begins on one.
        pieces.append(deflate.flush(isal_zlib.Z_FINISH if end == height else isal_zlib.Z_SYNC_FLUSH))
        return _Part(pieces, checksum, (end - start) * wide)

    found = side_by_side(deflated, parts(height, wide))
    checksum = struct.pack(">I", reduce(_checksum, found, 1))
    header = struct.pack(">IIBBBBB", width, height, 8, _GREY if image.ndim == 2 else _RGB, 0, 0, 0)
    data = _chunk(b"IDAT", _ZLIB_HEADER, *chain.from_iterable(part.pieces for part in found), checksum)
    return b"".join([_SIGNATURE, *_chunk(b"IHDR", header), *data, *_chunk(b"IEND")])


def _checksum(before: int, part: _Part) -> int:
    """The Adler-32 of all bytes before and the part's, from that of each (RFC 1950, 8.2: two sums modulo 65521)."""
    low, low_of_part = before & 0xFFFF, part.checksum & 0xFFFF
    high = (before >> 16) + (part.checksum >> 16) + part.size * (low - 1)
    return (high % _ADLER) << 16 | (low + low_of_part - 1) % _ADLER


def _chunk(kind: bytes, *pieces: bytes) -> list[bytes]:
    checksum = isal_zlib.crc32(kind)
    for piece in pieces:
        checksum = isal_zlib.crc32(piece, checksum)
    return [struct.pack(">I", sum(map(len, pieces))), kind, *pieces, struct.pack(">I", checksum)]


Pixels = npt.NDArray[np.uint8]
Still = Literal["png", "jpeg", "webp"]
# What libjpeg and libwebp can write down.
MOST_SIDE_PX: dict[Still, int] = {"png": 2**31 - 1, "jpeg": 65_500, "webp": 16_383}
USUAL_QUALITY: dict[Still, int] = {"jpeg": 90, "webp": 85}
# From here on, whoever asks wants colours too as they are.
FULL_COLOUR_QUALITY = 95


def encode_still(picture: Pixels, form: Still, quality: int | None = None) -> bytes:
    """The file of (H, W, 3) RGB uint8, each side at most MOST_SIDE_PX; `quality` is 1 to 100, None for the usual one,
    and nothing to PNG.
    """
    if form == "png":
        return encode_png(picture)
    kept = USUAL_QUALITY[form] if quality is None else quality
    if form == "jpeg":
        sampling = "444" if kept >= FULL_COLOUR_QUALITY else "420"
        return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(picture), kept, "RGB", sampling))
    encoded, data = cv2.imencode(".webp", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, kept])
    if not encoded:
        raise ValueError(f"cannot encode shape {picture.shape}")
    return data.tobytes()


def shrunk(picture: Pixels, max_side: int | None) -> Pixels:
    """The picture with both sides at most `max_side`, averaged; itself where it is no larger."""
    height, width = shrunk_size((picture.shape[0], picture.shape[1]), max_side)
    if (height, width) == picture.shape[:2]:
        return picture
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def shrunk_size(size: tuple[int, int], max_side: int | None) -> tuple[int, int]:
    """(H, W) in the same proportion with both at most `max_side`, and each at least 1."""
    if max_side is None or max(size) <= max_side:
        return size
    height, width = (max(1, round(side * max_side / max(size))) for side in size)
    return height, width


FRAME_MS = 120
# The last picture is the result: time to look at it before it starts again.
LAST_FRAME_MS = 1500


def encode_animation(frames: Sequence[npt.NDArray[np.uint8]], form: Literal["webp", "gif"]) -> bytes:
    """(H, W, 3) uint8 RGB pictures of one size as an animated file that repeats for ever.

    Raises `ValueError` for no picture, or pictures of several sizes.
    """
    if not frames or len({frame.shape for frame in frames}) != 1:
        raise ValueError("an animation needs pictures of one size")
    first, *others = [Image.fromarray(frame) for frame in frames]
    durations = [FRAME_MS] * len(others) + [LAST_FRAME_MS]
    buffer = io.BytesIO()
    first.save(
        buffer, form.upper(), save_all=True, append_images=others, duration=durations, loop=0, quality=85, method=2
    )
    return buffer.getvalue()
