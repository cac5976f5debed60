"""Gradients gathered over many inputs: noisy copies of the image, or a path from a baseline to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from service.explainers.targets import Targets

if TYPE_CHECKING:
    from service.models.backends.interface import Plan
    from service.models.graph.preprocess import NetworkInput

Floats = NDArray[np.float32]
Baseline = Literal["zero", "black", "mean", "blur"]


class NoiseParams(Protocol):
    """What the noisy methods read of the parameters."""

    @property
    def method(self) -> Any: ...
    @property
    def noise(self) -> float: ...
    @property
    def seed(self) -> int: ...


class PathParams(Protocol):
    """What integrated gradients read of the parameters."""

    @property
    def steps(self) -> int: ...
    @property
    def baseline(self) -> Baseline: ...


def noisy_statistics(
    plan: Plan, image: NetworkInput, targets: Targets, params: NoiseParams, parts: Iterable[slice]
) -> list[Floats]:
    """Mean, mean of squares, or variance over samples of the gradients at x + N(0, σ²), σ = noise·(max x - min x).

    One map in the input's shape a target. Each sample has its own seed, so the result does not depend on the parts.
    smoothgrad: Smilkov et al. 2017, arXiv 1706.03825; squaregrad: Hooker et al. 2018, arXiv 1806.10758; vargrad:
    Adebayo et al. 2018, arXiv 1810.03307.
    """
    deviation = noise_deviation(image, params.noise)
    total = np.zeros((len(targets.pairs), *image.shape), np.float64)
    squares = np.zeros_like(total)
    count = 0
    for part in parts:
        samples = range(part.start, part.stop)
        noise = np.stack(
            [np.random.default_rng([params.seed, sample]).standard_normal(image.shape) for sample in samples]
        )
        _, gradients, _ = plan((image.batch + deviation * noise).astype(np.float32), targets.chosen(len(samples)))
        total += gradients.sum(axis=0, dtype=np.float64)
        squares += np.square(gradients, dtype=np.float64).sum(axis=0)
        count += len(samples)
    if params.method == "smoothgrad":
        result = total / count
    elif params.method == "squaregrad":
        result = squares / count
    else:
        result = np.maximum(squares / count - np.square(total / count), 0)
    return list(result.astype(np.float32))


def integrated(
    plan: Plan, image: NetworkInput, targets: Targets, params: PathParams, parts: Iterable[slice]
) -> tuple[list[Floats], Floats]:
    """(x-b)·∫₀¹ ∂y/∂x(b + t(x-b)) dt by Gauss-Legendre quadrature: a map a target, and the baseline (1, h, w, c).

    Sundararajan et al. 2017, arXiv 1703.01365. Exact where the gradient is a polynomial of degree < 2·steps in t.
    """
    start = baseline_of(image, params.baseline)
    points, weights = np.polynomial.legendre.leggauss(params.steps)
    positions, shares = (points + 1) / 2, weights / 2
    total = np.zeros((len(targets.pairs), *image.shape), np.float64)
    difference = image.batch - start
    for part in parts:
        steps = positions[part].reshape(-1, *[1] * len(image.shape))
        _, gradients, _ = plan((start + steps * difference).astype(np.float32), targets.chosen(len(steps)))
        total += np.tensordot(shares[part], gradients.astype(np.float64), axes=1)
    return list((total * difference).astype(np.float32)), start


def baseline_of(image: NetworkInput, kind: Baseline) -> Floats:
    """(1, h, w, c): zeros of the preprocessed space, black, the image's mean colour, or the image heavily blurred."""
    if kind == "black":
        black = image.colour((0.0, 0.0, 0.0))
        return np.broadcast_to(black if len(image.shape) == 3 else black[0], image.batch.shape).astype(np.float32)
    if kind == "mean":
        mean = image.batch.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
        return np.broadcast_to(mean, image.batch.shape).astype(np.float32)
    if kind == "blur":
        return blurred(image.batch, blur_deviation(image.size))
    return np.zeros_like(image.batch)


def noise_deviation(image: NetworkInput, noise: float) -> float:
    """Gives the noise's deviation in the unit of preprocessed input, a share of the image's range."""
    return noise * float(image.batch.max() - image.batch.min())


def blur_deviation(size: tuple[int, int]) -> float:
    """Gives the deviation, in px, of the blur that stands for no image."""
    return max(size) / 16


def blurred(batch: Floats, deviation_px: float) -> Floats:
    """A Gaussian blur of (1, h, w, …) with the rim repeated; the kernel ends at 3 deviations."""
    radius = max(1, round(3 * deviation_px))
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / deviation_px) ** 2)
    kernel /= kernel.sum()
    result = batch.astype(np.float64)
    for axis in (1, 2):
        padding = [(radius, radius) if place == axis else (0, 0) for place in range(result.ndim)]
        padded = np.pad(result, padding, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, len(kernel), axis=axis)
        result = windows @ kernel
    return result.astype(np.float32)
