"""Whole architectures on windows, against whole passes of covered images; what falls back, what refuses."""

from __future__ import annotations

from typing import Any

import keras
import nets
import numpy as np
import pytest
from keras import layers

from service.explainers.occlusion.windows import window_axes
from service.explainers.targets import class_targets
from service.models.backends.incremental.occluded import WindowScores
from service.models.loaded import LoadedModel

SIDE = 96
QUICK = ("VGG16", "MobileNet", "MobileNetV2")
ARCHITECTURES = ["VGG16", "ResNet50", "MobileNet", "MobileNetV2", "Xception", "DenseNet121", "InceptionV3"]
SQUEEZING = ["MobileNetV3Small", "EfficientNetB0"]
ALL = [*ARCHITECTURES, *SQUEEZING]


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
                by_channel = isinstance(layer, layers.DepthwiseConv2D) or "depthwise_kernel" in weight.path
                summed = np.prod(weight.shape[: 2 if by_channel else 3])
                weight.assign(generator.normal(size=weight.shape) * (1.5 / summed) ** 0.5)
            elif "se_expand" in layer.name:
                weight.assign(np.full(weight.shape, 3))
    return nets.loaded(net)


def incremental(model: LoadedModel, side: int, patch: int, stride: int) -> WindowScores:
    targets = class_targets(model.head)
    axes = window_axes((side, side), (patch, patch), (stride, stride), centred=False)
    return model.backend.incremental(model.graph, targets.tensor, targets.matrix, targets.key, (side, side), axes)


def differences(model: LoadedModel, image: np.ndarray, patch: int, stride: int) -> tuple[float, float]:
    """The largest difference, and the range of the score that varies most, over the corners and a few more windows."""
    side = image.shape[1]
    axes = window_axes((side, side), (patch, patch), (stride, stride), centred=False)
    last = len(axes[0]) - 1
    steps = [(0, 0), (0, last), (last, 0), (last, last)] + [(step, (2 * step) % last) for step in range(last)]
    cover = np.full_like(image, image.max())
    images = np.repeat(image, len(steps), axis=0)
    for place, (row, column) in enumerate(steps):
        images[place, slice(*axes[0][row]), slice(*axes[1][column])] = image.max()
    (expected,) = nets.run(model, images)
    clean, under = incremental(model, side, patch, stride).on(image, cover)
    assert clean.shape == (1, expected.shape[1])
    scores = np.concatenate([under(np.array(part, np.int32)) for part in (steps[:5], steps[5:])])
    return float(np.abs(scores - expected).max()), float(np.ptp(expected, axis=0).max())


def picture(side: int, seed: int = 3, level: float = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-level, level, size=(1, side, side, 3)).astype(np.float32)


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.soak) for name in ALL]
)
def test_architectures(name: str) -> None:
    model = application(name)
    # Those with squeeze-and-excite scale levels up to 255 themselves.
    difference, scale = differences(model, picture(SIDE, level=255 if name in SQUEEZING else 1), 16, 13)
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


def test_one_trace_serves_grids_of_a_kind() -> None:
    """Tables say where the windows stand; how many cells they change in each layer is part of the plan."""
    model = application("MobileNet")
    image = picture(SIDE)
    for patch, stride, traces in ((24, 12, 2), (24, 6, 2), (24, 8, 3), (24, 12, 3)):
        difference, scale = differences(model, image, patch, stride)
        assert difference < 1e-4 * scale, stride
        assert model.backend.traces == traces, stride


def test_what_is_chosen_and_what_is_saved() -> None:
    """Windows of 14 px are a win on VGG16; nearly the whole image is none; four windows are not worth a trace."""
    model = application("VGG16", 224)
    small = incremental(model, 224, 14, 14)
    assert small.faster
    assert 0.8 < small.saved < 0.9
    large = incremental(model, 224, 200, 8)
    assert not large.faster
    assert large.saved < 0.2
    few = incremental(application("MobileNetV2", 224), 224, 112, 112)
    assert not few.faster
    assert few.saved > 0.2
    assert not incremental(nets.loaded(nets.any_size_net(side=28)), 28, 14, 14).faster


def attention() -> Any:
    x = keras.Input((16, 16, 3))
    y = layers.Reshape((16, 48), name="patches")(x)
    y = layers.MultiHeadAttention(2, 8)(y, y)
    return keras.Model(x, layers.Dense(4)(layers.GlobalAveragePooling1D()(y)))


def flat() -> Any:
    return keras.Sequential(
        [keras.Input((16, 16, 3)), layers.Rescaling(2.0), layers.Flatten(name="flatten"), layers.Dense(4)]
    )


def without_channels() -> Any:
    cells = layers.Reshape((16, 16, 1), name="cells")
    return keras.Sequential([keras.Input((16, 16)), cells, layers.Conv2D(2, 3), layers.Flatten()])


@pytest.mark.parametrize(("build", "name"), [(attention, "patches"), (flat, "flatten"), (without_channels, "cells")])
def test_where_nothing_can_be_saved(build: Any, name: str) -> None:
    found = incremental(nets.loaded(build()), 16, 4, 4)
    assert found.obstacle == f"no convolution comes before {name!r}, which looks at the whole image"
    assert not found.faster


def test_windows_as_large_as_the_image() -> None:
    found = incremental(nets.loaded(nets.any_size_net(side=28)), 28, 28, 28)
    assert found.obstacle == "windows of this size change nearly all of every map"
    assert not found.faster
