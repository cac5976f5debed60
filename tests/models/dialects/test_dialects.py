"""Both Kerases answer the same of the same network, and a network of either is one graph that computes the same."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import keras
import nets
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from service.models.dialects.traits import Pointwise, Window
from service.models.graph.canonical import canonical
from service.models.graph.channels_first import Turned
from service.models.graph.cost import flops


def wide(module: Any, *, data_format: str = "channels_last") -> Any:
    """A layer of every kind that is asked about."""
    layers = module.layers
    first = data_format == "channels_first"
    x = module.Input((3, 12, 10) if first else (12, 10, 3), name="image")
    format_ = {"data_format": data_format}
    y = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="conv", **format_)(x)
    y = layers.BatchNormalization(axis=1 if first else -1, name="norm")(y)
    y = layers.ReLU(6.0, name="relu")(y)
    y = layers.DepthwiseConv2D(3, padding="same", name="depthwise", **format_)(y)
    y = layers.SeparableConv2D(6, 3, activation="swish", name="separable", **format_)(y)
    y = layers.MaxPooling2D(2, name="pool", **format_)(y)
    y = layers.Concatenate(axis=1 if first else -1, name="both")([y, y])
    y = layers.Dense(5, activation="softmax", name="scores")(layers.GlobalAveragePooling2D(name="gap", **format_)(y))
    model = module.Model(x, y)
    random = np.random.default_rng(0)
    model.set_weights(
        [np.abs(random.normal(0.5, 0.4, weight.shape)).astype(np.float32) for weight in model.get_weights()]
    )
    return model


@pytest.fixture(scope="module")
def pair() -> tuple[Any, Any]:
    three, two = wide(keras), wide(tf_keras)
    two.set_weights(three.get_weights())
    return three, two


def computed(graph: Any, image: np.ndarray) -> np.ndarray:
    run = tf.function(lambda value: graph.run({graph.inputs[0]: value}, graph.outputs), autograph=False)
    return np.asarray(run(tf.constant(image))[0])


def test_both_read_the_same(pair: tuple[Any, Any]) -> None:
    three, two = (canonical(model) for model in pair)
    assert (three.dialect.version, two.dialect.version) == (3, 2)
    assert [node.path for node in three.nodes] == [node.path for node in two.nodes]
    for one, other in zip(three.nodes, two.nodes, strict=True):
        for name in (
            "kind",
            "activation",
            "is_relu",
            "ceiling",
            "keeps_values",
            "multiplications",
            "merge",
            "has_weights",
        ):
            assert getattr(one.traits, name) == getattr(other.traits, name), (one.path, name)
        assert type(one.traits.spatial) is type(other.traits.spatial), one.path
    assert flops(three, (12, 10)) == flops(two, (12, 10))


def test_what_is_read_is_right(pair: tuple[Any, Any]) -> None:
    for model in pair:
        graph = canonical(model)
        of = {node.path: node.traits for node in graph.nodes}
        window = of["conv:linear"].spatial
        assert isinstance(window, Window)
        assert (window.kernel, window.strides, window.padding, window.rolls) == ((3, 3), (2, 2), "same", "convolution")
        assert of["conv:linear"].multiplications == 27
        assert of["separable:linear"].multiplications == 9 + 4
        assert isinstance(of["norm"].spatial, Pointwise)
        assert (of["relu"].is_relu, of["relu"].ceiling) == (True, 6.0)
        assert of["gap"].spatial is None
        assert of["gap"].merge == "mean"
        assert of["both"].merge == "join"
        assert graph.entry("conv").kind == "Conv2D"


def test_both_compute_the_same(pair: tuple[Any, Any]) -> None:
    image = np.random.default_rng(1).random((2, 12, 10, 3), np.float32)
    found = [computed(canonical(model), image) for model in pair]
    expected = np.asarray(pair[0](image, training=False))
    for value in found:
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("module", [keras, tf_keras])
def test_channels_first_is_the_same_network(module: Any) -> None:
    """The graph has its maps as (height, width, channels), and computes no layer with the channels first."""
    last, first = wide(module), wide(module, data_format="channels_first")
    first.set_weights(last.get_weights())
    graph = canonical(first)
    assert graph.inputs[0].shape == (None, 12, 10, 3)
    assert graph.entry("conv").output.shape == (None, 6, 5, 4)
    assert len(graph.channels_first) == len([value for value in graph.values.values() if len(value.shape) == 4]) - sum(
        name.endswith(":linear") for name in graph.values if name != "scores:linear"
    )
    assert not any(isinstance(node.op, Turned) for node in graph.nodes if node.traits.kind == "Conv2D")
    image = np.random.default_rng(1).random((2, 12, 10, 3), np.float32)
    np.testing.assert_allclose(computed(graph, image), computed(canonical(last), image), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["gradcam", "layercam"])
def test_cam_of_channels_first(method: str) -> None:
    last, first = wide(keras), wide(keras, data_format="channels_first")
    first.set_weights(last.get_weights())
    image = np.random.default_rng(1).random((1, 12, 10, 3), np.float32)
    maps = [
        nets.explain(nets.loaded(model), "cam", image, method=method, layer="separable", target="1").arrays["heatmap"]
        for model in (last, first)
    ]
    assert maps[0].shape == (4, 3)
    np.testing.assert_allclose(maps[1], maps[0], rtol=1e-4, atol=1e-7)


def test_keras_2_is_not_imported_without_a_model_of_it() -> None:
    code = (
        "import sys; from pathlib import Path; from service.models.files.library import Library; "
        "from service.models.loaded import load_model; load_model(Library(None).get('shapes'), Path('/nonexistent')); "
        "print('tf_keras' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_constants_of_four_axes_keep_the_order_of_the_file() -> None:
    x = keras.Input((3, 4, 4))
    y = keras.layers.Conv2D(4, 1, data_format="channels_first")(x)
    y = y * np.array([1, 2, 3, 4], np.float32).reshape(1, 4, 1, 1)
    y = keras.ops.mean(y * np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4), axis=(2, 3))
    model = keras.Model(x, y)
    image = np.random.default_rng(0).random((2, 3, 4, 4), np.float32)
    found = computed(canonical(model), image.transpose(0, 2, 3, 1))
    np.testing.assert_allclose(found, np.asarray(model(image)), rtol=1e-5)
