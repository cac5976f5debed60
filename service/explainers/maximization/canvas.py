"""From the numbers that are changed to the values of an image, and what an ascent starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.explainers.maximization.fourier import image_of, spectrum_of, spectrum_shape
from service.explainers.maximization.recipe import Recipe

Floats = NDArray[np.float32]
# The root of ImageNet's colour covariance, rows red, green, blue, as published with Lucid; its longest column gets
# the norm 1.
_COVARIANCE_ROOT = np.array([[0.26, 0.09, 0.02], [0.27, 0.0, -0.05], [0.27, -0.09, 0.03]], np.float64)
COLOURS = (_COVARIANCE_ROOT / np.linalg.norm(_COVARIANCE_ROOT, axis=0).max()).T
# How near to black and white an image may be that a sigmoid is to give.
_SQUASH_MARGIN = 1 / 255


@dataclass(frozen=True)
class Canvas:
    """Parameters are what is added to the noise's mean: pixels (h, w, c), or Fourier coefficients of them.

    values = mean + colours(image(parameters)), and with `squash` low + (high - low)·sigmoid of that.
    """

    recipe: Recipe

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the parameters of one image."""
        recipe = self.recipe
        pixels = (*recipe.size, recipe.colours)
        return spectrum_shape(recipe.size, recipe.colours) if recipe.parametrization == "fourier" else pixels

    def values(self, ops: Any, parameters: Any) -> Any:
        """Parameters (b, …) → values (b, h, w, c) of the preset's range, unclipped unless it is squashed."""
        recipe = self.recipe
        image = image_of(ops, parameters, recipe.size) if recipe.parametrization == "fourier" else parameters
        if recipe.decorrelate:
            image = ops.matmul(image, ops.convert_to_tensor(COLOURS, "float32"))
        image = image + recipe.noise[0]
        return recipe.low + (recipe.high - recipe.low) * ops.sigmoid(image) if recipe.squash else image

    def start(self, channel: int, given: Floats | None) -> Floats:
        """Parameters of one image: noise from (seed, channel), mid grey, or the values (h, w, c) that are `given`."""
        recipe = self.recipe
        if recipe.init == "noise":
            deviation = recipe.noise[1]
            random = np.random.default_rng([recipe.seed, channel])
            if recipe.parametrization == "fourier":
                return random.normal(0, deviation, self.shape).astype(np.float32)
            return random.uniform(-deviation * 3**0.5, deviation * 3**0.5, self.shape).astype(np.float32)
        if recipe.init == "gray" or given is None:
            given = np.full((*recipe.size, recipe.colours), recipe.middle, np.float32)
        return self.parameters(given)

    def parameters(self, values: Floats) -> Floats:
        """The inverse of `values` for one image (h, w, c)."""
        recipe = self.recipe
        image = values.astype(np.float64)
        if recipe.squash:
            unit = np.clip((image - recipe.low) / (recipe.high - recipe.low), _SQUASH_MARGIN, 1 - _SQUASH_MARGIN)
            image = np.log(unit / (1 - unit))
        image = image - recipe.noise[0]
        if recipe.decorrelate:
            image = image @ np.linalg.inv(COLOURS)
        return spectrum_of(image) if recipe.parametrization == "fourier" else image.astype(np.float32)

    def levels(self, values: Any) -> Any:
        """Values as RGB levels, 0 to 255 for low to high."""
        return (values - self.recipe.low) * (255 / (self.recipe.high - self.recipe.low))
