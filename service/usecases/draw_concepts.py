"""The sheets of the concept methods: a row a concept, or how a concept's directions fare beside random ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.arrays import Arrays
from service.contract.results import MethodResult
from service.imaging.sheet import Sheet, glowing, sized
from service.json_types import JsonObject

Pixels = NDArray[np.uint8]
WIDTH_PX = 1200
MARGIN_PX = 24
CROP_PX, PICTURE_PX, GAP_PX = 88, 88 * 2 + 6, 6
CROPS_A_ROW = 4
ROW_PX = 2 * CROP_PX + GAP_PX
HEAD_PX = 96
NUMBERS_PX = 190
MOST_CROPS = 2 * CROPS_A_ROW
BLUE, GREY, INK, PALE, RED = "#0072b2", "#8c8c8c", "#222222", "#e9edf1", "#d55e00"
PLOT_PX, STRIP_PX = 176, 150
LINE_LEFT_PX = MARGIN_PX + NUMBERS_PX
SMALLEST_P = 1e-4
LINEAR = "linear_behind"
# What the method warns of where its score is not to be believed.
DOUBTS = {
    LINEAR: "the network is linear behind this layer",
    "not_significant": "not beyond what random directions do",
    "near_chance": "the layer hardly knows the concept",
    "no_direction": "some pictures are all the same",
}
POOR = "poor_reconstruction"


def concept_sheet(said: MethodResult, arrays: Arrays) -> Pixels:
    """(H, W, 3) uint8 RGB: of CRAFT its concepts by importance, of TCAV the score beside those of random directions."""
    return _of_craft(said, arrays) if "importance" in arrays else _of_tcav(said, arrays)


def _of_craft(said: MethodResult, arrays: Arrays) -> Pixels:
    """A row a concept: its importance, its most typical crops, and where it is on the pictures with most of it."""
    rows = said.statistics["concepts"]
    sheet = Sheet(WIDTH_PX, HEAD_PX + len(rows) * (ROW_PX + 3 * GAP_PX) + MARGIN_PX)
    crops_left = MARGIN_PX + NUMBERS_PX
    pictures_left = crops_left + CROPS_A_ROW * (CROP_PX + GAP_PX) + MARGIN_PX
    sheet.text((MARGIN_PX, 30), said.titles["sheet"], 19, INK, most_px=WIDTH_PX - 2 * MARGIN_PX)
    if missed := next((warning.detail for warning in said.warnings if warning.code == POOR), None):
        sheet.text((MARGIN_PX, 54), missed, 13, RED, most_px=WIDTH_PX - 2 * MARGIN_PX)
    for left, text in (
        (MARGIN_PX, "importance"),
        (crops_left, "most typical crops"),
        (pictures_left, "where it is, on the pictures with most of it"),
    ):
        sheet.text((left, HEAD_PX - 22), text, 13, GREY)
    largest = max(float(arrays["importance"].max()), 1e-12)
    for place, row in enumerate(rows):
        top = HEAD_PX + place * (ROW_PX + 3 * GAP_PX)
        sheet.box((MARGIN_PX, top - GAP_PX * 1.5, WIDTH_PX - MARGIN_PX, top - GAP_PX * 1.5 + 1), PALE)
        _importance(sheet, top, row, largest)
        for number, crop in enumerate(arrays["examples"][place][:MOST_CROPS]):
            line, column = divmod(number, CROPS_A_ROW)
            at = (crops_left + column * (CROP_PX + GAP_PX), top + line * (CROP_PX + GAP_PX))
            sheet.picture(at, sized(crop, (CROP_PX, CROP_PX)))
        shown = list(zip(arrays["strongest"][place], arrays["strongest_places"][place], strict=True))
        for number, (picture, index) in enumerate(shown):
            left = pictures_left + number * (PICTURE_PX + GAP_PX)
            own = arrays["heatmaps"][int(index), ..., place]
            photograph = sized(picture, (PICTURE_PX, PICTURE_PX))
            sheet.picture((left, top), glowing(photograph, own, float(own.max())))
    return sheet.pixels()


def _importance(sheet: Sheet, top: int, row: JsonObject, largest: float) -> None:
    """The number of a concept, and a bar with its standard error over the pictures."""
    value, error = float(row["importance"]), float(row["standard_error"])
    room = NUMBERS_PX - MARGIN_PX
    sheet.text((MARGIN_PX, top + 26), f"concept {row['name']}", 17, INK)
    sheet.text((MARGIN_PX, top + 56), f"{value:.3f}", 24, BLUE)
    sheet.text((MARGIN_PX + 84, top + 58), f"± {error:.3f}", 13, GREY)
    bar = top + 78
    sheet.box((MARGIN_PX, bar, MARGIN_PX + room, bar + 14), PALE)
    sheet.box((MARGIN_PX, bar, MARGIN_PX + max(1.0, room * value / largest), bar + 14), BLUE)


def _of_tcav(said: MethodResult, arrays: Arrays) -> Pixels:
    """The verdict, the scores of all directions on a line, and the pictures on which the concept does most or least."""
    result = said.statistics["test"]
    strips = [("the concept", arrays["shown_concept"])]
    if LINEAR in {warning.code for warning in said.warnings}:
        strips.append(("the class, all alike", arrays["most"]))
    else:
        strips += [("raises the score most", arrays["most"]), ("least, or lowers it", arrays["least"])]
    sheet = Sheet(WIDTH_PX, HEAD_PX + PLOT_PX + len(strips) * (STRIP_PX + 3 * GAP_PX) + MARGIN_PX)
    sheet.text((MARGIN_PX, 30), said.titles["sheet"], 19, INK, most_px=WIDTH_PX - 2 * MARGIN_PX)
    doubts = [DOUBTS[warning.code] for warning in said.warnings if warning.code in DOUBTS]
    believed = not doubts
    effect = "raises" if result["score"] > result["random_score"] else "lowers"
    verdict = f"the concept {effect} the score" if believed else f"not to be trusted, {'; '.join(doubts)}"
    p_value = result["p_value"]
    shown = f"p = {p_value:.2g}" if p_value >= SMALLEST_P else f"p < {SMALLEST_P:g}"
    told = f"{verdict}  ({shown}; {100 * result['accuracy']:.0f} % of unseen pictures told right)"
    sheet.text((MARGIN_PX, 62), told, 15, BLUE if believed else RED, most_px=WIDTH_PX - 2 * MARGIN_PX)
    _scores(sheet, arrays, result)
    for number, (name, pictures) in enumerate(strips):
        top = HEAD_PX + PLOT_PX + number * (STRIP_PX + 3 * GAP_PX)
        sheet.text((MARGIN_PX, top + STRIP_PX / 2), name, 15, INK, most_px=NUMBERS_PX)
        for place, picture in enumerate(pictures):
            left = LINE_LEFT_PX + place * (STRIP_PX + GAP_PX)
            sheet.picture((left, top), sized(picture, (STRIP_PX, STRIP_PX)))
    return sheet.pixels()


def _scores(sheet: Sheet, arrays: Arrays, result: JsonObject) -> None:
    """A dot a direction on a line from 0 to 1, and a stroke at the mean: the concept's, and the random ones below."""
    left, right, top = LINE_LEFT_PX, WIDTH_PX - NUMBERS_PX - MARGIN_PX, HEAD_PX + GAP_PX

    def x(share: float) -> float:
        return left + share * (right - left)

    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        sheet.box((x(tick), top, x(tick) + 1, top + 110), GREY if tick == 0.5 else PALE)
        sheet.text((x(tick) - 10, top + 124), f"{tick:g}", 12, GREY)
    sheet.text((left + 60, top + 146), "share of the pictures whose score rises towards the concept", 13, GREY)
    rows = (("concept", "scores", "score", BLUE), ("random directions", "random_scores", "random_score", GREY))
    for number, (name, array, mean, colour) in enumerate(rows):
        middle = top + 30 + 50 * number
        sheet.text((MARGIN_PX, middle), name, 15, INK)
        for share in arrays[array]:
            sheet.dot((x(float(share)), middle), 8, colour)
        at = x(result[mean])
        sheet.box((at - 1, middle - 17, at + 2, middle + 18), INK)
        sheet.text((right + 24, middle), f"{result[mean]:.2f}", 22, colour)
        sheet.text((right + 78, middle + 2), f"± {result[f'{mean}_deviation']:.2f}", 13, GREY)
