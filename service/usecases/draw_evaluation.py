"""What an evaluation found, as a table of the maps with their numbers, and as curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.arrays import Array, Arrays
from service.contract.results import MethodResult
from service.imaging.comparison import MOST_THUMB_PX, THUMB_PX, Column, Line, comparison
from service.imaging.painting import Painting, shown
from service.imaging.plot import line_plot
from service.json_types import Fields, JsonObject

Pixels = NDArray[np.uint8]
# More lines than the palette has colours could not be told apart: the best are drawn, and in grey those of random
# numbers.
MOST_LINES = 7
GREYS = {"random_pixels": "#777777", "random_cells": "#b0b0b0"}
GAP_PX = 12


def evaluation_pictures(
    said: MethodResult,
    arrays: Arrays,
    photograph: Pixels,
    region: tuple[float, float, float, float],
    outputs: Sequence[str],
) -> dict[str, Pixels]:
    """The pictures among `outputs`: `chart`, and `curves` where a metric that was asked for has any."""
    rows: list[JsonObject] = said.statistics["rows"]
    order = sorted(range(len(rows)), key=lambda place: (rows[place].get("rank", 0), place))
    found: dict[str, Pixels] = {}
    for output in outputs:
        if output == "chart":
            width = round(THUMB_PX * region[3] / region[2])
            seen = shown(photograph, region, (THUMB_PX, max(THUMB_PX // 2, min(width, MOST_THUMB_PX))))
            lines = [_line(rows[place], said.statistics["metrics"], arrays["heatmaps"][place], seen) for place in order]
            columns = [Column(metric["name"], metric["better"]) for metric in said.statistics["metrics"]]
            found["chart"] = comparison(lines, columns, _title(said))
        elif output == "curves" and (
            panels := _panels(said, arrays, [(rows[place]["name"], place) for place in order])
        ):
            found["curves"] = _side_by_side(panels)
    return found


def _title(said: MethodResult) -> str:
    target = said.target
    what = said.method.parameters["measure"]
    name = "" if target is None else target.label or target.neuron or f"class {target.class_index}"
    return f"Which map to trust for {name}: {what} {said.statistics['measured']:.3g}"


def _line(row: JsonObject, metrics: Sequence[Fields], values: Array, seen: Pixels) -> Line:
    signed = float(values.min()) < 0
    painting = Painting.of(values, (seen.shape[0], seen.shape[1]), None, "symmetric" if signed else _usual(values))
    picture = np.asarray(painting.on(seen, "coolwarm" if signed else "jet", 0.5), np.uint8)
    return Line(row.get("rank"), row["name"], picture, tuple(row[metric["name"]] for metric in metrics))


def _usual(values: Array) -> Literal["max", "minmax"]:
    """A map that is high everywhere, as RISE's, shows nothing unless it is spread from its least value."""
    return "minmax" if float(values.min()) > float(values.max()) / 2 else "max"


def _panels(said: MethodResult, arrays: Arrays, order: Sequence[tuple[str, int]]) -> list[Pixels]:
    made = [entry for entry in order if entry[0] not in GREYS]
    drawn = [*made[:MOST_LINES], *(entry for entry in order if entry[0] in GREYS)]
    left_out = f" ({MOST_LINES} of {len(made)} maps)" if len(made) > MOST_LINES else ""
    measure = said.method.parameters["measure"]
    shares = said.method.parameters["road_shares"]
    ways = {
        "deletion": ("Deletion: the best fall fast", "pixels taken away, %", measure, (0.0, 100.0)),
        "insertion": ("Insertion: the best rise fast", "pixels put in, %", measure, (0.0, 100.0)),
        "road": (
            "ROAD: without the highest (the number weighs the lowest too)",
            "highest pixels filled in, %",
            measure,
            (100 * shares[0], 100 * shares[-1]),
        ),
        "randomization": ("Randomization: the best fall to 0", "layers shuffled, step", "rank correlation", None),
    }
    panels = []
    for name, (title, across, up, over) in ways.items():
        if name in arrays:
            values = arrays[name][:, 0] if arrays[name].ndim == 3 else arrays[name]
            lines = {row: [float(value) for value in values[place]] for row, place in drawn}
            if name == "randomization":
                lines = {row: line for row, line in lines.items() if any(line)}
            panels.append(line_plot(lines, title + left_out, across, up, over=over, colours=GREYS))
    return panels


def _side_by_side(panels: Sequence[Pixels]) -> Pixels:
    """Two in a row, on white."""
    height, width = panels[0].shape[:2]
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    sheet = np.full((rows * (height + GAP_PX) - GAP_PX, columns * (width + GAP_PX) - GAP_PX, 3), 255, np.uint8)
    for place, panel in enumerate(panels):
        top, left = (place // columns) * (height + GAP_PX), (place % columns) * (width + GAP_PX)
        sheet[top : top + height, left : left + width] = panel
    return sheet
