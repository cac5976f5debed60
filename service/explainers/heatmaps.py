"""What all methods say about the maps they give: names, and warnings where a map has nothing to show."""

from __future__ import annotations

import numpy as np

from service.arrays import Floats
from service.explainers.targets import NOTHING, Targets
from service.explainers.variants import Warned

SATURATED = 0.999


def map_names(targets: Targets, name: str) -> list[str]:
    """`name` for one target; `name:285`, or `name:285-101` for a contrast, where there are several."""
    if len(targets.pairs) == 1:
        return [name]
    return [f"{name}:{a}" if b == NOTHING else f"{name}:{a}-{b}" for a, b in targets.pairs]


def map_warnings(name: str, values: Floats, *, coarse: bool = False) -> list[Warned]:
    """Warns of a map (h, w) that is 0 everywhere, constant, or, where it is as coarse as a layer, smaller than 3×3."""
    found = []
    if not values.any():
        found.append(Warned("all_zero_map", f"{name} is 0 everywhere: no position speaks for the target"))
    elif values.min() == values.max():
        found.append(
            Warned("constant_map", f"{name} is {float(values.flat[0]):g} everywhere: it singles out no position")
        )
    if coarse and min(values.shape) < 3:
        found.append(
            Warned("map_smaller_than_3x3", f"{name} is {values.shape[0]}×{values.shape[1]}: hardly a location")
        )
    return found


def reduce_colours(values: Floats, how: str, sign: str) -> Floats:
    """(h, w, c) signed → (h, w): absolute or positive values >= 0, or signed; the largest, the mean, or the norm.

    With `rgb` the channels stay as they are, (h, w, c).
    """
    if sign == "signed":
        if how == "rgb":
            return values
        if how == "mean":
            return np.asarray(values.mean(axis=-1, dtype=np.float64), np.float32)
        places = np.abs(values).argmax(axis=-1)[..., None]
        return np.take_along_axis(values, places, axis=-1)[..., 0]
    amounts = np.abs(values) if sign == "absolute" else np.maximum(values, 0)
    if how == "rgb":
        return amounts
    if how == "max":
        return np.asarray(amounts.max(axis=-1), np.float32)
    if how == "mean":
        return np.asarray(amounts.mean(axis=-1, dtype=np.float64), np.float32)
    return np.asarray(np.sqrt(np.square(amounts, dtype=np.float64).sum(axis=-1)), np.float32)


def saturation_warnings(targets: Targets, scores: Floats) -> list[Warned]:
    """Warns where a probability is measured that is at its ceiling and hardly moves."""
    probabilities = targets.probabilities(scores)
    if probabilities is None or float(probabilities.max()) < SATURATED:
        return []
    detail = f"the probability is {float(probabilities.max()):.5f}: at its ceiling, changes of the image hardly move it"
    return [Warned("saturated_probability", detail)]
