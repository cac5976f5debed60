"""Pictures one after another: as many, in order, for ever, the last one long enough to look at."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from service.imaging.encoding import FRAME_MS, LAST_FRAME_MS, encode_animation

LEVELS = (0, 90, 180, 250)
FRAMES = [np.full((20, 30, 3), level, np.uint8) for level in LEVELS]


@pytest.mark.parametrize("form", ["webp", "gif"])
def test_frames(form: Literal["webp", "gif"]) -> None:
    with Image.open(io.BytesIO(encode_animation(FRAMES, form))) as moving:
        assert (moving.format, moving.size, moving.n_frames, moving.info["loop"]) == (form.upper(), (30, 20), 4, 0)
        durations = []
        for place, level in enumerate(LEVELS):
            moving.seek(place)
            pixels = np.asarray(moving.convert("RGB")).astype(int)
            assert abs(pixels - level).max() <= 3
            durations.append(moving.info["duration"])
    assert durations == [FRAME_MS] * 3 + [LAST_FRAME_MS]


def test_one_size_only() -> None:
    for frames in ([], [FRAMES[0], FRAMES[0][:10]]):
        with pytest.raises(ValueError, match="one size"):
            encode_animation(frames, "webp")
