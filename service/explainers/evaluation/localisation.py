"""Localisation: whether a map is high where the object is said to be."""

from __future__ import annotations

from math import ceil, floor
from typing import TYPE_CHECKING

import numpy as np

from service.errors import InvalidParameter
from service.explainers.evaluation.comparison import Comparison
from service.explainers.evaluation.metric import Found, metric

if TYPE_CHECKING:
    from service.explainers.evaluation.params import EvaluationParams
    from service.explainers.subject import Subject
    from service.models.graph.preprocess import NetworkInput


def inside(image: NetworkInput, box: tuple[float, float, float, float]) -> tuple[slice, slice]:
    """The pixels of the input that a box of the photograph touches: rows and columns; an empty slice where none."""
    region = image.region
    top, bottom = ((edge - region.top) / region.height * image.size[0] for edge in (box[0], box[2]))
    left, right = ((edge - region.left) / region.width * image.size[1] for edge in (box[1], box[3]))
    rows = slice(max(0, floor(top + 1e-6)), max(0, min(image.size[0], ceil(bottom - 1e-6))))
    columns = slice(max(0, floor(left + 1e-6)), max(0, min(image.size[1], ceil(right - 1e-6))))
    return rows, columns


def clipped(image: NetworkInput, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """The part of a box that the network sees, in px of the photograph."""
    top, left, height, width = image.region.top, image.region.left, image.region.height, image.region.width
    return max(box[0], top), max(box[1], left), min(box[2], top + height), min(box[3], left + width)


def _check_box(subject: Subject, params: EvaluationParams) -> None:
    if params.box is None:
        raise InvalidParameter(
            "pointing and energy ask where the object is: send box=top,left,bottom,right in px of the photograph"
        )
    rows, columns = inside(subject.image, params.box)
    if rows.start >= rows.stop or columns.start >= columns.stop:
        region = subject.image.region
        raise InvalidParameter(
            f"box {','.join(f'{edge:g}' for edge in params.box)} lies outside what the network sees of the photograph: "
            f"rows {region.top:g} to {region.top + region.height:g}, columns {region.left:g} to "
            f"{region.left + region.width:g}"
        )


@metric(
    "pointing",
    "1 where the map's highest pixel lies in the box, 0 where it does not; of several highest pixels the share that "
    "does.",
    "https://arxiv.org/abs/1608.00507",
    "none",
    "It asks where a person sees the object, not where the network looks: a map that truthfully shows a network "
    "looking at the background fails.",
    better="higher",
    unit="0 to 1",
    takes=("box",),
    check=_check_box,
)
def pointing(comparison: Comparison) -> Found:
    """Zhang 2016, section 4.2, of one image and without tolerance around the box."""
    box = _box_of(comparison)
    highest = [row.values == row.values.max() for row in comparison.rows]
    return Found([float(each[box].sum() / each.sum()) for each in highest])


@metric(
    "energy",
    "The share of the map's positive values that lies in the box.",
    "https://arxiv.org/abs/1910.01279",
    "none",
    "A large box gets a large share of any map: compare with the rows of random numbers, which have about the box's "
    "share of the image. And as of pointing, it asks where a person sees the object.",
    better="higher",
    unit="0 to 1",
    takes=("box",),
    check=_check_box,
)
def energy(comparison: Comparison) -> Found:
    """Wang 2020, section 4.3. None for a map without positive values."""
    box = _box_of(comparison)
    positive = [np.maximum(row.values, 0) for row in comparison.rows]
    return Found([float(each[box].sum() / each.sum()) if each.any() else None for each in positive])


def _box_of(comparison: Comparison) -> tuple[slice, slice]:
    box = comparison.params.box
    if box is None:
        raise TypeError("the box was checked to be there")
    return inside(comparison.subject.image, box)
