"""Passes that several methods of one call have in common run once, and give what they give alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from service.engine.child.around import SharedPasses
from service.explainers import BY_NAME, FAMILY_OF
from service.explainers.base import Explanation, Progress
from service.explainers.cam import VARIANTS
from service.explainers.cam.gradients import FromGradients
from service.explainers.subject import Subject
from service.explainers.targets import parse_targets
from service.models.loaded import LoadedModel
from tests import nets


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return nets.loaded(nets.pencil_flat())


def explain(
    model: LoadedModel, backend: Any, name: str, image: np.ndarray[Any, Any] = nets.IMAGE, **params: Any
) -> Explanation:
    explainer = FAMILY_OF.get(name) or BY_NAME[name]
    own = params | ({"method": name} if name in FAMILY_OF else {})
    parsed = explainer.Params.model_validate(own)
    targets = parse_targets(getattr(parsed, "target", "top1"), model.graph, model.head, ())
    return explainer.explain(
        Subject(backend, model.graph, nets.network_input(model, image), targets, Progress()), parsed
    )


FROM_GRADIENTS = [variant.name for variant in VARIANTS if isinstance(variant, FromGradients)]


def same(first: Explanation, second: Explanation) -> None:
    assert list(first.arrays) == list(second.arrays)
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(array, second.arrays[name])
    assert (first.maps, first.parameters, first.warnings) == (second.maps, second.parameters, second.warnings)


@pytest.mark.parametrize("target", ["1", "top2", "0-1"])
def test_one_forward_and_backward_for_all_gradient_cams(model: LoadedModel, target: str) -> None:
    shared = SharedPasses(model.backend)
    assert len(FROM_GRADIENTS) == 6
    found = {name: explain(model, shared, name, target=target) for name in FROM_GRADIENTS}
    assert shared.runs == 1
    for name, explanation in found.items():
        same(explanation, explain(model, model.backend, name, target=target))


def test_the_numbers_are_those_on_paper(model: LoadedModel) -> None:
    shared = SharedPasses(model.backend)
    for name in FROM_GRADIENTS:
        explain(model, shared, name, target="0")
    found = explain(model, shared, "gradcam", target="0").arrays["heatmap"]
    np.testing.assert_allclose(found, 3.5 * nets.POSITIVE, rtol=1e-6)
    assert shared.runs == 1


def test_what_differs_is_run_again(model: LoadedModel) -> None:
    shared = SharedPasses(model.backend)
    runs = []
    for name, image, params in [
        ("gradcam", nets.IMAGE, {"target": "0"}),
        ("gradcam", nets.IMAGE, {"target": "1"}),
        ("gradcam", nets.IMAGE, {"target": "0,1"}),
        ("gradcam", nets.IMAGE, {"target": "0", "layer": "image"}),
        ("gradcam", -nets.IMAGE, {"target": "0"}),
        ("gradcam", nets.IMAGE, {"target": "neuron:conv:0"}),
        ("layercam", nets.IMAGE, {"target": "0"}),
        ("layercam", -nets.IMAGE, {"target": "0"}),
        ("predict", nets.IMAGE, {}),
        ("predict", nets.IMAGE, {}),
    ]:
        explanation = explain(model, shared, name, image, **params)
        same(explanation, explain(model, model.backend, name, image, **params))
        runs.append(shared.runs)
    assert runs == [1, 2, 3, 4, 5, 6, 6, 6, 7, 7]


def test_every_method_gives_what_it_gives_alone(model: LoadedModel) -> None:
    shared = SharedPasses(model.backend)
    variants = [name for name, family in FAMILY_OF.items() if not family.cost.as_job and name != "cam"]
    names = [*variants, "predict", "activations", "occlusion"]
    assert len(names) == 38
    steps = ("integrated_gradients", "guided_ig", "blur_ig", "xrai")
    small = {"smoothgrad": {"samples": 3}, "occlusion": {"patch": "1"}, **dict.fromkeys(steps, {"steps": 3})}
    small |= {variant.name: {"samples": 40, "cells": "2"} for variant in BY_NAME["perturbation"].variants}
    for _ in range(2):
        for name in names:
            params = small.get(name, {})
            same(explain(model, shared, name, **params), explain(model, model.backend, name, **params))


def test_batches_are_not_kept(model: LoadedModel) -> None:
    shared = SharedPasses(model.backend)
    explain(model, shared, "occlusion", patch="1")
    kept = shared.runs
    explain(model, shared, "occlusion", patch="1")
    assert shared.runs == kept == 1, "the clean image alone"


def test_the_model_is_not_changed(model: LoadedModel) -> None:
    before = nets.state(model.keras_model)
    for name in FROM_GRADIENTS:
        explain(model, SharedPasses(model.backend), name)
    assert nets.state(model.keras_model) == before
