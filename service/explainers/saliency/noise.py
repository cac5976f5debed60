"""Gradients gathered over noisy copies of the image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.explainers.passes import chunks, gradients_plan, scores_plan
from service.explainers.saliency.plain import one_pass
from service.explainers.variants import Maps, MapVariant

if TYPE_CHECKING:
    from service.explainers.saliency.params import SaliencyParams
    from service.explainers.subject import Subject
    from service.models.graph.preprocess import NetworkInput

Doubles = NDArray[np.float64]
Statistic = Callable[[Doubles, Doubles, int], Doubles]


def noisy(name: str, summary: str, paper: str, caution: str) -> Callable[[Statistic], MapVariant[SaliencyParams]]:
    """A decorator that makes a variant of a statistic: sums of n gradients and of their squares, and n → a map."""

    def made(statistic: Statistic) -> MapVariant[SaliencyParams]:
        def compute(subject: Subject, params: SaliencyParams) -> Maps:
            return _gathered(subject, params, statistic)

        return MapVariant(
            name, summary, paper, "n forward, n backward", caution, ("samples", "noise", "seed"),
            compute=compute, estimate=_passes,
        )  # fmt: skip

    return made


def _passes(subject: Subject, params: SaliencyParams) -> float:
    return 1 + one_pass(subject, params) * params.samples


def _gathered(subject: Subject, params: SaliencyParams, statistic: Statistic) -> Maps:
    """The statistic, over samples, of the gradients at x + N(0, σ²), σ = noise·(max x - min x), in the input's shape.

    Each sample has its own seed, so the result does not depend on how the work is cut.
    """
    image = subject.image
    (rows,) = scores_plan(subject)(image.batch)
    targets = subject.targets.resolved(rows[0])
    subject = replace(subject, targets=targets)
    deviation = noise_deviation(image, params.noise)
    plan = gradients_plan(subject, subject.graph.inputs[0])
    total = np.zeros((len(targets.pairs), *image.shape), np.float64)
    squares = np.zeros_like(total)
    for part in chunks(params.samples, images_a_step(subject), subject.progress):
        samples = range(part.start, part.stop)
        noise = np.stack(
            [np.random.default_rng([params.seed, sample]).standard_normal(image.shape) for sample in samples]
        )
        _, gradients, _ = plan((image.batch + deviation * noise).astype(np.float32), targets.chosen(len(samples)))
        total += gradients.sum(axis=0, dtype=np.float64)
        squares += np.square(gradients, dtype=np.float64).sum(axis=0)
    maps = statistic(total, squares, params.samples).astype(np.float32)
    return Maps(list(maps), rows[0], {"deviation": deviation})


def images_a_step(subject: Subject) -> int:
    """How many images one step takes, each with a backward pass a target."""
    size = subject.backend.chunk(subject.graph, subject.image.size, backward=True)
    return max(1, size // len(subject.targets.pairs))


def noise_deviation(image: NetworkInput, noise: float) -> float:
    """Gives the noise's deviation in the unit of preprocessed input, a share of the image's range."""
    return noise * float(image.batch.max() - image.batch.min())


@noisy(
    "smoothgrad",
    "Mean of the signed gradients of n noisy copies, σ = noise·(max x - min x).",
    "https://arxiv.org/abs/1706.03825",
    "Too much noise smooths the class away; compare two levels.",
)
def smoothgrad(total: Doubles, squares: Doubles, count: int) -> Doubles:
    """The mean. Smilkov et al. 2017, arXiv 1706.03825."""
    return total / count


@noisy(
    "squaregrad",
    "Mean of the squared gradients of n noisy copies.",
    "https://arxiv.org/abs/1806.10758",
    "Has no sign.",
)
def squaregrad(total: Doubles, squares: Doubles, count: int) -> Doubles:
    """The mean of squares. Hooker et al. 2018, arXiv 1806.10758."""
    return squares / count


@noisy(
    "vargrad",
    "Variance of the gradients of n noisy copies.",
    "https://arxiv.org/abs/1810.03307",
    "Has no sign, and does not depend on the gradient of the image itself.",
)
def vargrad(total: Doubles, squares: Doubles, count: int) -> Doubles:
    """The variance, >= 0. Adebayo et al. 2018, arXiv 1810.03307."""
    return np.maximum(squares / count - np.square(total / count), 0)
