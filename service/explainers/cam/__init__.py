"""Class activation maps: where in the image the evidence for a class lies."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import ceil
from typing import TYPE_CHECKING

from service.errors import MethodNotValid, all_pass
from service.explainers.base import Cost, Explanation, Part, Picture, Scale
from service.explainers.cam.fusion import at_each_layer, check_different, fused
from service.explainers.cam.original import ORIGINAL
from service.explainers.cam.params import CamParams
from service.explainers.cam.variants import VARIANTS
from service.explainers.cam.views import VIEWS, mean_over_views
from service.explainers.cam.weighted import WeightedVariant
from service.explainers.heatmaps import map_names, map_warnings
from service.explainers.layers import lacks_map, why_no_map
from service.explainers.map_family import MapFamily
from service.explainers.variants import Maps, in_words

if TYPE_CHECKING:
    from service.explainers.subject import Subject
    from service.models.graph.graph import Graph, LayerEntry
    from service.models.graph.head import Head


class Cam(MapFamily[CamParams]):
    """Class activation maps: the activations of one layer, weighted by what they do for the class."""

    name = ORIGINAL
    title = "Class activation map"
    summary = f"Where in the image the evidence for a class lies, in {in_words(len(VARIANTS))} definitions."
    cost = Cost.BACKWARD
    picture = Picture.HEATMAP
    outputs = ("overlay", "heatmap")
    variants = VARIANTS
    Params = CamParams

    def explain(self, subject: Subject, params: CamParams) -> Explanation:
        """Gives a `heatmap` (h, w) float32 a target, not normalised; >= 0, but for variants that are signed. Maps that
        are fused of several layers are 0 to 1."""
        compute = partial(self._maps, params)
        found = mean_over_views(subject, compute) if params.smooth == "augment" else compute(subject)
        targets = subject.targets.resolved(found.scores)
        names = map_names(targets, "heatmap")
        arrays = dict(zip(names, found.values, strict=True))
        told = (warning for name in names for warning in map_warnings(name, arrays[name], coarse=True))
        signed = self.variant(params).signed and not params.layers
        scale = Scale.SYMMETRIC if signed and params.colormap == "coolwarm" else Scale.MAX
        return Explanation(
            arrays, names[0], found.scores, targets, tuple(names), found.parameters, scale,
            warnings=(*found.warnings, *told),
        )  # fmt: skip

    @classmethod
    def _maps(cls, params: CamParams, subject: Subject) -> Maps:
        """The variant's own maps, or those of several layers fused."""
        variant, asked = cls.variant(params), at_each_layer(params)
        if not params.layers:
            return variant.compute(subject, params)
        found = []
        for place, each in enumerate(asked):
            subject.progress(place, len(asked))
            found.append(variant.compute(replace(subject, progress=Part(subject.progress, place, len(asked))), each))
        return fused(subject, found, params.fuse)

    @classmethod
    def passes(cls, subject: Subject, params: CamParams) -> int:
        views = len(VIEWS) if params.smooth == "augment" else 1
        return ceil(views * sum(cls.variant(params).estimate(subject, each) for each in at_each_layer(params)))

    @classmethod
    def check(cls, subject: Subject, params: CamParams) -> None:
        """Raises what the variant's own check does at each layer, MethodNotValid for a component in place of a sum
        where the variant is none, InvalidParameter for a layer that is named twice; all causes in one error."""
        of_layers = [partial(cls.variant(params).check, subject, each) for each in at_each_layer(params)]
        all_pass([partial(cls._check_smoothing, params), *of_layers, partial(check_different, subject, params)])

    @classmethod
    def _check_smoothing(cls, params: CamParams) -> None:
        if params.smooth == "eigen" and not isinstance(cls.variant(params), WeightedVariant):
            raise MethodNotValid(
                "smooth=eigen puts a component in the place of a sum of weighted channels that is clipped at 0, and "
                f"{params.method} is no such sum; use smooth=none, or gradcam"
            )

    @classmethod
    def takes_cam_layer(cls, params: CamParams) -> bool:
        return not params.layers and super().takes_cam_layer(params)

    @classmethod
    def unused(cls, params: CamParams) -> dict[str, str]:
        """Names `fuse` too where a single layer is asked about."""
        alone = (
            {} if params.layers else {"fuse": "it says how the maps of several layers become one; name 'layers' too"}
        )
        return super().unused(params) | alone

    @classmethod
    def problem(cls, variant: str, graph: Graph, head: Head) -> str | None:
        return lacks_map(graph) or super().problem(variant, graph, head)

    @classmethod
    def why_not(cls, entry: LayerEntry) -> str | None:
        return why_no_map(entry)
