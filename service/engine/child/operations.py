"""What the engine can be asked. Each operation takes a payload and arrays and gives a payload and arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.engine.child.answer import answer, check_finite, network_input, scene, with_model_defaults
from service.engine.child.around import SharedPasses
from service.engine.child.describe import layer_details, layer_row, method_validity, model_details
from service.engine.protocol import Arrays
from service.errors import MethodNotValid, TooCostly
from service.explainers import BY_NAME, EXPLAINERS
from service.explainers.base import Explainer, Photograph, Progress
from service.explainers.forms import RAW_FORMS, require_drawable, require_one_array
from service.explainers.params import ExplainerParams
from service.explainers.targets import Targets, class_targets, parse_targets
from service.models.backends.interface import Backend
from service.models.backends.memory import enough_memory
from service.models.graph.preprocess import NetworkInput
from service.models.loaded import LoadedModel
from service.models.summary import summary_of

Result = tuple[dict[str, Any], Arrays]
Prepared = tuple[Explainer, ExplainerParams, Targets]
Operation = Callable[[LoadedModel, dict[str, Any], dict[str, NDArray[Any]]], Result]


# What is compiled before anybody asks; in the order of use, and this one where that says nothing.
USUAL_METHODS = ("predict", "cam", "saliency", "activations")


class Operations:
    """The operations on one warm model; `device` is where its variables live.

    `max_passes` bounds one call, `max_job_passes` one background job.
    """

    def __init__(self, device: str, max_passes: int, max_job_passes: int) -> None:
        self._device = device
        self._max_passes = max_passes
        self._max_job_passes = max_job_passes
        self.asked: Counter[str] = Counter()
        self.by_name: dict[str, Operation] = {
            "validity": self.validity,
            "describe": self.describe,
            "summary": self.summary,
            "layers": self.layers,
            "layer": self.layer,
        }

    @enough_memory("for this call")
    def explain(
        self,
        model: LoadedModel,
        payload: dict[str, Any],
        arrays: dict[str, NDArray[Any]],
        progress: Progress,
        backend: Backend,
    ) -> Result:
        """One or more methods on one image. Their arrays are named `<place>/<name>`; passes they share run once.

        `backend` stands around the model's own.
        """
        image, calls = self._prepared(model, payload, arrays, backend)
        backend = backend if len(calls) == 1 else SharedPasses(backend)
        # A job's result may be asked for in any form, whatever its submission said.
        raw = payload.get("form") in RAW_FORMS and not payload.get("background", False)
        results: list[dict[str, Any]] = []
        found: dict[str, NDArray[Any]] = {}
        for place, (explainer, params, targets) in enumerate(calls):
            progress.begin(place, len(calls))
            self.asked[explainer.name] += 1
            # What overflows is told by check_finite, with the layer where it began.
            with np.errstate(all="ignore"):
                explain = explainer.explain_raw if raw else explainer.explain
                explanation = explain(backend, model.graph, image, targets, params, progress)
            check_finite(model.graph, image, explanation)
            found |= {f"{len(results)}/{name}": array for name, array in explanation.arrays.items()}
            results.append(answer(model, explainer, params, explanation, int(payload["top"])))
        return {
            "model": {"id": model.spec.id, "digest": model.digest},
            "fingerprint": model.fingerprint,
            "results": results,
            **scene(image),
        }, found

    def usual(self) -> list[str]:
        """The methods that are compiled before anybody asks, those first that were asked for most."""
        return sorted(USUAL_METHODS, key=lambda name: -self.asked[name])

    def warm_up(self, model: LoadedModel, backend: Backend, name: str) -> None:
        """Compiles a method as most calls ask for it, so that the first of them need not wait for it."""
        if model.obstacle:
            return
        shape = model.input_shape
        image = {"image": np.zeros((shape.height, shape.width, shape.channels), np.float32)}
        payload = {"methods": [{"name": name, "params": {}}], "preprocess": False, "top": 1}
        with suppress(MethodNotValid):
            self.explain(model, payload, image, Progress(), backend)
            self.asked[name] -= 1

    def validity(self, model: LoadedModel, payload: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Result:
        """Which methods, layers and targets are valid for the model, and why not."""
        return {"methods": [method_validity(model, explainer) for explainer in EXPLAINERS]}, {}

    @enough_memory("for this call")
    def check(
        self, model: LoadedModel, payload: dict[str, Any], arrays: dict[str, NDArray[Any]], backend: Backend
    ) -> Result:
        """Raises what `explain` would before its methods compute: unknown layers and classes, what is not valid for
        the model, too much work."""
        self._prepared(model, payload, arrays, backend)
        return {}, {}

    def _prepared(
        self, model: LoadedModel, payload: dict[str, Any], arrays: dict[str, NDArray[Any]], backend: Backend
    ) -> tuple[NetworkInput, list[Prepared]]:
        asked = [BY_NAME[item["name"]] for item in payload["methods"]]
        if model.obstacle and any(explainer.photograph is not Photograph.NONE for explainer in asked):
            raise MethodNotValid(model.obstacle)
        fitted = payload.get("fitted")
        image = network_input(model, arrays.get("image"), payload["preprocess"], fitted and fitted["region"])
        calls = [self._prepared_one(model, item) for item in payload["methods"]]
        for explainer, params, targets in calls:
            with np.errstate(all="ignore"):
                explainer.check(params, model.graph, image, targets, backend)
            if payload.get("form") == "npy":
                require_one_array(explainer.arrays_of(params, model.graph, targets), targeted=explainer.targeted)
            if payload.get("pictures"):
                require_drawable(explainer.channel_pictures(params, model.graph))
        self._check_cost(calls, model, image, payload.get("instances", 1), background=payload.get("background", False))
        return image, calls

    def _prepared_one(self, model: LoadedModel, item: dict[str, Any]) -> Prepared:
        explainer = BY_NAME[item["name"]]
        params = with_model_defaults(explainer, explainer.Params.model_validate(item["params"]), model)
        head = model.head_of(getattr(params, "output", None))
        text = getattr(params, "target", None)
        if not explainer.targeted:
            problem = explainer.problem(explainer.name, model.graph, head)
            if problem:
                raise MethodNotValid(problem)
            if text is None:
                return explainer, params, class_targets(head)
        return explainer, params, parse_targets(text or "top1", model.graph, head, model.labels_for(head))

    def _check_cost(
        self, calls: list[Prepared], model: LoadedModel, image: NetworkInput, instances: int, *, background: bool
    ) -> None:
        estimate = instances * sum(
            explainer.passes(params, model.graph, image, targets, model.backend) for explainer, params, targets in calls
        )
        most = self._max_job_passes if background else self._max_passes
        what, setting = ("job", "MAX_JOB_PASSES") if background else ("call", "MAX_PASSES")
        if estimate > most:
            instead = "" if background else ", or send Prefer: respond-async to run it as a background job"
            raise TooCostly(
                f"the {what} is estimated to take about {estimate} passes through the network, more than the {most} "
                f"one {what} may take (setting KERASCOPE_{setting}); use fewer samples or steps, or a larger "
                f"stride{instead}"
            )

    def describe(self, model: LoadedModel, payload: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Result:
        return model_details(model, self._device), {}

    def summary(self, model: LoadedModel, payload: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Result:
        text, layers = summary_of(model, int(payload["width"]), payload["until"])
        return {"text": text, "rows": [layer_row(model.graph, entry) for entry in layers]}, {}

    def layers(self, model: LoadedModel, payload: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Result:
        return {"layers": [layer_row(model.graph, entry) for entry in model.graph.layers]}, {}

    def layer(self, model: LoadedModel, payload: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Result:
        return layer_details(model.graph, model.graph.entry(payload["layer"])), {}
