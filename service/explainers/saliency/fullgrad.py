"""The full gradient: what the image and what each bias of the network contributes to the score, as one map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.explainers.layers import is_map
from service.explainers.passes import CHOSEN, batch_of
from service.explainers.saliency.baselines import DELTA_LIMIT, one_or_all
from service.explainers.saliency.plain import ONE_PASS, one_pass
from service.explainers.variants import Maps, Warned, variant

if TYPE_CHECKING:
    from service.arrays import Ops, Value
    from service.explainers.saliency.params import SaliencyParams
    from service.explainers.subject import Subject
    from service.models.backends.interface import Plan
    from service.models.graph.graph import Tensor

Bias = tuple["Tensor", NDArray[np.float64]]
LEAST_SPAN = float(np.finfo(np.float32).tiny)


@variant(
    "fullgrad",
    "ψ(x·∂y/∂x) + Σ_l Σ_c ψ(b_lc·∂y/∂z_lc) over the layers l with a bias b; ψ: magnitudes, from 0 to 1, enlarged.",
    "https://arxiv.org/abs/1905.00780",
    ONE_PASS,
    "Every layer counts alike, however little its biases contribute to the score, and the map has no sign. On a "
    "network of ReLUs the contributions sum to the score before they are rescaled, see completeness_delta; with ReLU6 "
    "at its ceiling, swish, sigmoid or tanh inside they do not.",
    estimate=one_pass,
    colourless=True,
)
def fullgrad(subject: Subject, _: SaliencyParams) -> Maps:
    """Gives ψ(x·∂y/∂x) + Σ_l Σ_c ψ(b_lc·∂y/∂z_lc), a map (h, w) >= 0 a target; z_l is what layer l gives.

    Srinivas and Fleuret 2019, arXiv 1905.00780, eq. 8. ψ takes magnitudes, brings them to [0, 1] by the least and the
    largest of the whole layer, as in the authors' code, and enlarges them bilinearly between half-pixel centres, where
    that code lays the corners on each other. A layer is whatever adds a constant on the way to the score: convolution,
    normalisation, arithmetic of the network itself. Those without a spatial map, as dense ones, count in
    `completeness_delta`, which is Σ x·∂y/∂x + Σ b·∂y/∂z - y, and not in the map.
    """
    biases = subject.graph.biases(subject.targets.tensor)
    constants = [bias[None].astype(np.float32) for _, bias in biases]
    maps, sums, rows = _plan(subject, biases)(subject.image.batch, subject.targets.chosen(), *constants)
    scores = subject.targets.resolved(rows[0]).values(rows[0]).astype(np.float64)
    deltas = (sums[0] - scores).tolist()
    warnings = tuple(
        Warned(
            "completeness_delta",
            f"image and biases contribute {delta:+.3g} more than the score ({score:.3g}): they sum to it in "
            "networks of ReLUs, and this one has ReLU6 at its ceiling, another activation, or layers of unknown bias",
        )
        for delta, score in zip(deltas, scores, strict=True)
        if abs(delta) > DELTA_LIMIT * abs(score)
    )
    said = {"biased_layers": sum(is_map(tensor) for tensor, _ in biases), "completeness_delta": one_or_all(deltas)}
    return Maps(list(maps[0]), rows[0], said, warnings)


def _plan(subject: Subject, biases: list[Bias]) -> Plan:
    """A plan: batch (b, h, w, c), chosen (b, targets, 2) and each bias (b, 1 or its channels) → maps (b, targets, h, w)
    float32, the sums (b, targets) of what image and biases contribute, float64, and scores (b, n) float32."""
    backend, graph, image, targets = subject.backend, subject.graph, subject.image, subject.targets
    ops = backend.ops
    watched = [graph.inputs[0], *(tensor for tensor, _ in biases)]

    def passes(batch: Value, chosen: Value, *constants: Value) -> tuple[Value, Value, Value]:
        def scores(value: Value) -> list[Value]:
            return targets.scores(ops, targets.matrix(ops, value), chosen)

        feeds = {graph.inputs[0]: batch}
        _, gradients, (value,) = backend.gradients(graph, feeds, watched, [targets.tensor], scores)
        maps = sums = 0.0
        for place, (tensor, added) in enumerate(zip(watched, (batch, *constants), strict=True)):
            stacked = ops.stack([ops.cast(gradient[place], "float32") for gradient in gradients], axis=1)
            ones = (1,) * (len(stacked.shape) - 2)
            products = stacked * (added[:, None] if place == 0 else ops.reshape(added, (-1, *ones, added.shape[-1])))
            sums += ops.sum(ops.cast(products, "float64"), axis=tuple(range(2, len(products.shape))))
            if place == 0 or is_map(tensor):
                maps += ops.cast(_enlarged(ops, products, image.size), "float64")
        return ops.cast(ops.transpose(maps, (0, 3, 1, 2)), "float32"), sums, targets.matrix(ops, value)

    rows = backend.rows(graph, image.size, backward=True)
    key = ("full gradient", targets.key, len(targets.pairs))
    of_biases = [((None, *bias.shape), "float32") for _, bias in biases]
    return backend.compiled(key, passes, [batch_of(image), CHOSEN, *of_biases], rows=rows)


def _enlarged(ops: Ops, products: Value, size: tuple[int, int]) -> Value:
    """ψ of a layer (b, targets, h, w, …), its channels summed, as (b, H, W, targets)."""
    amounts = ops.abs(products)
    axes = tuple(range(2, len(products.shape)))
    least = ops.min(amounts, axis=axes, keepdims=True)
    span = ops.max(amounts, axis=axes, keepdims=True) - least
    unit = (amounts - least) / ops.maximum(span, LEAST_SPAN)
    flat = ops.sum(unit, axis=-1) if len(products.shape) == 5 else unit
    return ops.image.resize(ops.transpose(flat, (0, 2, 3, 1)), size, interpolation="bilinear")
