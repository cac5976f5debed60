"""Folded networks against float64: never less exact than Keras itself; what is folded, what is not, and how often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import nets
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from service.models.graph.canonical import canonical
from service.models.graph.folding import ChannelScaling
from service.models.graph.graph import Graph

SIZE = (9, 8)
WEIGHTED: dict[str, Callable[[], Any]] = {
    "plain": lambda: layers.Conv2D(5, 3, name="conv"),
    "padded": lambda: layers.Conv2D(5, (3, 2), padding="same", name="conv"),
    "strided": lambda: layers.Conv2D(5, 3, strides=(2, 3), padding="same", use_bias=False, name="conv"),
    "dilated": lambda: layers.Conv2D(5, 3, dilation_rate=(2, 1), padding="same", name="conv"),
    "grouped": lambda: layers.Conv2D(6, 3, groups=2, name="conv"),
    "depthwise": lambda: layers.DepthwiseConv2D(3, padding="same", name="conv"),
    "depthwise of three": lambda: layers.DepthwiseConv2D(3, strides=2, depth_multiplier=3, use_bias=False, name="conv"),
    "depthwise dilated": lambda: layers.DepthwiseConv2D(3, dilation_rate=2, name="conv"),
    "separable": lambda: layers.SeparableConv2D(5, 3, depth_multiplier=2, padding="same", name="conv"),
    "separable strided": lambda: layers.SeparableConv2D(5, 3, strides=2, use_bias=False, name="conv"),
    "transposed": lambda: layers.Conv2DTranspose(5, 3, strides=2, padding="same", name="conv"),
    "transposed valid": lambda: layers.Conv2DTranspose(5, (3, 2), strides=(2, 3), use_bias=False, name="conv"),
    "dense": lambda: layers.Dense(5, name="conv"),
}
NORMS: dict[str, dict[str, Any]] = {"all": {}, "bare": {"center": False, "scale": False}, "axis": {"axis": 3}}


def net(*inner: Any, channels: int = 4) -> Any:
    """A network of these layers in a row, with weights and statistics of every sign and size."""
    model = keras.Sequential([keras.Input((*SIZE, channels)), *inner])
    generator = np.random.default_rng(1)
    for weight in model.weights:
        low = 0.2 if "variance" in weight.path else -1.5
        weight.assign(generator.uniform(low, 1.5, weight.shape))
    return model


def ops(graph: Graph, *keep: str) -> list[Any]:
    tensors = {*graph.outputs, *map(graph.value, keep)}
    return [node.op for node in graph.folds.applied(graph.nodes, tensors)]


def image(channels: int = 4) -> np.ndarray:
    return np.random.default_rng(2).normal(size=(2, *SIZE, channels)).astype(np.float32)


@pytest.mark.parametrize("generation", [2, 3])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", WEIGHTED)
def test_one_operation_for_two_layers(kind: str, norm: str, generation: int) -> None:
    model = net(WEIGHTED[kind](), layers.BatchNormalization(name="norm", **NORMS[norm]))
    exact = np.asarray(nets.in_float64(model)(image().astype(np.float64), training=False))
    assert exact.dtype == np.float64
    graph = canonical(nets.in_keras_2(model) if generation == 2 else model)
    assert len(ops(graph)) == 1
    kernel = [weight for weight in model.get_layer("conv").weights if "bias" not in weight.path][-1]
    assert graph.folds.bytes == 4 * (np.prod(kernel.shape) + exact.shape[-1])
    (found,) = graph.run({graph.inputs[0]: tf.constant(image())}, graph.outputs)
    assert np.abs(np.asarray(found) - exact).max() <= 1e-6 * np.abs(exact).max()


@pytest.mark.parametrize("generation", [2, 3])
def test_what_is_asked_for_stays(generation: int) -> None:
    """The value between is there for who fetches or watches it, and the gradient passes through it."""
    model = net(layers.Conv2D(5, 3, name="conv"), layers.BatchNormalization(name="norm"), layers.ReLU(name="relu"))
    tiny = nets.loaded(nets.in_keras_2(model) if generation == 2 else model)
    conv, norm = (layer for layer in nets.in_float64(model).layers[:2])
    between = np.asarray(conv(image().astype(np.float64)))
    scale = np.asarray(norm.gamma) / np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
    np.testing.assert_allclose(nets.run(tiny, image(), "conv")[0], between, rtol=0, atol=1e-6 * np.abs(between).max())
    graph = tiny.graph
    assert len(ops(graph)) == 2
    assert len(ops(graph, "conv")) == 3
    feeds = {graph.inputs[0]: tf.constant(image())}
    watched, fetched = [graph.value("conv")], [graph.value("norm")]
    values, [[gradient]], _ = tiny.backend.gradients(graph, feeds, watched, fetched, lambda norm: [norm[..., 2]])
    np.testing.assert_allclose(values[0], between, rtol=0, atol=1e-6 * np.abs(between).max())
    expected = np.zeros_like(between)
    expected[..., 2] = scale[2]
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)


def test_gradients_of_folded_weights() -> None:
    model = net(layers.Conv2D(5, 3, name="conv"), layers.BatchNormalization(), layers.Activation("tanh"))
    double = nets.in_float64(model)
    exact = tf.constant(image(), tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(exact)
        score = double(exact, training=False)[..., 1]
    expected = np.asarray(tape.gradient(score, exact))
    tiny = nets.loaded(model)
    given = tiny.graph.inputs[0]
    feeds = {given: tf.constant(image())}
    _, [[found]], _ = tiny.backend.gradients(
        tiny.graph, feeds, [given], list(tiny.graph.outputs), lambda value: [value[..., 1]]
    )
    assert np.abs(np.asarray(found) - expected).max() <= 2e-6 * np.abs(expected).max()


def two_readers() -> Any:
    x = keras.Input((*SIZE, 4))
    y = layers.Conv2D(4, 3, name="conv")(x)
    return keras.Model(x, layers.Add()([layers.BatchNormalization(name="norm")(y), y]))


def norm_first() -> Any:
    return net(layers.BatchNormalization(name="norm"), layers.Conv2D(4, 3, name="conv"))


def activated() -> Any:
    return net(layers.Conv2D(4, 3, activation="relu", name="conv"), layers.BatchNormalization(name="norm"))


def along_rows() -> Any:
    return net(layers.Conv2D(4, 3, name="conv"), layers.BatchNormalization(axis=1, name="norm"))


def in_half_precision() -> Any:
    return net(layers.Conv2D(4, 3, dtype="mixed_bfloat16", name="conv"), layers.BatchNormalization(dtype="bfloat16"))


def of_somebody() -> Any:
    class Conv2D(layers.Conv2D):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return 2 * super().call(inputs)

    return net(Conv2D(4, 3, name="conv"), layers.BatchNormalization(name="norm"))


@pytest.mark.parametrize(
    ("build", "kept", "scalings"),
    [
        (two_readers, 3, 1),
        (norm_first, 2, 1),
        (activated, 3, 1),
        (along_rows, 2, 0),
        (in_half_precision, 2, 0),
        (of_somebody, 2, 1),
    ],
)
def test_what_is_not_folded(build: Callable[[], Any], kept: int, scalings: int) -> None:
    model = build()
    graph = canonical(model)
    found = ops(graph)
    assert (len(found), sum(isinstance(op, ChannelScaling) for op in found)) == (kept, scalings)
    (value,) = graph.run({graph.inputs[0]: tf.constant(image())}, graph.outputs)
    expected = np.asarray(model(image(), training=False), np.float64)
    np.testing.assert_allclose(np.asarray(value, np.float64), expected, rtol=0, atol=2e-6 * np.abs(expected).max())


def test_an_adapter_beside_the_weights_is_not_lost() -> None:
    model = net(layers.Dense(5, name="dense"), layers.BatchNormalization(name="norm"))
    dense = model.get_layer("dense")
    dense.enable_lora(2)
    dense.lora_kernel_b.assign(np.full(dense.lora_kernel_b.shape, 0.3))
    graph = canonical(model)
    assert ops(graph)[0] is dense
    (found,) = graph.run({graph.inputs[0]: tf.constant(image())}, graph.outputs)
    np.testing.assert_allclose(found, model(image(), training=False), rtol=1e-4, atol=1e-5)


def test_channels_first() -> None:
    """Axis 1 is the channels' in a network that has these first."""
    keras.utils.set_random_seed(3)
    x = keras.Input((3, 16, 12))
    y = layers.Conv2D(4, 3, data_format="channels_first", name="conv")(x)
    model = keras.Model(x, layers.BatchNormalization(axis=1, name="norm", moving_mean_initializer="normal")(y))
    last = keras.Input((16, 12, 3))
    twin = keras.Model(last, layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3, name="conv")(last)))
    twin.set_weights(model.get_weights())
    graph = canonical(model)
    assert len(ops(graph)) == 1
    batch = np.random.default_rng(0).normal(size=(2, 16, 12, 3)).astype(np.float32)
    (found,) = graph.run({graph.inputs[0]: tf.constant(batch)}, graph.outputs)
    np.testing.assert_allclose(found, twin(batch, training=False), rtol=1e-5, atol=1e-6)


