"""Perturbation maps: what the score does while random parts of the image are covered."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from service.explainers.base import Cost, Explanation, Picture
from service.explainers.map_family import MapFamily
from service.explainers.perturbation.explained import explained
from service.explainers.perturbation.params import PerturbationParams
from service.explainers.perturbation.sampling import PerturbationVariant
from service.explainers.perturbation.variants import VARIANTS
from service.explainers.variants import in_words

if TYPE_CHECKING:
    from service.explainers.subject import Subject


class Perturbation(MapFamily[PerturbationParams]):
    """Covers random parts of the image many times and gathers the scores. It asks for no gradient."""

    name = "perturbation"
    title = "Perturbation"
    summary = (
        "What each part of the image does to the score, from scores of the image with parts covered, in "
        f"{in_words(len(VARIANTS))} definitions."
    )
    cost = Cost.SAMPLES
    picture = Picture.HEATMAP
    outputs = ("overlay", "heatmap")
    variants = VARIANTS
    Params = PerturbationParams

    def explain(self, subject: Subject, params: PerturbationParams) -> Explanation:
        """Gives a `heatmap` (h, w) float32 of the input's size a target, and its `standard_error` (h, w), of
        partitionshap what is `unsplit` (h, w); and the `segments` (h, w) int32, from 0 on, where there are any.

        Unit: that of the score, or probability; of sobol a share of the score's variance, of hsic none.
        """
        variant = cast(PerturbationVariant, self.variant(params))
        return explained(subject, params, variant.compute(subject, params), variant.scale)
