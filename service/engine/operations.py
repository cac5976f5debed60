"""What the engine can be asked. Each operation takes a payload and arrays and gives a payload and arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.engine.describe import cam_layer, layer_details, layer_row, model_details
from service.engine.protocol import Arrays
from service.errors import InvalidParameter, NonFiniteResult
from service.explainers import BY_NAME
from service.explainers.base import Explainer, Explanation, Progress, Target
from service.explainers.params import ExplainerParams
from service.explainers.targets import parse_target
from service.models.loaded import LoadedModel
from service.models.preprocess import Region, as_is, prepare

Result = tuple[dict[str, Any], Arrays]
Operation = Callable[[LoadedModel, dict[str, Any], dict[str, NDArray[Any]], Progress], Result]


class Operations:
    """The operations on one warm model; `device` is where its variables live."""

    def __init__(self, device: str) -> None:
        self._device = device
        self.by_name: dict[str, Operation] = {
            "explain": self.explain,
            "describe": self.describe,
            "summary": self.summary,
            "layers": self.layers,
            "layer": self.layer,
        }

    def explain(
        self, model: LoadedModel, payload: dict[str, Any], arrays: dict[str, NDArray[Any]], progress: Progress
    ) -> Result:
        """One method on one image."""
        explainer = BY_NAME[payload["method"]]
        params = _with_model_defaults(explainer.Params.model_validate(payload["params"]), model)
        batch, region = _input(model, arrays.get("image"), payload.get("preprocess", True))
        target = Target(model.head)
        if explainer.targeted:
            target = parse_target(getattr(params, "target", "top1"), model.head, model.labels)
        explanation = explainer.explain(model.backend, model.graph, batch, target, params, progress)
        for name, array in explanation.arrays.items():
            if not np.isfinite(array).all():
                raise NonFiniteResult(f"the values of {name!r} are not finite: the network overflows on this image")
        return _answer(
            model, explainer, params, explanation, target, region, int(payload.get("top", 5))
        ), explanation.arrays

    def describe(
        self, model: LoadedModel, payload: dict[str, Any], arrays: dict[str, NDArray[Any]], progress: Progress
    ) -> Result:
        return model_details(model, self._device), {}

    def summary(
        self, model: LoadedModel, payload: dict[str, Any], arrays: dict[str, NDArray[Any]], progress: Progress
    ) -> Result:
        return {"text": model.summary, "rows": [layer_row(entry) for entry in model.graph.layers]}, {}

    def layers(
        self, model: LoadedModel, payload: dict[str, Any], arrays: dict[str, NDArray[Any]], progress: Progress
    ) -> Result:
        return {"layers": [layer_row(entry) for entry in model.graph.layers]}, {}

    def layer(
        self, model: LoadedModel, payload: dict[str, Any], arrays: dict[str, NDArray[Any]], progress: Progress
    ) -> Result:
        return layer_details(model.graph.entry(payload["layer"])), {}


def _input(model: LoadedModel, image: NDArray[Any] | None, preprocess: bool) -> tuple[NDArray[np.float32], Region]:
    shape = model.input_shape
    if image is None:
        return np.zeros(shape.batch, np.float32), Region(0.0, 0.0, float(shape.height), float(shape.width))
    if preprocess:
        return prepare(image, shape, model.spec.input, model.preprocessing)
    return as_is(image, shape)


def _with_model_defaults(params: ExplainerParams, model: LoadedModel) -> ExplainerParams:
    """The spec's CAM layer where the caller names none."""
    if "method" in type(params).model_fields and getattr(params, "layer", "") is None and (layer := cam_layer(model)):
        return params.model_copy(update={"layer": layer})
    return params


def _answer(
    model: LoadedModel,
    explainer: Explainer,
    params: ExplainerParams,
    explanation: Explanation,
    target: Target,
    region: Region,
    top: int,
) -> dict[str, Any]:
    variant = explainer.variant(params)
    warnings = [{"code": item.code, "detail": item.detail} for item in explanation.warnings]
    if model.preprocessing_assumed and explainer.needs_image:
        warnings += [{"code": "preprocessing_assumed", "detail": note} for note in model.notes if "assumed" in note]
    return {
        "model": {"id": model.spec.id, "digest": model.digest},
        "method": {
            "name": explainer.name,
            "variant": variant.name,
            "parameters": params.model_dump(mode="json") | dict(explanation.parameters),
            "reference": variant.paper or None,
        },
        "target": _target(model, explanation.scores, target) if explainer.targeted else None,
        "predictions": _predictions(model, explanation.scores, top),
        "warnings": warnings,
        "primary": explanation.primary,
        "titles": dict(explanation.titles),
        "statistics": dict(explanation.statistics),
        "region": [region.top, region.left, region.height, region.width],
        "input_size": [model.input_shape.height, model.input_shape.width],
    }


def _class_row(model: LoadedModel, scores: NDArray[np.float32], index: int) -> dict[str, Any]:
    probabilities = model.head.probabilities(scores)
    probability = None if probabilities is None else float(probabilities[index])
    return {
        "class_index": index,
        "label": model.label(index),
        "probability": probability,
        "logit": float(scores[index]),
    }


def _predictions(model: LoadedModel, scores: NDArray[np.float32] | None, top: int) -> list[dict[str, Any]]:
    if scores is None:
        return []
    order = np.argsort(-scores, kind="stable")[: max(1, top)]
    return [_class_row(model, scores, int(index)) for index in order]


def _target(model: LoadedModel, scores: NDArray[np.float32] | None, target: Target) -> dict[str, Any]:
    if scores is None:
        raise InvalidParameter("the method explains no class score")
    index = int(scores.argmax()) if target.index < 0 else target.index
    row = _class_row(model, scores, index)
    score = row.pop("logit") - (float(scores[target.minus]) if target.minus >= 0 else 0.0)
    contrast = {"minus": _class_row(model, scores, target.minus)} if target.minus >= 0 else {}
    return {**row, "score": score, "score_kind": model.head.score_kind, **contrast}
