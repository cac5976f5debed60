"""A photograph of twelve megapixels against the same at the size of a small picture."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import simplejpeg

from tests.benchmarks.bench import Bench
from tests.benchmarks.rows import Row, at_most, seconds
from tests.benchmarks.timing import medians

LARGE, SMALL = (3024, 4032), (240, 360)
TARGETS = {"png": at_most(8), "jpeg": at_most(5)}
GRAIN = 5.0


class Jpegs:
    """Files of one photograph at one size, each with another comment, so that no cache of results can answer."""

    def __init__(self, pixels: np.ndarray, size: tuple[int, int]) -> None:
        large = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_CUBIC).astype(np.float32)
        grained = large + np.random.default_rng(0).normal(0, GRAIN, large.shape)
        self._file = simplejpeg.encode_jpeg(np.clip(grained, 0, 255).astype(np.uint8), 90, "RGB", "420")
        self._number = itertools.count()

    def __call__(self) -> bytes:
        comment = next(self._number).to_bytes(8, "big")
        return self._file[:2] + b"\xff\xfe" + (2 + len(comment)).to_bytes(2, "big") + comment + self._file[2:]


def photographs(bench: Bench) -> list[Row]:
    """A row a form of the answer, on the last network."""
    network = bench.scale.networks[-1]
    pixels = bench.pictures.pixels()
    large, small = (Jpegs(pixels, size) for size in (LARGE, SMALL))
    timed = {
        f"{form} {name}": bench.caller.timed(network.id, "cam", picture, "image/jpeg", outputs="overlay", format=form)
        for form in TARGETS
        for name, picture in (("large", large), ("small", small))
    }
    found = medians(timed, bench.scale.rounds)
    return [
        Row(
            f"photograph/{form}",
            f"cam on {network.title} as {form.upper()}: a photograph of 12 megapixels ÷ of {SMALL[1]}×{SMALL[0]}",
            found[f"{form} large"] / found[f"{form} small"],
            target,
            measured=seconds(found[f"{form} large"]),
            against=seconds(found[f"{form} small"]),
        )
        for form, target in TARGETS.items()
    ]
