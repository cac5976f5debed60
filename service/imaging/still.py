"""Pictures as files: one as PNG, JPEG or WebP, several one after another as WebP or GIF."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

from service.imaging.png import encode_png

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
