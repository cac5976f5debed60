"""Class activation maps from one forward and one backward pass: A and G are (h, w, k), those of one layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from service.arrays import Floats
from service.explainers.cam.weighted import Channels, Weighted, WeightedVariant, maps_of
from service.explainers.channels import weighted
from service.explainers.layers import layer_for
from service.explainers.passes import gradients_plan

if TYPE_CHECKING:
    from service.explainers.cam.params import CamParams
    from service.explainers.subject import Subject

Formula = Callable[[Floats, Floats], Channels]
ONE_PASS = "1 forward, 1 backward a target"
COARSE = "As coarse as the layer: one cell of a 7×7 map is a 32×32 px patch of a 224 px input."


@dataclass(frozen=True, kw_only=True)
class FromGradients(WeightedVariant):
    """A variant that is a `formula` of A and G, which gives weighted channels (h, w, k); see `summed`."""

    formula: Formula


@dataclass(frozen=True)
class AtLayer:
    """A layer's activations (h, w, k), their gradients (targets, h, w, k), and the image's scores (n,), all float32."""

    path: str
    activations: Floats
    gradients: Floats
    scores: Floats


def at_layer(subject: Subject, params: CamParams) -> AtLayer:
    """One forward pass, and one backward pass a target, down to the layer asked for."""
    entry = layer_for(subject, params.layer, params.method)
    values, gradients, rows = gradients_plan(subject, entry.output)(subject.image.batch, subject.targets.chosen())
    return AtLayer(entry.path, values[0], gradients[0], rows[0])


def from_gradients(name: str, summary: str, paper: str, caution: str) -> Callable[[Formula], FromGradients]:
    """A decorator that makes a variant of its formula."""

    def made(formula: Formula) -> FromGradients:
        def compute(subject: Subject, params: CamParams) -> Weighted:
            found = at_layer(subject, params)
            channels = (formula(found.activations, gradients) for gradients in found.gradients)
            return Weighted(channels, found.scores, {"layer": found.path})

        return FromGradients(
            name, summary, paper, ONE_PASS, caution, compute=maps_of(compute), estimate=one_pass, check=check_layer,
            cam_layer=True, formula=formula,
        )  # fmt: skip

    return made


def check_layer(subject: Subject, params: CamParams) -> None:
    """Raises UnknownLayer, MethodNotValid for a layer without a map or one that the score does not depend on."""
    layer_for(subject, params.layer, params.method)


def one_pass(subject: Subject, params: CamParams) -> float:
    """The estimate of a forward pass, and of a backward pass a target down to the layer."""
    return 1 + backward_passes(subject, params)


def backward_passes(subject: Subject, params: CamParams) -> float:
    """The estimate of a backward pass a target down to the layer."""
    layer = layer_for(subject, params.layer, params.method).output
    share = subject.backend.share(subject.graph, subject.image.size, subject.targets.tensor, after=layer)
    return 2 * len(subject.targets.pairs) * share


@from_gradients(
    "gradcam",
    "ReLU(Σ_k a_k A_k) with a_k the mean gradient of channel k.",
    "https://arxiv.org/abs/1610.02391",
    f"{COARSE} Averaging the gradients can point where the network does not look when a layer is far from the head.",
)
def gradcam(activations: Floats, gradients: Floats) -> Channels:
    """a_k A_k, a_k = mean_ij G_ijk. Selvaraju et al. 2017, arXiv 1610.02391, eq. 1 and 2."""
    return weighted(activations, gradients.mean(axis=(0, 1), dtype=np.float64))


@from_gradients(
    "gradcam++",
    "ReLU(Σ_k w_k A_k) with w_k = Σ α·ReLU(G), α = G²/(2G² + G³·ΣA).",
    "https://arxiv.org/abs/1710.11063",
    "Only positive gradients count, so evidence against the class is not subtracted; α blows up where 2 + G·ΣA is "
    "near 0.",
)
def gradcam_plus_plus(activations: Floats, gradients: Floats) -> Channels:
    """w_k A_k, w_k = Σ_ij α ReLU(G), α = G² / (2G² + S_k G³), S_k = Σ_ab A_abk, α = 0 where G = 0.

    Chattopadhay et al. 2018, arXiv 1710.11063, eq. 19; α is not renormalised.
    """
    a, g = activations.astype(np.float64), gradients.astype(np.float64)
    # Divided through by G², which leaves 1 / (2 + S G).
    denominator = 2 + a.sum(axis=(0, 1)) * g
    usable = (g != 0) & (denominator != 0)
    alpha = np.where(usable, 1 / np.where(usable, denominator, 1), 0)
    return weighted(activations, (alpha * np.maximum(g, 0)).sum(axis=(0, 1)))


@from_gradients(
    "hirescam",
    "ReLU(Σ_k G_k·A_k), cell by cell.",
    "https://arxiv.org/abs/2011.08891",
    "Faithful at the last convolution of a linear head; noisy at early layers, where gradients change from cell to "
    "cell.",
)
def hirescam(activations: Floats, gradients: Floats) -> Channels:
    """G_k A_k, cell by cell. Draelos and Carin 2020, arXiv 2011.08891; the sum is clipped at 0 as Grad-CAM's."""
    return weighted(activations, gradients.astype(np.float64))


@from_gradients(
    "layercam",
    "ReLU(Σ_k ReLU(G_k)·A_k), cell by cell.",
    "https://doi.org/10.1109/TIP.2021.3089943",
    "Ignores negative gradients; at early layers it shows edges of whatever the class is near.",
)
def layercam(activations: Floats, gradients: Floats) -> Channels:
    """ReLU(G_k) A_k, cell by cell. Jiang et al. 2021, IEEE TIP 30, eq. 6 and 7."""
    return weighted(activations, np.maximum(gradients, 0).astype(np.float64))


@from_gradients(
    "xgradcam",
    "ReLU(Σ_k w_k A_k) with w_k = Σ G·A / ΣA.",
    "https://arxiv.org/abs/2008.02312",
    "Unstable for channels whose activations nearly sum to 0, which only layers without a ReLU have.",
)
def xgradcam(activations: Floats, gradients: Floats) -> Channels:
    """w_k A_k, w_k = Σ G A / (Σ A + 1e-7). Fu et al. 2020, arXiv 2008.02312, eq. 9."""
    product = (gradients.astype(np.float64) * activations).sum(axis=(0, 1))
    return weighted(activations, product / (activations.sum(axis=(0, 1), dtype=np.float64) + 1e-7))
