"""The classes a network sees in an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.explainers.base import Cost, Explainer, Explanation, Picture
from service.explainers.params import OutputParams
from service.explainers.passes import scores_plan
from service.explainers.variants import Variant

if TYPE_CHECKING:
    from service.explainers.subject import Subject
    from service.models.graph.graph import Graph
    from service.models.graph.head import Head


class Predict(Explainer[OutputParams]):
    """Class scores: one forward pass."""

    name = "predict"
    title = "Prediction"
    summary = "The most probable classes with probability and logit."
    cost = Cost.FORWARD
    picture = Picture.NONE
    outputs = ()
    variants = (
        Variant(
            name,
            "Scores of the model's own head.",
            "",
            caution="A softmax probability is no calibrated confidence: far from the training data it is often near 1.",
        ),
    )
    Params = OutputParams

    def explain(self, subject: Subject, params: OutputParams) -> Explanation:
        """Gives `logits` (classes,) float32, one a target; for a single sigmoid unit [-z, +z]."""
        (scores,) = scores_plan(subject)(subject.image.batch)
        return Explanation({"logits": scores[0]}, "logits", scores=scores[0], targets=subject.targets)

    @classmethod
    def problem(cls, variant: str, graph: Graph, head: Head) -> str | None:
        if head.classes is None:
            return f"the model's output has the shape {head.output.shape[1:]}: a map and no vector of class scores"
        return None
