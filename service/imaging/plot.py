"""A small line chart: training curves, histories of an objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, groupby
from math import ceil, floor, log10
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from service.imaging.paper import LINE_PX, Paper
from service.imaging.text import printable, shortened, wrapped

# Okabe and Ito's palette, told apart by colour-blind readers too.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_AXIS, _GRID = "#8c8c8c", "#e6e6e6"
_TITLE_PX = 14
_MAX_ABS = 1e300
_TITLE_LINES = 3
# A legend's entry beside its text: the line before it and the gap behind.
_KEY_PX, _ENTRY_PX = 19, 35


def line_plot(
    series: Mapping[str, Sequence[float]],
    title: str,
    x_label: str,
    y_label: str,
    size: tuple[int, int] = (480, 320),
    over: tuple[float, float] | None = None,
    colours: Mapping[str, str] = MappingProxyType({}),
) -> npt.NDArray[np.uint8]:
    """Lines through each series' values at 1, 2, 3, ..., or at equal distances `over` from the first to the last:
    (H, W, 3) uint8 RGB, where `size` is (W, H) in pixels. `colours` holds those of series that are not of the palette.

    A title that is too wide goes on in a second and a third line; what does not fit there, a label or a series' name
    that is too long, ends in ….
    NaN and infinity leave a gap. An eighth series repeats the first colour. No series, or an empty one, is no error.
    """
    values = [value for line in series.values() for value in line if abs(value) < _MAX_ABS]
    y_ticks = ticks(min(values, default=0), max(values, default=1), 6)
    last = max([2, *map(len, series.values())])
    low, high = over or (1.0, float(last))
    x_ticks = [tick for tick in ticks(low, high, 8) if low <= tick <= high]
    if over is None:
        x_ticks = [float(whole) for whole in sorted({round(tick) for tick in x_ticks})]
    paper = Paper(size)
    left = 2 * LINE_PX + max(paper.width(_label(tick)) for tick in y_ticks)
    right, bottom = size[0] - LINE_PX, size[1] - 2.4 * LINE_PX
    heading = wrapped(printable(title), right - left, lambda text: paper.width(text, _TITLE_PX), _TITLE_LINES)
    names = [shortened(printable(name), right - left - _ENTRY_PX, paper.width) for name in series]
    legend = _legend_places(paper, names, right - left)
    below_title = len(heading) * LINE_PX
    top = below_title + (2 + max((row for row, _ in legend), default=0)) * LINE_PX

    def x(position: float) -> float:
        return left + (position - low) / (high - low) * (right - left)

    def y(value: float) -> float:
        return bottom - (value - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]) * (bottom - top)

    for tick in y_ticks:
        paper.line([(left, y(tick)), (right, y(tick))], _GRID, 1)
        paper.text((left - 6, y(tick)), _label(tick), "rm")
    for position in x_ticks:
        paper.line([(x(position), bottom), (x(position), bottom + 4)], _AXIS, 1)
        paper.text((x(position), bottom + 6), _label(position), "ma")
    paper.line([(left, top), (left, bottom), (right, bottom)], _AXIS, 1)
    for row, text in enumerate(heading):
        paper.text((left, (0.8 + row) * LINE_PX), text, "lm", _TITLE_PX)
    label = shortened(printable(x_label), right - left, paper.width)
    paper.text(((left + right) / 2, size[1] - 0.6 * LINE_PX), label, "mm")
    paper.text_upwards((0.7 * LINE_PX, (top + bottom) / 2), shortened(printable(y_label), bottom - top, paper.width))
    palette = cycle(COLOURS)
    for index, (series_name, line) in enumerate(series.items()):
        colour = colours.get(series_name) or next(palette)
        places = np.linspace(*over, len(line)) if over else range(1, len(line) + 1)
        points = zip(map(float, places), line, strict=True)
        for finite, run in groupby(points, lambda point: abs(point[1]) < _MAX_ABS):
            if finite:
                paper.line([(x(position), y(value)) for position, value in run], colour, 1.8)
        row, offset = legend[index]
        middle = below_title + (0.9 + row) * LINE_PX
        paper.line([(left + offset, middle), (left + offset + 14, middle)], colour, 2.5)
        paper.text((left + offset + _KEY_PX, middle), names[index], "lm")
    return paper.pixels()


def ticks(low: float, high: float, most: int) -> list[float]:
    """About `most` round numbers, 1, 2 or 5 times a power of ten apart, that enclose [low, high]."""
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        around = abs(low) / 2 or 0.5
        low, high = low - around, high + around
    rough = (high - low) / (most - 1)
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= 0.999 * rough)
    return [index * step for index in range(floor(low / step + 1e-6), ceil(high / step - 1e-6) + 1)]


def _label(value: float) -> str:
    return f"{value:.10g}".replace("e+", "e")


def _legend_places(paper: Paper, names: list[str], width: float) -> list[tuple[int, float]]:
    """Row and horizontal offset of each entry."""
    places, row, offset = [], 0, 0.0
    for name in names:
        wanted = paper.width(name) + _ENTRY_PX
        if offset and offset + wanted > width:
            row, offset = row + 1, 0.0
        places.append((row, offset))
        offset += wanted
    return places
