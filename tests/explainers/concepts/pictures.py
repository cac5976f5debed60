"""Pictures that tests draw: soft blobs of random colours, and the same with stripes."""

from __future__ import annotations

import numpy as np


def blobs(count: int, size: tuple[int, int], seed: int) -> np.ndarray:
    """(n, h, w, 3) float32 levels 0..255."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    pictures = np.empty((count, *size, 3), np.float32)
    for picture in pictures:
        picture[:] = random.uniform(0, 255, 3)
        for _ in range(6):
            row, column = random.uniform(0, size[0]), random.uniform(0, size[1])
            near = np.exp(
                -((rows - row) ** 2 + (columns - column) ** 2) / (2 * (random.uniform(0.05, 0.2) * size[0]) ** 2)
            )
            picture += near[..., None] * (random.uniform(0, 255, 3) - picture)
    return pictures


def striped(count: int, size: tuple[int, int], seed: int) -> np.ndarray:
    """The same under black stripes of random angles."""
    pictures = blobs(count, size, seed)
    random = np.random.default_rng(seed + 1)
    rows, columns = np.mgrid[: size[0], : size[1]]
    for picture in pictures:
        angle, phase = random.uniform(0, np.pi), random.uniform(0, 6)
        wave = np.sin((rows * np.cos(angle) + columns * np.sin(angle)) * 60 / size[0] + phase)
        picture[wave > 0] = 0
    return pictures
