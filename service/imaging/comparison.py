"""A table of what is compared: a row each with a picture, and its numbers as bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from service.imaging.paper import INK, LINE_PX, TEXT_PX, Paper
from service.imaging.text import printable, shortened

_BAR, _BEST, _RULE, _FAINT = "#b9d4e6", "#0072b2", "#e6e6e6", "#777777"
_TITLE_PX, _RANK_PX = 15, 16
THUMB_PX, MOST_THUMB_PX = 56, 96
_ROW_PX, _NAME_PX, _COLUMN_PX, _MARGIN_PX = THUMB_PX + 8, 150, 118, 16


@dataclass(frozen=True)
class Column:
    """A number of each row: its name, and which numbers are the better ones."""

    name: str
    better: Literal["lower", "higher", "none"]


@dataclass(frozen=True)
class Line:
    """A row: its rank, None where there is none, its name, its picture (56, up to 96, 3), and a number a column, None
    where there is none."""

    rank: int | None
    name: str
    picture: npt.NDArray[np.uint8]
    values: tuple[float | None, ...]


def comparison(lines: Sequence[Line], columns: Sequence[Column], title: str) -> npt.NDArray[np.uint8]:
    """The table: (H, W, 3) uint8 RGB. A bar is as long as its number's magnitude is beside the column's largest; the
    best of a column is darker."""
    thumb = max(line.picture.shape[1] for line in lines)
    left = _MARGIN_PX + 28 + thumb + 10 + _NAME_PX
    width = left + _COLUMN_PX * len(columns) + _MARGIN_PX
    top = _MARGIN_PX + LINE_PX + 12 + 2 * LINE_PX
    paper = Paper((width, top + _ROW_PX * len(lines) + 8))
    heading = shortened(printable(title), width - 2 * _MARGIN_PX, lambda text: paper.width(text, _TITLE_PX))
    paper.text((_MARGIN_PX, _MARGIN_PX + LINE_PX / 2), heading, "lm", _TITLE_PX)
    for place, column in enumerate(columns):
        at = left + place * _COLUMN_PX
        paper.text((at, top - 1.6 * LINE_PX), shortened(printable(column.name), _COLUMN_PX - 12, paper.width), "lm")
        if column.better != "none":
            paper.text((at, top - 0.8 * LINE_PX), f"{column.better} is better", "lm", TEXT_PX - 2, _FAINT)
        _bars(paper, [line.values[place] for line in lines], column, (at, top))
    for place, line in enumerate(lines):
        middle = top + place * _ROW_PX + _ROW_PX / 2
        paper.line([(_MARGIN_PX, middle - _ROW_PX / 2), (width - _MARGIN_PX, middle - _ROW_PX / 2)], _RULE, 1)
        if line.rank is not None:
            paper.text((_MARGIN_PX + 10, middle), str(line.rank), "mm", _RANK_PX)
        paper.picture((_MARGIN_PX + 28, round(middle - THUMB_PX / 2)), line.picture)
        name = shortened(printable(line.name), _NAME_PX - 12, paper.width)
        paper.text((_MARGIN_PX + 28 + thumb + 10, middle), name, "lm")
    return paper.pixels()


def _bars(paper: Paper, values: Sequence[float | None], column: Column, at: tuple[float, float]) -> None:
    """The numbers of a column with their bars; `at` is its left upper corner. Negative bars grow to the left."""
    known = [value for value in values if value is not None]
    low, high = min([0.0, *known]), max([0.0, *known])
    pick = {"lower": min, "higher": max}.get(column.better)
    best = pick(known) if pick and known else None
    room = _COLUMN_PX - 16
    zero = at[0] + (-low / (high - low) * room if high > low else 0)
    for place, value in enumerate(values):
        middle = at[1] + place * _ROW_PX + _ROW_PX / 2
        if value is None:
            paper.text((at[0], middle), "-", "lm", TEXT_PX, _FAINT)
            continue
        end = zero + (value / (high - low) * room if high > low else 0)
        colour = _BEST if value == best else _BAR
        paper.bar((min(zero, end), middle + 2, max(zero, end, min(zero, end) + 1), middle + 12), colour)
        paper.text((at[0], middle - 8), f"{value:.3g}", "lm", TEXT_PX, _BEST if value == best else INK)
