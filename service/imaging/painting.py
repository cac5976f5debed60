"""A map laid over a picture and coloured, strip by strip: nothing else as large as the picture is ever made."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from service.imaging import colormaps
from service.imaging.render import Pixels, Region, Scale, inside, range_of, shares
from service.strips import sharing, side_by_side, strips

LEVELS = 256
Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]


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
        low, high = _extremes(values.astype(np.float64), down, across)
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


def _extremes(values: Doubles, down: Floats, across: Floats) -> tuple[float, float]:
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
