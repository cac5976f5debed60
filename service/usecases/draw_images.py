"""Images that were made by ascent: as a grid, one by one, their objective's history, and how they came about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.arrays import Arrays
from service.contract.results import MethodResult
from service.explainers.maximization import MaximizationParams, displayed
from service.imaging import grid, plot
from service.json_types import Fields

Pixels = NDArray[np.uint8]
BLACK = (0, 0, 0)
SMALLEST_TILE_PX = 48
# More lines than this could not be told apart: then the highest, the median and the lowest stand for all.
MAX_LINES = 7
MOVING_PX = 1_000_000


def image_pictures(
    params: MaximizationParams, said: MethodResult, arrays: Arrays, outputs: Sequence[str]
) -> dict[str, Pixels]:
    """The still pictures among `outputs`: (H, W, 3) uint8 RGB by name; single images are `image:<name>`."""
    tiles = coloured(displayed(arrays["images"], said.method.parameters))
    names, title = names_of(said.statistics), said.titles["images"]
    pictures: dict[str, Pixels] = {}
    for output in outputs:
        if output == "grid":
            pictures["grid"] = as_grid(params, tiles, names, title)
        elif output == "images":
            pictures |= {f"image:{name}": tile for name, tile in zip(names, tiles, strict=True)}
        elif output == "history":
            pictures["history"] = history_plot(arrays["history"], names, title)
    return pictures


def moving_pictures(params: MaximizationParams, said: MethodResult, frames: NDArray[np.uint8]) -> list[Pixels]:
    """(f, n, h, w, c) uint8 frames of the ascent as a grid each."""
    names, title = names_of(said.statistics), said.titles["images"]
    return [as_grid(params, coloured(frame), names, title, max_px=MOVING_PX) for frame in frames]


def names_of(statistics: Fields) -> list[str]:
    """What each image is called: a channel, a class."""
    return [str(row["name"]) for row in statistics["images"]]


def as_grid(
    params: MaximizationParams, tiles: list[Pixels], names: Sequence[str], title: str, max_px: int = 24_000_000
) -> Pixels:
    """All images in one, as wide and with such gaps and texts as the caller asked for."""
    return grid.grid(
        tiles,
        per_row=params.columns,
        margin=params.margin,
        background=BLACK,
        title=None if params.titles == "none" else title,
        captions=names if params.titles == "tiles" else None,
        min_tile_px=SMALLEST_TILE_PX,
        max_px=max_px,
    )


def history_plot(history: NDArray[np.float32], names: Sequence[str], title: str) -> Pixels:
    """(n, steps) objective at each step as lines; of many images the highest, the median and the lowest."""
    if len(names) <= MAX_LINES:
        series = {name: [float(value) for value in line] for name, line in zip(names, history, strict=True)}
    else:
        ranks = {"highest": 100, "median": 50, "lowest": 0}
        series = {name: np.percentile(history, rank, axis=0).tolist() for name, rank in ranks.items()}
    return plot.line_plot(series, title, "step", "objective")


def coloured(images: NDArray[np.uint8]) -> list[Pixels]:
    """(n, h, w, 1 or 3) → n RGB pictures."""
    channels = images.shape[-1]
    rgb = images[..., :3] if channels >= 3 else np.repeat(images[..., :1], 3, axis=-1)
    return list(np.ascontiguousarray(rgb))
