"""What is computed, or told, of one warm model."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace

import numpy as np

from service.arrays import Array, Arrays
from service.contract.models import LayerList, Summary
from service.contract.questions import (
    AnyMethods,
    AnyQuestion,
    AskValidity,
    Compute,
    Describe,
    DescribeLayer,
    ListLayers,
    MethodAsked,
    Summarize,
)
from service.contract.results import Explained, MethodResult
from service.engine.child.answer import (
    answer,
    check_finite,
    explained,
    network_input,
    picture_sets,
    with_model_defaults,
)
from service.engine.child.around import SharedPasses
from service.engine.child.describe import layer_found, layer_row, method_validity, model_found, summary_of
from service.errors import MethodNotValid, TooCostly
from service.explainers import BY_NAME, EXPLAINERS
from service.explainers.base import Explainer, Photograph, Progress
from service.explainers.forms import RAW_FORMS, require_drawable, require_one_array
from service.explainers.params import ExplainerParams
from service.explainers.subject import Subject
from service.explainers.targets import Targets, class_targets, parse_targets
from service.models.backends.interface import Backend
from service.models.graph.preprocess import NetworkInput
from service.models.loaded import LoadedModel
from service.models.memory import enough_memory

Prepared = tuple[Explainer, ExplainerParams, Subject]

# What is compiled before anybody asks; in the order of use, and this one where that says nothing.
USUAL_METHODS = ("predict", "cam", "saliency", "activations")


class Operations:
    """The operations on one warm model.

    `max_passes` bounds one call, `max_job_passes` one background job.
    """

    def __init__(self, max_passes: int, max_job_passes: int) -> None:
        self._max_passes = max_passes
        self._max_job_passes = max_job_passes
        self.asked: Counter[str] = Counter()

    @enough_memory("for this call")
    def explain(
        self,
        model: LoadedModel,
        asked: AnyMethods,
        arrays: Arrays,
        progress: Progress,
        backend: Backend,
    ) -> tuple[Explained, Arrays]:
        """One or more methods on one image. Their arrays are named `<place>/<name>`; passes they share run once.

        `backend` stands around the model's own.
        """
        image, calls = self._prepared(model, asked, arrays, backend, progress)
        backend = backend if len(calls) == 1 else SharedPasses(backend)
        # A job's result may be asked for in any form, whatever its submission said.
        raw = asked.form in RAW_FORMS and not asked.background
        results: list[MethodResult] = []
        found: dict[str, Array] = {}
        for place, (explainer, params, subject) in enumerate(calls):
            progress.begin(place, len(calls))
            self.asked[explainer.name] += 1
            # What overflows is told by check_finite, with the layer where it began.
            with np.errstate(all="ignore"):
                explain = explainer.explain_raw if raw else explainer.explain
                explanation = explain(replace(subject, backend=backend), params)
            check_finite(model.graph, image, explanation)
            found |= {f"{len(results)}/{name}": array for name, array in explanation.arrays.items()}
            results.append(answer(model, explainer, params, explanation, asked.top))
        return explained(model, image, results), found

    def usual(self) -> list[str]:
        """The methods that are compiled before anybody asks, those first that were asked for most."""
        return sorted(USUAL_METHODS, key=lambda name: -self.asked[name])

    def warm_up(self, model: LoadedModel, backend: Backend, name: str) -> None:
        """Compiles a method as most calls ask for it, so that the first of them need not wait for it."""
        if model.obstacle:
            return
        shape = model.input_shape
        image = {"image": np.zeros((shape.height, shape.width, shape.channels), np.float32)}
        method = MethodAsked(name=name, params=BY_NAME[name].Params())
        with suppress(MethodNotValid):
            asked = Compute(model=model.spec.id, methods=(method,), preprocess=False, top=1)
            self.explain(model, asked, image, Progress(), backend)
            self.asked[name] -= 1

    @enough_memory("for this call")
    def check(self, model: LoadedModel, asked: AnyMethods, arrays: Arrays, backend: Backend) -> None:
        """Raises what `explain` would before its methods compute: unknown layers and classes, what is not valid for
        the model, too much work."""
        self._prepared(model, asked, arrays, backend, Progress())

    def _prepared(
        self, model: LoadedModel, asked: AnyMethods, arrays: Arrays, backend: Backend, progress: Progress
    ) -> tuple[NetworkInput, list[Prepared]]:
        explainers = [BY_NAME[method.name] for method in asked.methods]
        if model.obstacle and any(explainer.photograph is not Photograph.NONE for explainer in explainers):
            raise MethodNotValid(model.obstacle)
        region = asked.fitted.region if asked.fitted else None
        image = network_input(model, arrays.get("image"), asked.preprocess, region)
        asked_of = [self._prepared_one(model, method) for method in asked.methods]
        sets = picture_sets(model, asked.sets, arrays)
        calls = [
            (explainer, params, Subject(backend, model.graph, image, targets, progress, sets=sets))
            for explainer, params, targets in asked_of
        ]
        for explainer, params, subject in calls:
            with np.errstate(all="ignore"):
                explainer.check(subject, params)
            if asked.form == "npy":
                require_one_array(explainer.arrays_of(subject, params), targeted=explainer.targeted)
            if asked.pictures:
                require_drawable(explainer.channel_pictures(subject, params))
        self._check_cost(calls, model.backend, asked.instances, background=asked.background)
        return image, calls

    def _prepared_one(self, model: LoadedModel, method: MethodAsked) -> tuple[Explainer, ExplainerParams, Targets]:
        explainer = BY_NAME[method.name]
        params = with_model_defaults(explainer, method.params, model)
        head = model.head_of(getattr(params, "output", None))
        text = getattr(params, "target", None)
        if not explainer.targeted:
            problem = explainer.problem(explainer.name, model.graph, head)
            if problem:
                raise MethodNotValid(problem)
            if text is None:
                return explainer, params, class_targets(head)
        return explainer, params, parse_targets(text or "top1", model.graph, head, model.labels_for(head))

    def _check_cost(self, calls: list[Prepared], backend: Backend, instances: int, *, background: bool) -> None:
        estimate = instances * sum(
            explainer.passes(replace(subject, backend=backend), params) for explainer, params, subject in calls
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

    def tell(self, model: LoadedModel, question: AnyQuestion) -> object:
        """What is known of a warm model without computing. Raises UnknownLayer, InvalidParameter."""
        match question:
            case AskValidity():
                return {explainer.name: method_validity(model, explainer) for explainer in EXPLAINERS}
            case Describe():
                return model_found(model)
            case Summarize():
                text, layers = summary_of(model, question.width, question.until)
                return Summary(text=text, rows=[layer_row(model.graph, entry) for entry in layers])
            case ListLayers():
                return LayerList(layers=[layer_row(model.graph, entry) for entry in model.graph.layers])
            case DescribeLayer():
                return layer_found(model.graph, model.graph.entry(question.layer))
            case _:
                raise TypeError(f"{question.op} is not answered from a warm model")
