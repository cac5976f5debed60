"""Colour maps as tables of 256 RGB colours."""

from __future__ import annotations

from functools import cache
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

COLORMAPS: Final = ("viridis", "jet", "gray", "inferno", "coolwarm")

_JET_KNOTS = (
    ((0.0, 0.35, 0.66, 0.89, 1.0), (0, 0, 1, 1, 0.5)),
    ((0.0, 0.125, 0.375, 0.64, 0.91, 1.0), (0, 0, 1, 1, 0, 0)),
    ((0.0, 0.11, 0.34, 0.65, 1.0), (0.5, 1, 1, 0, 0)),
)
# Every fourth colour of the table in Kenneth Moreland, "Diverging Color Maps for Scientific Visualization", 2009.
_COOLWARM_KNOTS = (
    (59, 76, 192),
    (98, 130, 234),
    (141, 176, 254),
    (184, 208, 249),
    (221, 221, 221),
    (245, 196, 173),
    (244, 154, 123),
    (222, 96, 77),
    (180, 4, 38),
)


@cache
def lookup(name: str) -> npt.NDArray[np.uint8]:
    """The colours of a map, (256, 3) uint8 RGB, read-only. Raises `ValueError` for a name not in `COLORMAPS`.

    `coolwarm` is for signed values: blue below, light grey in the middle, red above. The others run from low to high.
    """
    at = np.linspace(0, 1, 256)
    table: npt.NDArray[np.generic]
    match name:
        case "gray":
            table = np.repeat(np.arange(256)[:, None], 3, axis=1)
        case "viridis" | "inferno":
            code = cv2.COLORMAP_VIRIDIS if name == "viridis" else cv2.COLORMAP_INFERNO
            table = np.asarray(cv2.applyColorMap(np.arange(256, dtype=np.uint8)[None], code))[0, :, ::-1]
        case "jet":
            table = np.stack([255 * np.interp(at, x, y) for x, y in _JET_KNOTS], axis=1)
        case "coolwarm":
            x = np.linspace(0, 1, len(_COOLWARM_KNOTS))
            table = np.rint(np.stack([np.interp(at, x, y) for y in zip(*_COOLWARM_KNOTS, strict=True)], axis=1))
        case _:
            raise ValueError(f"There is no colormap {name!r}; there are {', '.join(COLORMAPS)}.")
    colours = np.ascontiguousarray(table, dtype=np.uint8)
    colours.setflags(write=False)
    return colours


def apply(values: npt.NDArray[np.floating], name: str) -> npt.NDArray[np.uint8]:
    """Colours of values in [0, 1]: shape (H, W) gives (H, W, 3) uint8 RGB.

    Values outside are clipped. Raises `ValueError` for an unknown name.
    """
    return apply_levels(np.clip(values * 256, 0, 255).astype(np.uint8), name)


def apply_levels(levels: npt.NDArray[np.uint8], name: str) -> npt.NDArray[np.uint8]:
    """Colours of table rows: any shape uint8 gives (..., 3) uint8 RGB. Raises `ValueError` for an unknown name."""
    rows = np.ascontiguousarray(levels).reshape(len(levels), -1)
    return np.asarray(cv2.applyColorMap(rows, lookup(name)[:, None]), np.uint8).reshape(*levels.shape, 3)
