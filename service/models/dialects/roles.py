"""The part an operation plays when a score is shared out backwards through the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from service.models.dialects.traits import Affine, Traits, Window

Role = Literal["weighted", "scaling", "sum", "route", "activation", "gate"]
Shape = Sequence[int | None]

_WEIGHTED = {"Dense", "Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose"}
_SCALING = {"BatchNormalization", "Normalization", "Rescaling", "LayerScale", "CustomScaleLayer"}
# Functions of a number alone. Softmax and its like look along the channels.
_OF_ONE_NUMBER = {
    "relu", "relu6", "leakyrelu", "leaky_relu", "prelu", "elu", "thresholdedrelu", "selu", "celu", "silu", "swish",
    "gelu", "mish", "sigmoid", "hard_sigmoid", "hardsigmoid", "hard_silu", "hard_swish", "hardsilu", "hardswish",
    "tanh", "hard_tanh", "hardtanh", "softplus", "softsign", "log_sigmoid", "logsigmoid", "exponential", "exp",
    "squareplus", "sparse_plus", "soft_shrink", "softshrink", "hard_shrink", "hardshrink", "tanh_shrink", "tanhshrink",
    "threshold", "abs", "absolute", "square", "clip", "sqrt", "log",
}  # fmt: skip
# Those that have no place where they let a value through as it is.
_NO_ACTIVATION = {"exponential", "exp", "abs", "absolute", "square", "clip", "sqrt", "log"}


def is_of_one_number(traits: Traits) -> bool:
    """Whether each number of the output follows from the number in the same place alone, by one curve."""
    return (traits.activation or traits.kind).lower() in _OF_ONE_NUMBER


def is_linear(traits: Traits) -> bool:
    """Whether the operation is known to be linear in its values, but for what it adds."""
    rolls = traits.spatial.rolls if isinstance(traits.spatial, Window) else None
    return (
        traits.kind in _WEIGHTED
        or traits.kind in _SCALING
        or traits.keeps_values
        or traits.moves_pixels
        or isinstance(traits.affine, Affine)
        or traits.merge in ("sum", "join", "mean")
        or rolls == "mean"
    )


def is_largest(traits: Traits) -> bool:
    """Whether the operation gives the largest of several numbers, as max pooling does."""
    rolls = traits.spatial.rolls if isinstance(traits.spatial, Window) else None
    return rolls == "max" or (traits.merge == "extreme" and traits.kind.lower() not in ("minimum", "min"))


def role_of(traits: Traits, inputs: Sequence[Shape], output: Shape) -> Role | None:
    """What a layer-wise relevance rule is chosen by; None where there is none for such an operation.

    `weighted`: a layer with a kernel. `scaling`: a factor and an offset a channel. `sum`: a sum or mean of values.
    `route`: values go on as they are, or the largest of them. `activation`: a curve that each number follows.
    `gate`: a product whose one value is smaller than the other.
    """
    if traits.kind in _WEIGHTED:
        return "weighted"
    if is_of_one_number(traits):
        known = (traits.activation or traits.kind).lower() not in _NO_ACTIVATION
        return "activation" if known and len(inputs) == 1 else None
    if traits.keeps_values or traits.moves_pixels or traits.merge == "join":
        return "route"
    if traits.kind in _SCALING or traits.affine is not None:
        return "scaling"
    if traits.merge == "product" and len(inputs) == 2:
        return None if gate_of(inputs, output) is None else "gate"
    if is_largest(traits):
        return "route" if len(inputs) == 1 else None
    rolls = traits.spatial.rolls if isinstance(traits.spatial, Window) else None
    return "sum" if traits.merge in ("sum", "mean") or rolls == "mean" else None


def gate_of(inputs: Sequence[Shape], output: Shape) -> int | None:
    """Says which of two values that are multiplied is the gate: the one that is not as large as the product."""
    whole = [tuple(shape)[1:] == tuple(output)[1:] for shape in inputs]
    return whole.index(False) if whole.count(False) == 1 else None
