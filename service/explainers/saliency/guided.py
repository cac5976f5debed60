"""Gradients that ReLUs let through by another rule than their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from service.errors import MethodNotValid
from service.explainers.channels import by_mean_gradient
from service.explainers.layers import lacks_map, layer_for
from service.explainers.passes import gradients_plan, resized
from service.explainers.saliency.plain import ONE_PASS, input_gradients, one_pass
from service.explainers.variants import Maps, Warned, variant

if TYPE_CHECKING:
    from service.explainers.saliency.params import SaliencyParams
    from service.explainers.subject import Subject
    from service.models.backends.interface import ReluRule
    from service.models.graph.graph import Graph
    from service.models.graph.head import Head

SANITY_CHECKS = "https://arxiv.org/abs/1810.03292"
_EDGES = "Fails the randomisation check of arXiv 1810.03292: it stays nearly the same when the weights are random."
# The rule of the backend, too.
DECONVNET: ReluRule = "deconvnet"
_CEILING = "A ReLU6 is taken as a ReLU: gradients also pass where it is at its ceiling of 6."


def has_relu(graph: Graph) -> bool:
    """Whether any node is a ReLU, which the guided variants need."""
    return any(node.is_relu for node in graph.nodes)


def _problem(graph: Graph, head: Head) -> str | None:
    return None if has_relu(graph) else "the network has no ReLU"


def _check(subject: Subject, params: SaliencyParams) -> None:
    if not has_relu(subject.graph):
        raise MethodNotValid(f"{params.method} changes the gradient of ReLU, and this network has none; use gradient")


def _ruled(subject: Subject, params: SaliencyParams, rule: ReluRule) -> Maps:
    detail = f"{params.method} stays nearly the same when the network's weights are random: {SANITY_CHECKS}"
    found = input_gradients(subject, rule)
    return Maps(found.values, found.scores, warnings=(Warned("fails_randomisation_check", detail),))


@variant(
    "guided_backprop",
    "At each ReLU only positive gradients of positive inputs pass.",
    "https://arxiv.org/abs/1412.6806",
    ONE_PASS,
    f"{_EDGES} It reconstructs edges more than it explains the class. {_CEILING}",
    estimate=one_pass,
    check=_check,
    problem=_problem,
)
def guided_backprop(subject: Subject, params: SaliencyParams) -> Maps:
    """Gives guided backpropagation. Springenberg et al. 2014, arXiv 1412.6806."""
    return _ruled(subject, params, "guided")


@variant(
    DECONVNET,
    "At each ReLU only positive gradients pass.",
    "https://arxiv.org/abs/1311.2901",
    ONE_PASS,
    f"{_EDGES} {_CEILING}",
    estimate=one_pass,
    check=_check,
    problem=_problem,
)
def deconvnet(subject: Subject, params: SaliencyParams) -> Maps:
    """Gives the backward pass of a deconvolutional network. Zeiler and Fergus 2013, arXiv 1311.2901."""
    return _ruled(subject, params, DECONVNET)


def _check_layer(subject: Subject, params: SaliencyParams) -> None:
    _check(subject, params)
    layer_for(subject, params.layer, params.method)


def _problem_of_layer(graph: Graph, head: Head) -> str | None:
    return _problem(graph, head) or lacks_map(graph)


def _two_passes(subject: Subject, params: SaliencyParams) -> float:
    layer = layer_for(subject, params.layer, params.method).output
    share = subject.backend.share(subject.graph, subject.image.size, subject.targets.tensor, after=layer)
    return 1 + one_pass(subject, params) + 2 * len(subject.targets.pairs) * share


@variant(
    "guided_gradcam",
    "Guided backpropagation times Grad-CAM, enlarged.",
    "https://arxiv.org/abs/1610.02391",
    "2 forward, 2 backward",
    f"{_EDGES} Only its coarse outline is class-discriminative. {_CEILING}",
    estimate=_two_passes,
    check=_check_layer,
    problem=_problem_of_layer,
    takes=("layer",),
    cam_layer=True,
)
def guided_gradcam(subject: Subject, params: SaliencyParams) -> Maps:
    """Gives guided backpropagation times the enlarged Grad-CAM. Selvaraju et al. 2017, arXiv 1610.02391."""
    guided = _ruled(subject, params, "guided")
    entry = layer_for(subject, params.layer, params.method)
    values, gradients, _ = gradients_plan(subject, entry.output)(subject.image.batch, subject.targets.chosen())
    cams = np.stack([by_mean_gradient(values[0], gradient) for gradient in gradients[0]])
    enlarged = resized(subject.backend, cams, subject.image.size)
    maps = [
        gradient * cam.reshape(*cam.shape, *[1] * (gradient.ndim - 2))
        for gradient, cam in zip(guided.values, enlarged, strict=True)
    ]
    return Maps(maps, guided.scores, {"layer": entry.path}, guided.warnings)
