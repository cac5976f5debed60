"""Whole architectures on windows, against the very same models run on covered images; what falls back, what refuses."""

from __future__ import annotations

from typing import Any

import keras
import nets
import numpy as np
import pytest
from keras import layers

from service.explainers.occlusion_windows import window_axes, windows_of
from service.explainers.targets import class_targets
from service.models.incremental.occluded import Occluded
from service.models.loaded import LoadedModel

SIDE = 96
ARCHITECTURES = ["VGG16", "ResNet50", "MobileNet", "MobileNetV2", "Xception", "DenseNet121", "InceptionV3"]
SQUEEZING = ["MobileNetV3Small", "EfficientNetB0"]


def application(name: str, side: int = SIDE) -> LoadedModel:
    """Random weights under which values neither vanish nor explode, and no normalisation is the identity."""
    keras.utils.set_random_seed(1)
    net = getattr(keras.applications, name)(weights=None, include_top=False, pooling="avg", input_shape=(side, side, 3))
    generator = np.random.default_rng(2)
    for layer in net.layers:
        for weight in layer.weights:
            if isinstance(layer, layers.BatchNormalization):
                low, high = (0.5, 1.5) if weight.path.endswith(("variance", "gamma")) else (-0.5, 0.5)
                weight.assign(generator.uniform(low, high, weight.shape))
            elif len(weight.shape) == 4:
                weights = np.prod(
                    weight.shape[:2] if "depthwise" in layer.name or "dw" in layer.name else weight.shape[:3]
                )
                weight.assign(generator.normal(size=weight.shape) * (1.5 / weights) ** 0.5)
    return nets.loaded(net)


def incremental(model: LoadedModel, side: int, patch: int, stride: int) -> Occluded:
    targets = class_targets(model.head)
    axes = window_axes((side, side), (patch, patch), (stride, stride), centred=False)
    return model.backend.incremental(model.graph, targets.tensor, targets.matrix, targets.key, (side, side), axes)


def differences(model: LoadedModel, image: np.ndarray, patch: int, stride: int) -> tuple[float, float]:
    """The largest difference, and the range of the class whose score varies most over the windows that are tried."""
    side = image.shape[1]
    axes = window_axes((side, side), (patch, patch), (stride, stride), centred=False)
    count = len(axes[0])
    corners = [(0, 0), (0, count - 1), (count - 1, 0), (count - 1, count - 1)]
    steps = np.array([*corners, *[(step, (2 * step + 1) % count) for step in range(count)]], np.int32)
    windows = np.array(windows_of(axes)[0]).reshape(count, count, 4)
    cover = np.full_like(image, 1.5)
    images = np.repeat(image, len(steps), axis=0)
    for place, (row, column) in enumerate(steps):
        top, left, bottom, right = windows[row, column]
        images[place, top:bottom, left:right] = 1.5
    expected = np.asarray(model.keras_model(images, training=False))
    clean, under = incremental(model, side, patch, stride).on(image, cover)
    assert clean.shape == (1, expected.shape[1])
    scores = np.concatenate([under(steps[:5]), under(steps[5:])])
    if model.head.kind == "softmax":
        scores = np.stack([model.head.probabilities(row) for row in scores])
    return float(np.abs(scores - expected).max()), float(np.ptp(expected, axis=0).max())


def picture(side: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, size=(1, side, side, 3)).astype(np.float32)


@pytest.mark.parametrize("name", [*ARCHITECTURES, *SQUEEZING])
def test_architectures(name: str) -> None:
    model = application(name)
    difference, scale = differences(model, picture(SIDE), 16, 13)
    assert scale > 1e-2
    assert difference < 1e-4 * scale
    found = incremental(model, SIDE, 16, 13)
    assert 0 < found.saved < 1
    assert found.obstacle is None


def test_one_trace_serves_all_batches_and_images() -> None:
    model = application("MobileNet")
    for seed in (3, 4):
        difference, scale = differences(model, picture(SIDE, seed), 24, 24)
        assert difference < 1e-4 * scale
        assert model.backend.traces == 2, "the clean image's pass, and the windows'"


def test_what_is_chosen_and_what_is_saved() -> None:
    """Windows of 14 px are a win on VGG16; half the image is none, and neither are few windows or a tiny network."""
    model = application("VGG16", 224)
    small = incremental(model, 224, 14, 14)
    assert small.faster
    assert 0.8 < small.saved < 0.9
    large = incremental(model, 224, 112, 28)
    assert not large.faster
    assert large.saved < 0.5
    assert not incremental(nets.loaded(nets.any_size_net(side=28)), 28, 4, 4).faster
    assert not incremental(application("MobileNetV2", 224), 224, 112, 112).faster


def attention() -> Any:
    x = keras.Input((16, 16, 3))
    y = layers.Reshape((16, 48), name="patches")(x)
    y = layers.MultiHeadAttention(2, 8)(y, y)
    return keras.Model(x, layers.Dense(4)(layers.GlobalAveragePooling1D()(y)))


def flat() -> Any:
    return keras.Sequential(
        [keras.Input((16, 16, 3)), layers.Rescaling(2.0), layers.Flatten(name="flatten"), layers.Dense(4)]
    )


def squeezed() -> Any:
    return keras.Sequential(
        [keras.Input((16, 16)), layers.Reshape((16, 16, 1), name="cells"), layers.Conv2D(2, 3), layers.Flatten()]
    )


@pytest.mark.parametrize(("build", "name"), [(attention, "patches"), (flat, "flatten"), (squeezed, "cells")])
def test_where_nothing_can_be_saved(build: Any, name: str) -> None:
    found = incremental(nets.loaded(build()), 16, 4, 4)
    assert found.obstacle == f"'{name}' looks at the whole image before any convolution"
    assert (found.saved, found.faster) == (0, False)


def test_windows_as_large_as_the_image() -> None:
    found = incremental(nets.loaded(nets.any_size_net(side=28)), 28, 28, 28)
    assert found.obstacle == "windows of this size change nearly all of every map"
    assert not found.faster
