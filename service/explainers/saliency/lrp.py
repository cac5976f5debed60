"""Layer-wise relevance propagation: the score shared out backwards, layer by layer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from service.errors import MethodNotValid
from service.explainers.passes import scores_plan
from service.explainers.saliency.baselines import baseline_of, one_or_all
from service.explainers.saliency.plain import one_pass
from service.explainers.variants import Maps, variant
from service.models.backends.interface import Relevance
from service.models.dialects.roles import role_of

if TYPE_CHECKING:
    from service.arrays import Value
    from service.explainers.saliency.params import SaliencyParams
    from service.explainers.subject import Subject
    from service.models.backends.interface import Plan
    from service.models.graph.graph import Graph, Tensor
    from service.models.graph.head import Head

# Montavon et al. 2019 take a quarter for the middle of VGG16; as the only rule that would keep half of a score.
COMPOSITE_EPSILON, PLAIN_EPSILON = 0.25, 0.01
LOST = ("biases", "epsilon", "nowhere")


def why_no_rule(graph: Graph, end: Tensor) -> str | None:
    """Says which operation before `end` has no rule, as half a sentence; None where all have one."""
    for node in graph.between(graph.inputs, end):
        traits, output = node.traits, node.outputs[0]
        role = role_of(traits, [tensor.shape for tensor in node.inputs], output.shape)
        if role is None:
            return f"lrp has no rule for {node.path!r} ({traits.kind})"
        if role == "weighted" and (output.dtype != "float32" or graph.dialect.weighted(node.op) is None):
            return f"lrp has no rule for {node.path!r} ({traits.kind}), which computes in a way of its own"
    return None


def _check(subject: Subject, params: SaliencyParams) -> None:
    if lacking := why_no_rule(subject.graph, subject.targets.tensor):
        raise MethodNotValid(f"{lacking}; use deeplift or integrated_gradients")


def _problem(graph: Graph, head: Head) -> str | None:
    return why_no_rule(graph, head.logits)


def _passes(subject: Subject, params: SaliencyParams) -> float:
    # What comes back is multiplied by up to five kernels a layer, and a first layer is run on its bounds, too.
    return 2 + 2 * one_pass(subject, params)


@variant(
    "lrp",
    "The score shared out backwards in proportion to what each value adds to the next layer, by the `rule`.",
    "https://doi.org/10.1371/journal.pone.0130140",
    "2 forward, 2 backward a target",
    "The rule decides what is seen: zplus and alphabeta look nearly the same for every class where the deeper layers "
    "hardly tell them apart (arXiv 1912.09818). In deep networks biases and epsilon keep most of the score: see "
    "relevance_lost.",
    estimate=_passes,
    check=_check,
    problem=_problem,
    takes=("rule", "epsilon", "lrp_alpha", "gamma"),
    signed=True,
)
def lrp(subject: Subject, params: SaliencyParams) -> Maps:
    """Gives the relevance of each number of the input, a signed map a target in its shape.

    Bach et al. 2015, PLoS ONE 10(7); the composite of Montavon et al. 2019 (LNCS 11700, chapter 10). Relevance begins
    as the score itself. It passes activations unchanged, max pooling to the largest, sums and normalisations in
    proportion, and a gate (a product with a smaller value, as in squeeze and excitation) whole to what is gated (Arras
    et al. 2017). Softmax before the score, attention and layer normalisation have no rule here. The map's sum and
    `relevance_lost` are the score.
    """
    (rows,) = scores_plan(subject)(subject.image.batch)
    subject = replace(subject, targets=subject.targets.resolved(rows[0]))
    image = subject.image
    ends = np.concatenate([baseline_of(image, "black"), baseline_of(image, "white")])
    low, high = ends.min(axis=0, keepdims=True), ends.max(axis=0, keepdims=True)
    # An array that was sent as it is may reach beyond.
    low, high = np.minimum(low, image.batch), np.maximum(high, image.batch)
    asked = _asked(params)
    relevance, lost, _ = _plan(subject, asked)(image.batch, subject.targets.chosen(), low, high)
    scores = subject.targets.values(rows[0]).astype(np.float64)
    sums = relevance[0].sum(axis=tuple(range(1, relevance[0].ndim)), dtype=np.float64)
    missed = scores - sums - lost[0].sum(axis=1, dtype=np.float64)
    said = {
        "epsilon": asked.epsilon,
        "relevance_lost": {name: one_or_all(amounts.tolist()) for name, amounts in zip(LOST, lost[0].T, strict=True)},
        "conservation_residual": one_or_all(missed.tolist()),
    }
    return Maps(list(relevance[0]), rows[0], said)


def _asked(params: SaliencyParams) -> Relevance:
    usual = COMPOSITE_EPSILON if params.rule == "composite" else PLAIN_EPSILON
    return Relevance(params.rule, usual if params.epsilon is None else params.epsilon, params.lrp_alpha, params.gamma)


def _plan(subject: Subject, asked: Relevance) -> Plan:
    """A plan: the image, chosen (1, targets, 2), and the bounds of the image → relevance (1, targets, h, w, c), what is
    lost (1, targets, 3), and scores (1, n)."""
    backend, graph, targets = subject.backend, subject.graph, subject.targets
    ops = backend.ops

    def passes(batch: Value, chosen: Value, low: Value, high: Value) -> tuple[Value, Value, Value]:
        def scores(value: Value) -> list[Value]:
            return targets.scores(ops, targets.matrix(ops, value), chosen)

        found, lost, value = backend.relevances(graph, batch, targets.tensor, scores, asked, (low, high))
        return ops.stack(found, axis=1), ops.stack(lost, axis=1), targets.matrix(ops, value)

    one = ((1, *subject.image.shape), "float32")
    signature = [one, ((1, len(targets.pairs), 2), "int32"), one, one]
    return backend.compiled(("relevance", asked, targets.key, len(targets.pairs)), passes, signature)
