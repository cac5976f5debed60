"""KPCA-CAM: what dominates a layer, where cells are compared by a kernel."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.arrays import Floats
from service.errors import MethodNotValid
from service.explainers.cam.components import largest_eigenpair, largest_positive
from service.explainers.cam.eigen import check_component, same_for_all
from service.explainers.layers import layer_for
from service.explainers.passes import values_at
from service.explainers.variants import Maps, variant

if TYPE_CHECKING:
    from service.explainers.base import Progress
    from service.explainers.cam.params import CamParams
    from service.explainers.subject import Subject

Matrix = NDArray[np.float64]
# The matrix of these has 128 MiB.
MOST_CELLS = 4096


def _linear(products: Matrix, gamma: float) -> Matrix:
    return products


def _poly(products: Matrix, gamma: float) -> Matrix:
    return np.asarray((gamma * products + 1) ** 3)


def _rbf(products: Matrix, gamma: float) -> Matrix:
    squares = np.diagonal(products)
    return np.asarray(np.exp(-gamma * np.maximum(squares[:, None] + squares - 2 * products, 0)))


def _sigmoid(products: Matrix, gamma: float) -> Matrix:
    return np.tanh(gamma * products + 1)


# By the products x·y of cells, with γ = 1 / channels: as scikit-learn defines and names them, the first as default.
KERNELS: Mapping[str, Callable[[Matrix, float], Matrix]] = {
    "sigmoid": _sigmoid,
    "rbf": _rbf,
    "poly": _poly,
    "linear": _linear,
}


def _check(subject: Subject, params: CamParams) -> None:
    """Raises as `check_component` does, and MethodNotValid for a layer of too many cells."""
    check_component(subject, params)
    layer = layer_for(subject, params.layer, params.method)
    height, width = subject.backend.shape(subject.graph, subject.image.size, layer.output)[:2]
    if height * width > MOST_CELLS:
        raise MethodNotValid(
            f"{params.method} compares every cell with every other: the {height}×{width} = {height * width} cells of "
            f"layer {layer.path!r} are more than the {MOST_CELLS} it takes; choose a later layer"
        )


@variant(
    "kpcacam",
    "First kernel principal component of the cells, each channel's mean removed: the eigenvector of the centred kernel "
    "matrix of the largest eigenvalue, times the root of that.",
    "https://arxiv.org/abs/2410.00267",
    "1 forward",
    "Knows no class: it shows what dominates the layer, whatever is asked for. Kernels of large activations saturate: "
    "rbf then sees every cell as far from every other, and sigmoid sees only signs.",
    check=_check,
    takes=("kernel",),
    signed=True,
    cam_layer=True,
)
def kpcacam(subject: Subject, params: CamParams) -> Maps:
    """Gives the same signed map (h, w) for every target; see `kernel_component`."""
    activations, scores = values_at(subject, layer_for(subject, params.layer, params.method).output)
    return same_for_all(subject, params, kernel_component(activations, params.kernel, subject.progress), scores)


def kernel_component(activations: Floats, kernel: str, progress: Progress) -> Floats:
    """A (h, w, k) as hw cells, each channel's mean removed, projected on the first kernel principal component: (h, w).

    sqrt(λ)·v with v the eigenvector of the centred kernel matrix of the largest algebraic eigenvalue λ, signed as
    `first_component`; 0 where no eigenvalue is above 0, NaN where the matrix is not finite. γ is 1/k.
    Karmani et al. 2024, arXiv 2410.00267; Schölkopf et al. 1998, Neural Computation 10, for the component.
    """
    height, width, channels = activations.shape
    flat = activations.reshape(-1, channels).astype(np.float64)
    centred = flat - flat.mean(axis=0)
    matrix = KERNELS[kernel](centred @ centred.T, 1 / channels)
    # What rounding leaves of a matrix that centring makes 0.
    nothing = 8 * len(matrix) * np.finfo(np.float64).eps * float(np.abs(matrix).max())
    means = matrix.mean(axis=0)
    matrix -= means
    matrix -= means[:, None] - means.mean()
    if not np.isfinite(matrix).all():
        return np.full((height, width), np.nan, np.float32)
    value, vector = largest_eigenpair(matrix, progress)
    return largest_positive(vector.reshape(height, width) * (math.sqrt(value) if value > nothing else 0))
