"""Score-CAM: how much of the image's score a channel keeps when it masks the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.arrays import Floats
from service.explainers.cam.gradients import check_layer
from service.explainers.cam.weighted import Channels, Weighted, weighted_variant
from service.explainers.channels import weighted
from service.explainers.layers import layer_for
from service.explainers.passes import batch_of, chunks, scores_plan, values_at
from service.explainers.variants import Warned

if TYPE_CHECKING:
    from service.arrays import Value
    from service.explainers.cam.params import CamParams
    from service.explainers.subject import Subject


def _passes(subject: Subject, params: CamParams) -> float:
    channels = layer_for(subject, params.layer, params.method).output.shape[-1] or 1
    return 2 + min(channels, params.max_channels or channels)


@weighted_variant(
    "scorecam",
    "ReLU(Σ_k w_k A_k) with w the softmax of each channel's rise in score when it masks the image. The score is the "
    "one that is explained, a logit where there is one.",
    "https://arxiv.org/abs/1910.01279",
    "1 forward a channel",
    "Where no single channel raises the score, all weights are nearly equal and the map is the mean activation. "
    "Channels that are constant on the image are left out, as they mask nothing.",
    estimate=_passes,
    check=check_layer,
    takes=("max_channels",),
)
def scorecam(subject: Subject, params: CamParams) -> Weighted:
    """Gives the channels w_k A_k of each target, w = softmax over channels of the rise in score.

    M_k = minmax(up(A_k)); the rise is the score (logit) of x·M_k minus that of the baseline, an input of zeros.
    Wang et al. 2020, arXiv 1910.01279: its channel-wise increase of confidence under enlarged maps that are brought to
    [0, 1], and its softmax of that. With probabilities in place of logits the softmax makes all weights nearly equal,
    and the map nearly the same for every class.
    """
    entry = layer_for(subject, params.layer, params.method)
    activations, scores = values_at(subject, entry.output)
    channels = usable_channels(activations, params.max_channels)
    left_out = len(usable_channels(activations, None)) - len(channels)
    said = {
        "layer": entry.path,
        "channels_used": len(channels),
        "channels_left_out": left_out,
        "channels_constant": activations.shape[-1] - len(channels) - left_out,
    }
    detail = f"{left_out} channels of smaller spatial deviation were left out; raise max_channels for all"
    warnings = (Warned("channels_left_out", detail),) if left_out else ()
    if not len(channels):
        return Weighted([np.zeros_like(activations, np.float64)] * len(subject.targets.pairs), scores, said)
    maps = activations[..., channels]
    values = subject.targets.resolved(scores).values(_masked(subject, maps)).astype(np.float64)
    return Weighted((_by_rise(maps, rises) for rises in (values[1:] - values[:1]).T), scores, said, warnings)


def usable_channels(activations: Floats, most: int | None) -> NDArray[np.intp]:
    """Channels that are not constant; of more than `most`, those of the largest spatial deviation, in order."""
    flat = activations.reshape(-1, activations.shape[-1])
    # Written so that a channel with NaN counts as varying, and its map tells.
    varying = np.flatnonzero(~(flat.min(axis=0) == flat.max(axis=0)))
    if most is None or len(varying) <= most:
        return varying
    spread = flat[:, varying].std(axis=0, dtype=np.float64)
    return np.sort(varying[np.argsort(-spread, kind="stable")[:most]])


def _by_rise(maps: Floats, rises: NDArray[np.float64]) -> Channels:
    exponential = np.exp(rises - rises.max())
    return weighted(maps, exponential / exponential.sum())


def _masked(subject: Subject, maps: Floats) -> Floats:
    """Scores (1 + k, n): those of the baseline, then those of the image under each of the maps (h, w, k)."""
    backend, graph, image, targets = subject.backend, subject.graph, subject.image, subject.targets
    ops = backend.ops

    def masked(batch: Value, given: Value) -> Value:
        up = ops.image.resize(given[..., None], image.size, interpolation="bilinear")
        low, high = ops.min(up, axis=(1, 2), keepdims=True), ops.max(up, axis=(1, 2), keepdims=True)
        mask = (up - low) / ops.maximum(high - low, 1e-12)
        pixels = batch * (mask if len(image.shape) == 3 else mask[..., 0])
        (value,) = graph.run({graph.inputs[0]: pixels}, [targets.tensor])
        return targets.matrix(ops, value)

    signature = [batch_of(image), ((None, *maps.shape[:2]), "float32")]
    plan = backend.compiled(("masked by channels", maps.shape[:2], targets.key), masked, signature)
    (baseline,) = scores_plan(subject)(np.zeros_like(image.batch))
    planes = np.ascontiguousarray(maps.transpose(2, 0, 1))
    parts = chunks(len(planes), backend.chunk(graph, image.size), subject.progress)
    return np.concatenate([baseline, *(plan(image.batch, planes[part])[0] for part in parts)])
