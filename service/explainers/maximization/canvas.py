"""A canvas makes the values of an image of the numbers that are changed, and says what an ascent starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from service.arrays import Array, Floats
from service.explainers.maximization.recipe import Recipe

if TYPE_CHECKING:
    from service.arrays import Ops, Value


def spectrum_shape(size: tuple[int, int], colours: int) -> tuple[int, ...]:
    """(2, colours, h, w//2 + 1): real and imaginary part of half the spectrum; the other half is its mirror."""
    return 2, colours, size[0], size[1] // 2 + 1


def scales(size: tuple[int, int]) -> Floats:
    """(h, w//2 + 1): sqrt(h·w)/4 over the frequency in cycles a px, the lowest one taken for 1 over the longer side."""
    height, width = size
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
    frequencies = np.maximum(np.hypot(rows, columns), 1 / max(size))
    return np.asarray(np.sqrt(height * width) / 4 / frequencies, np.float32)


def image_of(ops: Ops, spectrum: Value, size: tuple[int, int]) -> Value:
    """Unscaled coefficients (b, 2, c, h, w//2 + 1) → images (b, h, w, c)."""
    height, width = size
    # An inverse transform down the columns is the conjugate of one of the conjugate; it works on the last axis.
    scaled = ops.transpose(spectrum * scales(size), (0, 1, 2, 4, 3))
    real, imaginary = ops.fft((scaled[:, 0], -scaled[:, 1]))
    columns = (ops.transpose(part, (0, 1, 3, 2)) / height for part in (real, -imaginary))
    return ops.transpose(ops.irfft(tuple(columns), fft_length=width), (0, 2, 3, 1))


def spectrum_of(image: Array) -> Floats:
    """The coefficients (2, c, h, w//2 + 1) of an image (h, w, c): the inverse of `image_of`."""
    size = image.shape[0], image.shape[1]
    found = np.fft.rfft2(np.moveaxis(image.astype(np.float64), -1, 0)) / scales(size)
    return np.stack([found.real, found.imag]).astype(np.float32)


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
        """The shape of the parameters of one image."""
        recipe = self.recipe
        pixels = (*recipe.size, recipe.colours)
        return spectrum_shape(recipe.size, recipe.colours) if recipe.parametrization == "fourier" else pixels

    def values(self, ops: Ops, parameters: Value) -> Value:
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

    def levels(self, values: Value) -> Value:
        """Values as RGB levels, 0 to 255 for low to high."""
        return (values - self.recipe.low) * (255 / (self.recipe.high - self.recipe.low))
