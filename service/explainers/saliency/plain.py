"""Gradients of one pass, as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.explainers.passes import gradients_plan
from service.explainers.variants import Maps, variant

if TYPE_CHECKING:
    from service.explainers.saliency.params import SaliencyParams
    from service.explainers.subject import Subject
    from service.models.backends.interface import ReluRule

ONE_PASS = "1 forward, 1 backward a target"


def one_pass(subject: Subject, _: SaliencyParams) -> float:
    """One forward pass, and one backward pass a target, which counts as two."""
    return 1 + 2 * len(subject.targets.pairs)


def input_gradients(subject: Subject, rule: ReluRule | None = None) -> Maps:
    """Gradients with respect to the preprocessed image, signed and in its shape; `rule` changes those of ReLUs."""
    plan = gradients_plan(subject, subject.graph.inputs[0], rule)
    _, gradients, rows = plan(subject.image.batch, subject.targets.chosen())
    return Maps(list(gradients[0]), rows[0])


@variant(
    "gradient",
    "∂y/∂x.",
    "https://arxiv.org/abs/1312.6034",
    ONE_PASS,
    "Noisy: gradients of ReLU networks flicker.",
    estimate=one_pass,
)
def gradient(subject: Subject, _: SaliencyParams) -> Maps:
    """Gives ∂y/∂x. Simonyan et al. 2013, arXiv 1312.6034."""
    return input_gradients(subject)


@variant(
    "gradient_x_input",
    "x·∂y/∂x.",
    "https://arxiv.org/abs/1704.02685",
    ONE_PASS,
    "0 wherever the preprocessed pixel is 0.",
    estimate=one_pass,
)
def gradient_x_input(subject: Subject, _: SaliencyParams) -> Maps:
    """Gives x·∂y/∂x. Shrikumar et al. 2017, arXiv 1704.02685."""
    found = input_gradients(subject)
    return Maps([values * subject.image.batch[0] for values in found.values], found.scores)