def test_all_plans_read_the_same_weights() -> None:
    tiny = nets.loaded(net(layers.Conv2D(5, 3, name="conv"), layers.BatchNormalization(name="norm"), layers.ReLU()))
    graph = tiny.graph
    first, second = ops(graph)[0], ops(graph.until(graph.value("norm")))[0]
    assert first.kernels[-1] is second.kernels[-1]
    assert graph.folds.bytes == 4 * (3 * 3 * 4 * 5 + 5)


def test_made_within_a_trace_they_outlive_it() -> None:
    tiny = nets.loaded(net(layers.Conv2D(5, 3, name="conv"), layers.BatchNormalization(name="norm")))
    graph = tiny.graph
    signature = [((None, *SIZE, 4), "float32")]
    for key in ("first", "second"):
        plan = tiny.backend.compiled(key, lambda x: graph.run({graph.inputs[0]: x}, graph.outputs), signature)
        np.testing.assert_allclose(plan(image())[0], nets.run(tiny, image())[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        "MobileNet",
        *(pytest.param(name, marks=pytest.mark.soak) for name in ("MobileNetV2", "ResNet50", "DenseNet121")),
        pytest.param("Xception", marks=pytest.mark.soak),
    ],
)
def test_architectures_are_as_exact_as_keras(name: str) -> None:
    """Against float64, the largest error is at most twice that of Keras's own float32."""
    keras.utils.set_random_seed(1)
    model = getattr(keras.applications, name)(weights=None, include_top=False, pooling="avg", input_shape=(96, 96, 3))
    generator = np.random.default_rng(2)
    for weight in model.weights:
        if "moving" in weight.path or "gamma" in weight.path or "beta" in weight.path:
            low, high = (0.5, 1.5) if weight.path.endswith(("variance", "gamma")) else (-0.5, 0.5)
            weight.assign(generator.uniform(low, high, weight.shape))
    batch = generator.uniform(-1, 1, size=(2, 96, 96, 3)).astype(np.float32)
    exact = np.asarray(nets.in_float64(model)(batch.astype(np.float64), training=False))
    graph = canonical(model)
    found = np.asarray(graph.run({graph.inputs[0]: tf.constant(batch)}, graph.outputs)[0])
    own = np.asarray(model(batch, training=False))
    assert exact.dtype == np.float64
    assert np.abs(exact).max() > 1e-3
    assert np.abs(found - exact).max() <= 2 * np.abs(own - exact).max() < 1e-4 * np.abs(exact).max()
