"""The classes a network sees in an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.explainers.base import Cost, Explainer, Explanation, Picture, Progress, Target, Variant
from service.explainers.params import ExplainerParams

if TYPE_CHECKING:
    from service.models.backend import TensorFlowBackend
    from service.models.graph import Graph


class Predict(Explainer):
    """Class scores: one forward pass."""

    name = "predict"
    title = "Prediction"
    summary = "The most probable classes with probability and logit."
    cost = Cost.FORWARD
    picture = Picture.NONE
    outputs = ()
    variants = (Variant("predict", "Scores of the model's own head.", ""),)
    Params = ExplainerParams

    def explain(
        self,
        backend: TensorFlowBackend,
        graph: Graph,
        image: NDArray[np.float32],
        target: Target,
        params: ExplainerParams,
        progress: Progress,
    ) -> Explanation:
        """Gives `logits` (classes,) float32, one a target; for a single sigmoid unit [-z, +z]."""
        head = target.head

        def forward(batch: object) -> object:
            (logits,) = graph.run({graph.inputs[0]: batch}, [head.logits])
            return head.class_scores(logits)

        plan = backend.compiled(("predict",), forward, [((None, *image.shape[1:]), "float32")])
        (scores,) = plan(image)
        return Explanation({"logits": scores[0]}, "logits", scores=scores[0])
