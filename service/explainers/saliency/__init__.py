"""Gradient maps: how the score changes with each pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from service.arrays import Array
from service.errors import MethodNotValid
from service.explainers.base import Cost, Explanation, Picture, Scale
from service.explainers.heatmaps import map_names, map_warnings, reduce_colours
from service.explainers.map_family import MapFamily
from service.explainers.saliency.params import SaliencyParams
from service.explainers.saliency.plain import gradient
from service.explainers.saliency.variants import VARIANTS
from service.explainers.variants import MapVariant, in_words

if TYPE_CHECKING:
    from service.explainers.subject import Subject
    from service.models.graph.preprocess import NetworkInput

RGB = "rgb"
PRIMARIES = ((255.0, 0.0, 0.0), (0.0, 255.0, 0.0), (0.0, 0.0, 255.0))


class Saliency(MapFamily[SaliencyParams]):
    """Gradients of the score with respect to the pixels."""

    name = "saliency"
    title = "Saliency"
    summary = f"How the score changes with each pixel, in {in_words(len(VARIANTS))} definitions."
    cost = Cost.SAMPLES
    picture = Picture.HEATMAP
    outputs = ("heatmap", "overlay")
    variants = VARIANTS
    Params = SaliencyParams

    def explain(self, subject: Subject, params: SaliencyParams) -> Explanation:
        """Gives a `heatmap` (h, w) float32 a target, and `gradient` (h, w, c), signed, before colours are reduced.

        With reduce=rgb the heatmap is (h, w, 3): red, green and blue, whatever the order of the network's channels.

        Unit: logit per unit of preprocessed input, times that unit where the variant multiplies by the image; squared
        for squaregrad and vargrad; none for fullgrad.
        """
        variant = self.variant(params)
        found = variant.compute(subject, params)
        targets = subject.targets.resolved(found.scores)
        names = map_names(targets, "heatmap")
        colours = [values if values.ndim == 3 else values[..., None] for values in found.values]
        sign = params.sign or _usual_sign(variant, params)
        drawn = [values[..., colour_order(subject.image)] for values in colours] if params.reduce == RGB else colours
        arrays: dict[str, Array] = {
            name: reduce_colours(values, params.reduce, sign) for name, values in zip(names, drawn, strict=True)
        }
        warnings = (*found.warnings, *(each for name in names for each in map_warnings(name, arrays[name])))
        arrays |= zip(map_names(targets, gradient.name), colours, strict=True)
        for name, extras in found.extras.items():
            arrays |= zip(map_names(targets, name), extras, strict=True)
        signed = sign == "signed"
        usual = None if params.reduce == RGB else "coolwarm" if signed else "inferno"
        said = {"sign": sign, "colormap": params.colormap or usual, **found.parameters}
        scale = Scale.SYMMETRIC if signed else Scale.MAX
        return Explanation(arrays, names[0], found.scores, targets, tuple(names), said, scale, warnings=warnings)

    @classmethod
    def check(cls, subject: Subject, params: SaliencyParams) -> None:
        """Raises what the variant's own check does, and MethodNotValid where there are no colours to draw."""
        super().check(subject, params)
        if params.reduce != RGB:
            return
        if cls.variant(params).colourless:
            raise MethodNotValid(f"{params.method} gives one map without colours; leave reduce=rgb out")
        channels = subject.image.shape[2] if len(subject.image.shape) == 3 else 1
        if channels != len(PRIMARIES):
            raise MethodNotValid(
                f"reduce=rgb draws red, green and blue, and the model takes {channels} channel{'s' * (channels > 1)}; "
                "use max, mean or l2"
            )


def _usual_sign(variant: MapVariant[SaliencyParams], params: SaliencyParams) -> str:
    return "signed" if params.reduce == RGB or (variant.signed and params.reduce != "l2") else "absolute"


def colour_order(image: NetworkInput) -> list[int]:
    """The channels of a network of three that show red, green and blue: of an array those that are drawn as these, else
    those that each colour changes most."""
    if image.drawn and len(image.drawn) == len(PRIMARIES):
        return list(image.drawn)
    black = image.colour((0.0, 0.0, 0.0))
    return [int(np.abs(image.colour(primary) - black).argmax()) for primary in PRIMARIES]
