"""The definitions of gradient maps, with paper, cost and caution."""

from __future__ import annotations

from service.explainers.base import Variant

_ONE = "1 forward, 1 backward a target"
_EDGES = "Fails the randomisation check of arXiv 1810.03292: it stays nearly the same when the weights are random."
_CEILING = "A ReLU6 is taken as a ReLU: gradients also pass where it is at its ceiling of 6."
VARIANTS = (
    Variant(
        "gradient", "∂y/∂x.", "https://arxiv.org/abs/1312.6034", _ONE, "Noisy: gradients of ReLU networks flicker."
    ),
    Variant(
        "gradient_x_input",
        "x·∂y/∂x.",
        "https://arxiv.org/abs/1704.02685",
        _ONE,
        "0 wherever the preprocessed pixel is 0.",
    ),
    Variant(
        "guided_backprop",
        "At each ReLU only positive gradients of positive inputs pass.",
        "https://arxiv.org/abs/1412.6806",
        _ONE,
        f"{_EDGES} It reconstructs edges more than it explains the class. {_CEILING}",
    ),
    Variant(
        "deconvnet",
        "At each ReLU only positive gradients pass.",
        "https://arxiv.org/abs/1311.2901",
        _ONE,
        f"{_EDGES} {_CEILING}",
    ),
    Variant(
        "smoothgrad",
        "Mean of the signed gradients of n noisy copies, σ = noise·(max x - min x).",
        "https://arxiv.org/abs/1706.03825",
        "n forward, n backward",
        "Too much noise smooths the class away; compare two levels.",
    ),
    Variant(
        "squaregrad",
        "Mean of the squared gradients of n noisy copies.",
        "https://arxiv.org/abs/1806.10758",
        "n forward, n backward",
        "Has no sign.",
    ),
    Variant(
        "vargrad",
        "Variance of the gradients of n noisy copies.",
        "https://arxiv.org/abs/1810.03307",
        "n forward, n backward",
        "Has no sign, and does not depend on the gradient of the image itself.",
    ),
    Variant(
        "integrated_gradients",
        "(x-b)·∫ ∂y/∂x from the baseline b to x, Gauss-Legendre.",
        "https://arxiv.org/abs/1703.01365",
        "steps forward, steps backward",
        "Depends on the baseline: parts of the image that look like it get nothing. See convergence_delta.",
    ),
    Variant(
        "guided_gradcam",
        "Guided backpropagation times Grad-CAM, enlarged.",
        "https://arxiv.org/abs/1610.02391",
        "2 forward, 2 backward",
        f"{_EDGES} Only its coarse outline is class-discriminative. {_CEILING}",
    ),
)
