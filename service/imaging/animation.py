"""Pictures one after another in one file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

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
