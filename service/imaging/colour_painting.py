"""Maps of three colours over pictures: brought to their size and to [0, 1], and blended with what the network saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.imaging.painting import Floats, Pixels, Region, Scale, extremes, inside, range_of, shares
from service.strips import side_by_side, strips


@dataclass(frozen=True, eq=False)
class ColourPainting:
    """A map (h, w, 3) that covers a region (top, left, height, width) of a picture of `size` (H, W), see `resize_map`.

    `down` (rows, h) and `across` (columns, w) hold the share of each cell in each pixel of `seen`, the rows and columns
    that the region covers. `levels` (h, w, 3) float32 is the map in levels, 0 to 255; `beyond` is the level where
    nothing was seen.
    """

    size: tuple[int, int]
    seen: tuple[slice, slice]
    down: Floats
    across: Floats
    levels: Floats
    beyond: float

    @classmethod
    def of(
        cls, values: npt.NDArray[np.floating], size: tuple[int, int], region: Region | None, scale: Scale
    ) -> ColourPainting:
        """The map brought to [0, 1] as `scale_unit` does, all three colours by the same values: those it has in the
        pixels where it lies. Raises `ValueError` for NaN or infinity."""
        down, across = shares((values.shape[0], values.shape[1]), size, region)
        beyond = 127.5 if scale == "symmetric" and region is not None else 0.0
        found = [extremes(values[..., colour].astype(np.float64), down, across) for colour in range(3)]
        zero, span = range_of(min(low for low, _ in found), max(high for _, high in found), scale)
        if span == 0:
            levels = np.full(values.shape, 0 if scale == "max" else 127.5, np.float32)
        else:
            levels = ((values.astype(np.float64) - zero) * (255 / span)).astype(np.float32)
        return cls(size, inside(size, region or (0, 0, *size)), down, across, levels, beyond)

    def on(self, photograph: Pixels | None, colormap: str | None, alpha: float = 1.0) -> Pixels:
        """`(1 - alpha) * photograph + alpha * colours`, rounded, (H, W, 3) uint8 RGB; the colours alone without a
        photograph. `colormap` is for maps of one value. Raises `ValueError` where the sizes differ."""
        if photograph is not None and photograph.shape[:2] != self.size:
            raise ValueError(f"the photograph is {photograph.shape[:2]}, the map is laid over {self.size}")
        wide = [self.levels[..., colour] @ self.across.T for colour in range(3)]
        picture = np.empty((*self.size, 3), np.uint8)

        def paint(strip: slice) -> None:
            colours = self._strip(strip, wide)
            if photograph is not None:
                colours = (1 - alpha) * photograph[strip].astype(np.float32) + alpha * colours
            picture[strip] = np.rint(colours)

        side_by_side(paint, strips(self.size[0], 3 * self.size[1]))
        return picture

    def _strip(self, strip: slice, wide: list[Floats]) -> Floats:
        """The levels of some rows, (rows, W, 3) float32."""
        rows, columns = self.seen
        levels = np.full((strip.stop - strip.start, self.size[1], 3), self.beyond, np.float32)
        first, last = max(strip.start, rows.start), min(strip.stop, rows.stop)
        if first < last:
            down = self.down[first - rows.start : last - rows.start]
            # Of a fine map few cells reach into a strip.
            cells = np.flatnonzero(down.any(axis=0))
            some = slice(cells[0], cells[-1] + 1)
            for colour, values in enumerate(wide):
                laid = np.clip(down[:, some] @ values[some], 0, 255)
                levels[first - strip.start : last - strip.start, columns, colour] = laid
        return levels
