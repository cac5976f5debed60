"""Arrays that are taken for levels 0..255: what is scaled to them, and what cannot be any."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Levels:
    """An array as levels, uint8 or float32 of the same shape.

    `scaled` says how they were made of other numbers, `problem` why these can hardly be levels; both None as a rule.
    """

    values: npt.NDArray[np.uint8] | npt.NDArray[np.float32]
    scaled: str | None = None
    problem: str | None = None


def as_levels(
    array: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | npt.NDArray[np.float32],
) -> Levels:
    """Scales uint16 beyond 255 by 1/257, as 16-bit files are; computes everything else as it is.

    What lies within 0..1 without being 0 everywhere, below 0, or above 255 is told as a problem.
    """
    if array.dtype == np.uint8:
        return Levels(array.astype(np.uint8, copy=False))
    low, high = float(array.min()), float(array.max())
    values = array.astype(np.float32, copy=False)
    if array.dtype == np.uint16 and high > 255:
        return Levels(values / np.float32(257), scaled="uint16 / 257")
    if low >= 0 and (1 < high <= 255 or high == 0):
        return Levels(values)
    return Levels(
        values,
        problem=f"the array's numbers lie from {low:g} to {high:g} and are computed as levels 0..255; "
        "send levels 0..255, or preprocess=false with the network's own values",
    )
