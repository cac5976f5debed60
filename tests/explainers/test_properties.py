"""What holds for every method on every network: finite, deterministic, no trace left, one trace, threads agree."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import nets
import numpy as np
import pytest

from service.errors import DeadlineExceeded, KerascopeError, MethodNotValid
from service.explainers import BY_NAME, EXPLAINERS
from service.explainers.base import Progress
from service.models.loaded import LoadedModel

NETWORKS: dict[str, Callable[[], Any]] = {
    "pencil": nets.pencil,
    "flat": nets.pencil_flat,
    "sigmoid": nets.sigmoid_unit,
    "random": nets.random_net,
    "conv_head": nets.conv_head,
}
# The same networks as models of Keras 2.
IN_KERAS_2 = ("pencil", "flat", "sigmoid", "random", "conv_head")
NETWORKS |= {f"{name} of keras 2": (lambda make=NETWORKS[name]: nets.in_keras_2(make())) for name in IN_KERAS_2}
CALLS = [
    (explainer.name, variant.name if len(explainer.variants) > 1 else None)
    for explainer in EXPLAINERS
    for variant in explainer.variants
]
PARAMS: dict[str, dict[str, Any]] = {
    "kernels": {"layer": "1"},
    "saliency": {"samples": 4, "steps": 4},
    "occlusion": {"patch": "1", "measure": "logit_drop"},
    "perturbation": {"cells": "2", "samples": 48},
    "maximization": {"channels": "0,1", "steps": 3},
}
OF_CRAFT = {"concepts": 2, "draws": 4, "patch": 2}
# Methods that ask about a layer and not about an image.
OF_A_LAYER = ("kernels", "maximization")
SETS = {"images": 3, "concept": 10, "random": 20}
_loaded: dict[str, LoadedModel] = {}


def network(name: str) -> LoadedModel:
    if name not in _loaded:
        _loaded[name] = nets.loaded(NETWORKS[name]())
    return _loaded[name]


def image_for(model: LoadedModel, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=model.input_shape.batch).astype(np.float32)


def ask(model: LoadedModel, name: str, variant: str | None, seed: int = 1, **more: Any) -> dict[str, np.ndarray]:
    chosen = "preset" if name == "maximization" else "method"
    params = {**PARAMS.get(name, {}), **({chosen: variant} if variant else {}), **more}
    if BY_NAME[name].sets:
        params |= OF_CRAFT if variant == "craft" else {"repeats": 2}
        pictures = {each: [image_for(model, 100 * seed + place) for place in range(n)] for each, n in SETS.items()}
        params["sets"] = {each: np.concatenate(batch) for each, batch in pictures.items()}
    if name in OF_A_LAYER:
        params["layer"] = "first" if "first" in model.graph.values else "conv"
    return dict(nets.explain(model, name, image_for(model, seed), **params).arrays)


@pytest.mark.parametrize("net", ["random", "random of keras 2"])
@pytest.mark.parametrize("more", [{"layers": "first,second", "fuse": "mean"}, {"smooth": "augment"}])
@pytest.mark.parametrize("variant", [name for family, name in CALLS if family == "cam"])
def test_fused_and_smoothed(net: str, variant: str, more: dict[str, Any]) -> None:
    model = network(net)
    before = nets.state(model.keras_model)
    try:
        first = ask(model, "cam", variant, **more)
    except MethodNotValid:
        assert variant in ("cam", "eigencam", "kpcacam")
        return
    traces = model.backend.traces
    np.testing.assert_array_equal(first["heatmap"], ask(model, "cam", variant, **more)["heatmap"])
    assert np.isfinite(first["heatmap"]).all()
    assert first["heatmap"].any()
    ask(model, "cam", variant, seed=2, target="1", **more)
    assert model.backend.traces == traces
    assert nets.state(model.keras_model) == before


@pytest.mark.parametrize("net", NETWORKS)
@pytest.mark.parametrize(("name", "variant"), CALLS)
def test_properties(net: str, name: str, variant: str | None) -> None:
    model = network(net)
    before = nets.state(model.keras_model)
    if BY_NAME[name].problem(variant or name, model.graph, model.head):
        with pytest.raises(MethodNotValid):
            ask(model, name, variant)
        assert nets.state(model.keras_model) == before
        return
    first = ask(model, name, variant)
    traces = model.backend.traces
    again = ask(model, name, variant)
    for key, values in first.items():
        assert np.isfinite(values).all()
        np.testing.assert_array_equal(values, again[key])
        assert values.dtype in (np.float32, np.bool_, np.int32, np.uint8)
    if name not in OF_A_LAYER:
        ask(model, name, variant, seed=2)
    if BY_NAME[name].targeted:
        ask(model, name, variant, target="1")
    assert model.backend.traces == traces
    assert nets.state(model.keras_model) == before


@pytest.mark.parametrize(("name", "variant"), CALLS)
def test_two_threads_get_what_one_gets(name: str, variant: str | None) -> None:
    model = network("pencil" if variant == "cam" else "random")
    alone = [ask(model, name, variant, seed=seed) for seed in (3, 4)]
    found: dict[int, list[dict[str, np.ndarray]]] = {3: [], 4: []}

    def work(seed: int) -> None:
        for _ in range(5):
            found[seed].append(ask(model, name, variant, seed=seed))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for expected, results in zip(alone, found.values(), strict=True):
        assert len(results) == 5
        for result in results:
            for key, values in expected.items():
                np.testing.assert_allclose(result[key], values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "params"), [("occlusion", {}), ("saliency", {"method": "smoothgrad"})])
def test_a_stopped_call_leaves_no_trace(name: str, params: dict[str, Any]) -> None:
    model = network("flat")
    before = nets.state(model.keras_model)

    class Stop(Progress):
        def __call__(self, *_: Any) -> None:
            raise DeadlineExceeded("stop")

    with pytest.raises(DeadlineExceeded):
        nets.explain(model, name, image_for(model), progress=Stop(), target="0", **params)
    with pytest.raises(KerascopeError):
        nets.explain(model, name, image_for(model), target="99", **params)
    assert nets.state(model.keras_model) == before


@pytest.mark.parametrize(
    ("name", "params", "steps"),
    [
        ("occlusion", {"patch": "1"}, 6),
        ("saliency", {"method": "vargrad"}, 25),
        ("cam", {"method": "ablationcam", "smooth": "eigen"}, 2),
    ],
)
def test_results_do_not_depend_on_how_the_work_is_cut(name: str, params: dict[str, Any], steps: int) -> None:
    model = network("flat")
    whole = nets.explain(model, name, image_for(model), **params)
    seen: list[tuple[int, int]] = []

    class Record(Progress):
        def __call__(self, done: int, total: int, *_: Any) -> None:
            seen.append((done, total))

    single = nets.explain(model, name, image_for(model), progress=Record(), chunk=1, **params)
    assert seen == [(step, steps) for step in range(steps)]
    np.testing.assert_allclose(single.arrays["heatmap"], whole.arrays["heatmap"], rtol=1e-5, atol=1e-6)
