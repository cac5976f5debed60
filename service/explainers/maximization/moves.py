"""Images moved at random before each step, so that what excites the target does not hang on the exact pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from service.arrays import Floats
from service.explainers.maximization.recipe import Recipe

if TYPE_CHECKING:
    from service.arrays import Ops, Value


def moves(recipe: Recipe, channels: Sequence[int], steps: range) -> Floats:
    """(steps, images, 6): for each the affine map a, b, c, d, e, f from px of the moved to px of the padded image.

    column = a·x + b·y + c, row = d·x + e·y + f. Each depends on (seed, channel, step) alone.
    """
    found = [[_move(recipe, channel, step) for channel in channels] for step in steps]
    return np.array(found, np.float32).reshape(len(steps), len(channels), 6)


def _move(recipe: Recipe, channel: int, step: int) -> list[float]:
    """Lucid's order, about the middle: a shift by whole px, scaling, rotation, and where these move, half the shift."""
    down, right, factor, angle, later_down, later_right = np.random.default_rng([recipe.seed, channel, step]).random(6)
    turns = bool(recipe.rotate or recipe.scale)
    radians = np.deg2rad(recipe.rotate * (2 * angle - 1))
    grown = 1 + recipe.scale * (2 * factor - 1)
    cos, sin = np.cos(radians) / grown, np.sin(radians) / grown
    half = recipe.jitter // 2 if turns else 0
    later = _shift(later_right, half), _shift(later_down, half)
    middle = (recipe.size[1] - 1) / 2, (recipe.size[0] - 1) / 2
    x, y = later[0] - middle[0], later[1] - middle[1]
    column = cos * x + sin * y + _shift(right, recipe.jitter) + middle[0] + recipe.pad
    row = -sin * x + cos * y + _shift(down, recipe.jitter) + middle[1] + recipe.pad
    return [cos, sin, column, -sin, cos, row]


def _shift(share: float, px: int) -> int:
    """0 to 1 → a whole number of px from -px/2 to px/2."""
    return int(share * (px + 1)) - px // 2


def moved(ops: Ops, values: Value, maps: Value, recipe: Recipe) -> Value:
    """Values (b, h, w, c) and their maps (b, 6) → the moved images, bilinear: grey `pad` px around them, then black."""
    pad = recipe.pad
    height, width, colours = values.shape[1:]
    rows, columns = height + 2 * pad, width + 2 * pad
    framed = ops.pad(values, ((0, 0), (pad, pad), (pad, pad), (0, 0)), constant_values=recipe.middle) - recipe.low
    flat = ops.reshape(framed, (-1, colours))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    a, b, c, d, e, f = (maps[:, place, None, None] for place in range(6))
    column, row = a * x + b * y + c, d * x + e * y + f
    left, top = ops.floor(column), ops.floor(row)
    first = (ops.arange(ops.shape(values)[0]) * (rows * columns))[:, None, None]
    total = recipe.low
    for below in (0, 1):
        for beside in (0, 1):
            i, j = top + below, left + beside
            weight = (1 - ops.abs(row - i)) * (1 - ops.abs(column - j))
            inside = (i >= 0) & (i < rows) & (j >= 0) & (j < columns)
            place = ops.clip(i, 0, rows - 1) * columns + ops.clip(j, 0, columns - 1)
            picked = ops.take(flat, first + ops.cast(place, "int32"), axis=0)
            total = total + picked * ops.where(inside, weight, 0.0)[..., None]
    return total
