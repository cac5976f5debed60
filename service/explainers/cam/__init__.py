"""Class activation maps: where in the image the evidence for a class lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.explainers.base import Cost, Explanation, Picture, Scale
from service.explainers.cam.original import ORIGINAL
from service.explainers.cam.params import CamParams
from service.explainers.cam.variants import VARIANTS
from service.explainers.heatmaps import map_names, map_warnings
from service.explainers.layers import lacks_map, why_no_map
from service.explainers.map_family import MapFamily
from service.explainers.variants import in_words

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
        """Gives a `heatmap` (h, w) float32 a target, not normalised; >= 0, but for variants that are signed."""
        variant = self.variant(params)
        found = variant.compute(subject, params)
        targets = subject.targets.resolved(found.scores)
        names = map_names(targets, "heatmap")
        arrays = dict(zip(names, found.values, strict=True))
        told = (warning for name in names for warning in map_warnings(name, arrays[name], coarse=True))
        scale = Scale.SYMMETRIC if variant.signed and params.colormap == "coolwarm" else Scale.MAX
        return Explanation(
            arrays, names[0], found.scores, targets, tuple(names), found.parameters, scale,
            warnings=(*found.warnings, *told),
        )  # fmt: skip

    @classmethod
    def problem(cls, variant: str, graph: Graph, head: Head) -> str | None:
        return lacks_map(graph) or super().problem(variant, graph, head)

    @classmethod
    def why_not(cls, entry: LayerEntry) -> str | None:
        return why_no_map(entry)
