"""The weights of a convolution, drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from service.arrays import Floats
from service.errors import InvalidParameter, MethodNotValid
from service.errors.validation import Matching
from service.explainers.base import Cost, Explainer, Explanation, Photograph, Picture
from service.explainers.params import Indices, LayerName, TileParams, written_beyond
from service.explainers.variants import Variant

if TYPE_CHECKING:
    from service.explainers.subject import Subject
    from service.models.graph.graph import LayerEntry


class KernelParams(TileParams):
    """Says which kernels of which layer, and how they are drawn."""

    layer: LayerName = Field(max_length=300, description="Name, path or index of a convolution.")
    channels: Indices | None = Field(
        None, alias="filters", description="Filters, e.g. `0,4` or `0-15`; all when absent."
    )
    input_channel: Annotated[LayerName, Matching(r"^(\d{1,6}|mean|rgb)$", "it must be an index, mean or rgb")] = Field(
        "0",
        description="Which slice of each kernel: an input channel's index, their `mean`, or `rgb` for a layer with 3.",
    )


class Kernels(Explainer[KernelParams]):
    """Kernels of a layer as pictures: no pass through the network."""

    name = "kernels"
    title = "Kernels"
    summary = "The kernels a convolution has learned."
    cost = Cost.READ
    picture = Picture.TILES
    outputs = ("kernels",)
    variants = (
        Variant(
            name,
            "The layer's weights themselves.",
            "",
            passes="none",
            caution="Only the first layer's kernels are patterns of pixels; deeper ones weigh channels.",
        ),
    )
    photograph = Photograph.NONE
    Params = KernelParams

    def explain(self, subject: Subject, params: KernelParams) -> Explanation:
        """Gives `kernels` (h, w, filters) float32, or (h, w, 3, filters) for `rgb`; unit: that of the weights."""
        entry = subject.graph.entry(params.layer)
        kernels = kernel_of(entry.layer)
        count = kernels.shape[-1]
        slices = _slice(kernels, params.input_channel)
        chosen = slices if params.channels is None else np.ascontiguousarray(slices[..., list(params.channels)])
        height, width = kernels.shape[:2]
        shown = f"{chosen.shape[-1]} of {count} kernels"
        title = f"{entry.path} · {height}×{width} · {shown} · input channel {params.input_channel}"
        return Explanation({"kernels": chosen}, "kernels", parameters={"layer": entry.path}, titles={"kernels": title})

    @classmethod
    def check(cls, subject: Subject, params: KernelParams) -> None:
        """Raises UnknownLayer, MethodNotValid for a layer without a two-dimensional kernel, InvalidParameter for a
        filter or a slice there is not."""
        entry = subject.graph.entry(params.layer)
        problem = cls.why_not(entry)
        if problem:
            raise MethodNotValid(f"layer {entry.path!r} has no kernels to draw: {problem}")
        _, _, inputs, count = kernel_of(entry.layer).shape
        if beyond := written_beyond(params.channels or (), count):
            raise InvalidParameter(f"layer {entry.path!r} has the filters 0 to {count - 1}, not {beyond}")
        which = params.input_channel
        if which == "rgb" and inputs != 3:
            raise InvalidParameter(
                f"input_channel=rgb needs a layer with 3 input channels; {entry.path!r} has {inputs}"
            )
        if which.isdecimal() and int(which) >= inputs:
            raise InvalidParameter(f"layer {entry.path!r} has the input channels 0 to {inputs - 1}, not {which}")

    @classmethod
    def channel_pictures(cls, subject: Subject, params: KernelParams) -> int:
        if params.view != "channel":
            return 0
        if params.channels is not None:
            return len(params.channels)
        return int(kernel_of(subject.graph.entry(params.layer).layer).shape[-1])

    @classmethod
    def why_not(cls, entry: LayerEntry) -> str | None:
        return None if kernel_variable(entry.layer) is not None else "it is no convolution over height and width"


def kernel_variable(layer: object) -> object | None:
    """The layer's kernel variable (h, w, in, out), or None when it has none with two spatial axes."""
    for name in ("depthwise_kernel", "kernel"):
        variable: object = getattr(layer, name, None)
        if len(getattr(variable, "shape", ())) == 4:
            return variable
    return None


def kernel_of(layer: object) -> Floats:
    """(h, w, in, filters) float32. A depthwise kernel (h, w, in, multiplier) is (h, w, 1, in·multiplier)."""
    values: Floats = np.asarray(kernel_variable(layer), np.float32)
    if "Depthwise" in type(layer).__name__ or hasattr(layer, "depthwise_kernel"):
        return values.reshape(*values.shape[:2], 1, -1)
    if "Transpose" in type(layer).__name__:
        return values.transpose(0, 1, 3, 2)
    return values


def _slice(kernels: Floats, which: str) -> Floats:
    if which == "mean":
        return np.asarray(kernels.mean(axis=2), np.float32)
    return kernels if which == "rgb" else kernels[:, :, int(which)]
