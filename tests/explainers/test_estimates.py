"""What a call is said to take before it is computed: the layer, the size and what is saved are in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from service.engine.child.answer import network_input
from service.explainers import BY_NAME
from service.explainers.base import Progress
from service.explainers.passes import scores_plan
from service.explainers.subject import Subject
from service.explainers.targets import class_targets, parse_targets
from service.models.files.entries import spec_of_file
from service.models.loaded import LoadedModel, load_model
from tests import nets

SIDE = 64


@pytest.fixture(scope="module")
def row() -> LoadedModel:
    """Four convolutions of the same arithmetic, 32 channels each, but for the first; the head is next to nothing."""
    image = x = keras.Input((SIDE, SIDE, 32), name="image")
    for name in ("first", "second", "third", "fourth"):
        x = layers.Conv2D(32, 3, padding="same", use_bias=False, name=name)(x)
    pooled = layers.GlobalAveragePooling2D(name="gap")(x)
    return nets.loaded(keras.Model(image, layers.Dense(3, activation="softmax", name="scores")(pooled)))


def estimate(model: LoadedModel, method: str, /, **params: Any) -> int:
    explainer = BY_NAME[method]
    parsed = explainer.Params.model_validate(params)
    targets = class_targets(model.head)
    if explainer.targeted or getattr(parsed, "target", None):
        targets = parse_targets(getattr(parsed, "target", "top1"), model.graph, model.head, ())
    shape = model.input_shape
    image = network_input(model, np.zeros((shape.height, shape.width, shape.channels), np.float32), False)
    return explainer.passes(Subject(model.backend, model.graph, image, targets, Progress()), parsed)


@pytest.mark.parametrize(
    ("method", "params", "expected"),
    [
        # Behind the layer are 3, 2, 1 and 0 quarters of a pass, once a channel.
        ("cam", {"method": "ablationcam", "layer": "first"}, 2 + 32 * 3 / 4),
        ("cam", {"method": "ablationcam", "layer": "second"}, 2 + 32 * 2 / 4),
        ("cam", {"method": "ablationcam", "layer": "third"}, 2 + 32 / 4),
        ("cam", {"method": "ablationcam", "layer": "fourth"}, 3),
        ("cam", {"method": "scorecam", "layer": "first", "max_channels": 20}, 22),
        ("cam", {"method": "scorecam"}, 34),
        ("cam", {"method": "eigencam"}, 1),
        ("cam", {"method": "gradcam", "layer": "second"}, 1 + 2 * 2 / 4),
        ("cam", {"method": "gradcam", "layer": "second", "target": "0,1,2"}, 1 + 6 * 2 / 4),
        ("cam", {"method": "eigengradcam", "layer": "second", "target": "0,1"}, 1 + 4 * 2 / 4),
        ("cam", {"method": "kpcacam"}, 1),
        ("cam", {"method": "shapleycam", "layer": "first"}, 1 + 3 * 2 * 3 / 4),
        ("cam", {"method": "finercam", "layer": "first", "target": "0,1"}, 2 + 4 * 3 / 4),
        ("cam", {"layers": "first,second,third"}, 3 + 2 * (3 + 2 + 1) / 4),
        ("cam", {"method": "scorecam", "layers": "first,second"}, 68),
        ("cam", {"layer": "first", "smooth": "eigen"}, 1 + 2 * 3 / 4),
        ("cam", {"layer": "first", "smooth": "augment"}, 6 * (1 + 2 * 3 / 4)),
        ("cam", {"layers": "first,second", "smooth": "augment"}, 6 * (2 + 2 * (3 + 2) / 4)),
        ("saliency", {}, 3),
        ("saliency", {"target": "top3"}, 7),
        ("saliency", {"method": "smoothgrad", "samples": 10}, 31),
        ("saliency", {"method": "integrated_gradients", "steps": 10}, 32),
        ("saliency", {"method": "integrated_gradients", "steps": 10, "baseline": "black,white"}, 63),
        ("saliency", {"method": "xrai", "steps": 10}, 63),
        ("saliency", {"method": "guided_ig", "steps": 10, "target": "0,1"}, 62),
        ("saliency", {"method": "blur_ig", "steps": 10, "target": "0,1"}, 52),
        ("saliency", {"method": "gradient_shap", "samples": 10, "baseline": "zero,mean"}, 33),
        ("saliency", {"method": "fullgrad", "target": "top3"}, 7),
        ("occlusion", {"patch": "16", "stride": "16", "strategy": "full"}, 17),
        ("maximization", {"layer": "first", "channels": "0-3", "steps": 10}, 4 * 10 * 3 / 4),
        ("maximization", {"layer": "fourth", "channels": "0-3", "steps": 10}, 4 * 10 * 3),
        ("maximization", {"layer": "fourth", "channels": "0", "steps": 10, "size": "32"}, 10 * 3 / 4),
        ("maximization", {"target": "0,1", "steps": 10}, 2 * 10 * 3),
    ],
)
def test_of_a_row_of_equal_convolutions(row: LoadedModel, method: str, params: dict[str, Any], expected: float) -> None:
    assert estimate(row, method, **params) == pytest.approx(expected, rel=0.08, abs=1)


def test_windows_that_are_computed_incrementally_take_a_part_of_a_pass(row: LoadedModel) -> None:
    """A window of 16 px in 64 takes at least 18², 20², 22² and 24² of 64² cells in the convolutions, and cutting."""
    share = sum(side**2 for side in (18, 20, 22, 24)) / (4 * SIDE**2)
    whole = estimate(row, "occlusion", patch="16", stride="4", strategy="full")
    part = estimate(row, "occlusion", patch="16", stride="4", strategy="incremental")
    assert whole == 170
    assert 1 + 169 * share < part < whole / 3


@pytest.mark.soak
@pytest.mark.parametrize("name", ["stm32zoo__mobilenet_v1_0.25_224_imagenet.h5", "lite0"])
@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("cam", {"method": "ablationcam"}),
        ("cam", {"method": "scorecam", "max_channels": 64}),
        ("saliency", {"method": "smoothgrad"}),
        ("occlusion", {"strategy": "full"}),
        ("occlusion", {}),
    ],
)
def test_within_a_factor_of_two_of_this_machine(
    data: Path, lite0: LoadedModel, name: str, method: str, params: dict[str, Any], tmp_path: Path
) -> None:
    """Beside passes in batches, as the steps of a call are; the median of pairs, as others compute here too."""
    model = lite0 if name == "lite0" else load_model(spec_of_file(data / "models" / name), tmp_path)
    shape = model.input_shape
    values = np.random.default_rng(0).normal(size=(shape.height, shape.width, shape.channels)).astype(np.float32)
    image = network_input(model, values, False)
    if params.get("method") == "ablationcam":
        maps = [item.path for item in model.graph.layers if "Conv" in item.kind and len(item.output.shape) == 4]
        params = params | {"layer": maps[len(maps) // 3]}
    explainer = BY_NAME[method]
    parsed = explainer.Params.model_validate(params)
    targets = parse_targets("top1", model.graph, model.head, ())
    subject = Subject(model.backend, model.graph, image, targets, Progress())
    plan = scores_plan(replace(subject, targets=class_targets(model.head)))
    batch = np.repeat(image.batch, 16, axis=0)

    def seconds(run: Callable[[], object]) -> float:
        began = time.perf_counter()
        run()
        return time.perf_counter() - began

    def call() -> object:
        return explainer.explain(subject, parsed)

    for run in (lambda: plan(batch), call):
        run()
    taken = [seconds(call) / (seconds(lambda: plan(batch)) / len(batch)) for _ in range(5)]
    estimated = explainer.passes(subject, parsed)
    assert 0.5 < estimated / float(np.median(taken)) < 2, (estimated, taken)
