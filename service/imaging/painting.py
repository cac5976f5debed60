"""Maps over pictures: brought to their size and to [0, 1], coloured, and blended with what the network saw."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from service.imaging import colormaps
from service.strips import sharing, side_by_side, strips

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
Scale = Literal["minmax", "max", "symmetric"]
Region = tuple[float, float, float, float]


def scale_unit(values: npt.NDArray[np.floating], mode: Scale) -> Floats:
    """Values brought to [0, 1], float32 of the same shape.

    `max`: v / max, negatives at 0, so that zero stays at the bottom. `minmax`: (v - min) / (max - min), constants at
    0.5. `symmetric`: 0.5 + v / (2 max|v|), so that zero is in the middle. Raises `ValueError` for NaN or infinity.
    """
    zero, span = range_of(float(values.min()), float(values.max()), mode)
    if span == 0:
        return np.full(values.shape, 0 if mode == "max" else 0.5, np.float32)
    unit = np.subtract(values, zero, dtype=np.float64)
    unit /= span
    return np.asarray(np.clip(unit, 0, 1), np.float32)


def range_of(low: float, high: float, mode: Scale) -> tuple[float, float]:
    """What becomes 0 and how far from it 1 lies, of values from `low` to `high`. Raises `ValueError` for NaN or
    infinity."""
    if not np.isfinite((low, high)).all():
        raise ValueError("the map holds NaN or infinity")
    match mode:
        case "max":
            return 0.0, max(high, 0.0)
        case "minmax":
            return low, high - low
        case "symmetric":
            return -max(-low, high), 2 * max(-low, high)


def resize_map(values: Floats, size: tuple[int, int], region: Region | None = None) -> Floats:
    """A map (h, w) laid over a picture of `size` (H, W): (H, W) float32, bilinear between half-pixel centres, and
    averaged where it shrinks.

    `region` (top, left, height, width) is what the map covers, in pixels of the picture, all of it when absent: it may
    reach beyond the picture (the model's input was padded) or leave some of it out (it was cropped), where the result
    is 0.
    """
    laid = np.zeros(size, np.float32)
    down, across = shares((values.shape[0], values.shape[1]), size, region)
    laid[inside(size, region or (0, 0, *size))] = down @ values.astype(np.float32, copy=False) @ across.T
    return laid


def shares(cells: tuple[int, int], size: tuple[int, int], region: Region | None = None) -> tuple[Floats, Floats]:
    """The share of each row of cells in each row of pixels that `inside` gives, (rows, h) float32, and the same of
    columns, (columns, w): `down @ values @ across.T` is a map of (h, w) `cells` laid over the region, see `resize_map`.
    """
    top, left, height, width = region or (0, 0, *size)
    rows, columns = inside(size, (top, left, height, width))
    down = _bilinear(np.arange(size[0])[rows] + 0.5 - top, height, cells[0])
    return down, _bilinear(np.arange(size[1])[columns] + 0.5 - left, width, cells[1])


def inside(size: tuple[int, int], region: Region) -> tuple[slice, slice]:
    """The rows and columns of a picture of `size` (H, W) whose centres lie in the region."""
    rows, columns = (
        slice(*np.clip(np.ceil([start - 0.5, start + length - 0.5]), 0, pixels).astype(int).tolist())
        for pixels, start, length in zip(size, region[:2], region[2:], strict=True)
    )
    return rows, columns


def shown(picture: Pixels, region: Region, size: tuple[int, int]) -> Pixels:
    """What a region of a picture (H, W, 3) uint8 shows, at `size` (h, w): (h, w, 3) uint8, bilinear between half-pixel
    centres, averaged where it shrinks, and black beyond the picture.
    """
    top, left, height, width = region
    first, before = max(0, math.floor(top)), max(0, math.floor(left))
    picture = picture[first : math.ceil(top + height), before : math.ceil(left + width)]
    top, left = top - first, left - before
    down, across = size[0] / height, size[1] / width
    # Bilinear alone would skip pixels: what is averaged first is about as large as it is in the result.
    rows, columns = (
        max(1, round(length * min(1.0, scale))) for length, scale in zip(picture.shape[:2], (down, across), strict=True)
    )
    averaged = cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA)
    pitch = down * picture.shape[0] / rows, across * picture.shape[1] / columns
    matrix = np.array(
        [[pitch[1], 0, pitch[1] / 2 - left * across - 0.5], [0, pitch[0], pitch[0] / 2 - top * down - 0.5]], np.float64
    )
    moved = cv2.warpAffine(averaged, matrix, size[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    there = inside(size, (-top * down, -left * across, picture.shape[0] * down, picture.shape[1] * across))
    canvas = np.zeros((*size, 3), np.uint8)
    canvas[there] = moved[there]
    return canvas


def _bilinear(centres: npt.NDArray[np.floating], length: float, cells: int) -> Floats:
    """The share of each cell in each pixel along one axis, (pixels, cells) float32; rows sum to 1.

    `centres` (pixels,) are counted from the start of the `length` that the cells cover.
    """
    position = centres * cells / length - 0.5
    reach = max(1.0, cells / length)
    shares = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(cells)) / reach)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)


LEVELS = 256
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Draft:
    """Room for one strip: its map, its levels and its colours."""

    laid: Floats
    levels: Pixels
    colours: Pixels

    @classmethod
    def of(cls, rows: int, columns: int) -> _Draft:
        laid = np.empty((rows, columns), np.float32)
        return cls(laid, np.empty((rows, columns), np.uint8), np.empty((rows, columns, 3), np.uint8))


@dataclass(frozen=True, eq=False)
class Painting:
    """A map (h, w) that covers a region (top, left, height, width) of a picture of `size` (H, W), see `resize_map`.

    `down` (rows, h) and `across` (columns, w) hold the share of each cell in each pixel of `seen`, the rows and columns
    that the region covers. `levels` (h, w) float32 is the map in units of the colours' table, 0 to 256; `beyond` is the
    level where nothing was seen.
    """

    size: tuple[int, int]
    seen: tuple[slice, slice]
    down: Floats
    across: Floats
    levels: Floats
    beyond: int

    @classmethod
    def of(
        cls, values: npt.NDArray[np.floating], size: tuple[int, int], region: Region | None, scale: Scale
    ) -> Painting:
        """The map brought to [0, 1] as `scale_unit` does, by the values it has in the pixels where it lies. Raises
        `ValueError` for NaN or infinity."""
        seen = inside(size, region or (0, 0, *size))
        down, across = shares((values.shape[0], values.shape[1]), size, region)
        beyond = LEVELS // 2 if scale == "symmetric" and region is not None else 0
        low, high = extremes(values.astype(np.float64), down, across)
        zero, span = range_of(low, high, scale)
        if span == 0:
            levels = np.full(values.shape, 0 if scale == "max" else LEVELS // 2, np.float32)
        else:
            levels = ((values.astype(np.float64) - zero) * (LEVELS / span)).astype(np.float32)
        return cls(size, seen, down, across, levels, beyond)

    def on(self, photograph: Pixels | None, colormap: str, alpha: float = 1.0) -> Pixels:
        """`(1 - alpha) * photograph + alpha * colour`, rounded, (H, W, 3) uint8 RGB; the colours alone without a
        photograph. Raises `ValueError` where the sizes differ or the colormap is unknown."""
        if photograph is not None and photograph.shape[:2] != self.size:
            raise ValueError(f"the photograph is {photograph.shape[:2]}, the map is laid over {self.size}")
        table = colormaps.lookup(colormap)[:, None]
        wide = self.levels @ self.across.T
        picture = np.empty((*self.size, 3), np.uint8)
        pieces = strips(self.size[0], self.size[1])
        # A thread uses one for all its strips: made anew for each they would take as long as what is computed in them.
        drafts = [_Draft.of(pieces[0].stop, self.size[1]) for _ in range(sharing(pieces))]

        def paint(strip: slice) -> None:
            draft = drafts.pop()
            rows = strip.stop - strip.start
            colours = cv2.applyColorMap(self._strip(strip, wide, draft), table, dst=draft.colours[:rows])
            if photograph is None:
                picture[strip] = colours
            else:
                cv2.addWeighted(photograph[strip], 1 - alpha, colours, alpha, 0, dst=picture[strip])
            drafts.append(draft)

        side_by_side(paint, pieces)
        return picture

    def _strip(self, strip: slice, wide: Floats, draft: _Draft) -> Pixels:
        """The levels of some rows, (rows, W) uint8."""
        rows, columns = self.seen
        levels = draft.levels[: strip.stop - strip.start]
        levels.fill(self.beyond)
        first, last = max(strip.start, rows.start), min(strip.stop, rows.stop)
        if first < last:
            down = self.down[first - rows.start : last - rows.start]
            # Of a fine map few cells reach into a strip.
            cells = np.flatnonzero(down.any(axis=0))
            some = slice(cells[0], cells[-1] + 1)
            laid = np.matmul(down[:, some], wide[some], out=draft.laid[: last - first, : wide.shape[1]])
            np.clip(laid, 0, LEVELS - 1, out=laid)
            levels[first - strip.start : last - strip.start, columns] = laid
        return levels


def extremes(values: Doubles, down: Floats, across: Floats) -> tuple[float, float]:
    """The least and the largest value of the map in the pixels it covers, which need not be its own.

    Between four cells it is bilinear, so that both lie in pixels next to a row and a column of cells; only these are
    computed. (0, 0) where it covers none.
    """
    if not down.size or not across.size:
        return 0.0, 0.0
    laid = _next_to_cells(down) @ values @ _next_to_cells(across).T
    return float(laid.min()), float(laid.max())


def _next_to_cells(share: Floats) -> Doubles:
    """Keeps, of (pixels, cells) shares, the pixels between which a row of cells lies, and the first and last."""
    first = (share > 0).argmax(axis=1)
    changes = np.flatnonzero(np.diff(first))
    kept = np.unique(np.concatenate([[0, len(share) - 1], changes, changes + 1]))
    return np.asarray(share[kept], np.float64)
