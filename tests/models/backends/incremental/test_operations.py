"""Every local operation alone, on windows, against the very same model run on covered images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from service.explainers.occlusion.windows import window_axes, windows_of
from service.models.backends.incremental.locality import locality
from service.models.backends.incremental.occluded import WindowScores
from service.models.backends.tensorflow import TensorFlowBackend
from service.models.graph import cost
from service.models.graph.canonical import canonical

Array = np.ndarray
Size = tuple[int, int]
SIZE = (13, 10)


@pytest.fixture(autouse=True)
def windows_wherever_they_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny networks would be run whole for the sake of speed."""
    for name in ("START_S", "CUT_START_S", "CUT_PASSES"):
        monkeypatch.setattr(cost, name, 0)


def flat(ops: Any, value: Any) -> Any:
    return ops.reshape(ops.cast(value, "float32"), (ops.shape(value)[0], -1))


def occluded(net: Any, axes: list[list[tuple[int, int]]], size: Size) -> WindowScores:
    graph = canonical(net)
    return TensorFlowBackend().incremental(graph, graph.outputs[0], flat, "map", size, axes)


def livened(net: Any) -> Any:
    """Weights of every kind that matter: means, variances and biases are none of 0 and 1."""
    generator = np.random.default_rng(5)
    for weight in net.weights:
        values = generator.normal(size=weight.shape)
        weight.assign(np.abs(values) + 0.3 if "variance" in weight.path else values)
    return net


def check(net: Any, size: Size, patch: Size, stride: Size, *, centred: bool = False, batch: int = 7) -> WindowScores:
    """Windows against whole maps, the last window first, in batches of an odd number."""
    livened(net)
    axes = window_axes(size, patch, stride, centred=centred)
    channels = net.inputs[0].shape[-1]
    image, cover = np.random.default_rng(6).normal(size=(2, 1, *size, channels)).astype(np.float32)
    windows, _ = windows_of(axes)
    images = np.repeat(image, len(windows), axis=0)
    for place, (top, left, bottom, right) in enumerate(windows):
        images[place, top:bottom, left:right] = cover[0, top:bottom, left:right]
    expected = np.asarray(net(images, training=False)).reshape(len(windows), -1)
    found = occluded(net, axes, size)
    clean, under = found.on(image, cover)
    steps = np.array([(row, column) for row in range(len(axes[0])) for column in range(len(axes[1]))], np.int32)
    order = np.arange(len(steps))[::-1]
    scores = np.concatenate([under(steps[order[start : start + batch]]) for start in range(0, len(order), batch)])
    scale = np.abs(expected).max()
    assert scale > 1e-2
    np.testing.assert_allclose(scores[order], expected, atol=2e-6 * scale, rtol=1e-5)
    np.testing.assert_allclose(clean, np.asarray(net(image, training=False)).reshape(1, -1), atol=2e-6 * scale)
    assert np.abs(expected - clean).max() > 1e-3 * scale
    return found


def of(*body: Any, size: Size = SIZE, channels: int = 3) -> Any:
    return keras.Sequential([keras.Input((*size, channels)), *body])


SLIDING: dict[str, Callable[..., Any]] = {
    "conv": lambda kernel, **how: layers.Conv2D(4, kernel, **how),
    "depthwise": lambda kernel, **how: layers.DepthwiseConv2D(kernel, depth_multiplier=2, **how),
    "separable": lambda kernel, **how: layers.SeparableConv2D(4, kernel, **how),
    "max": lambda kernel, strides, padding, dilation_rate: layers.MaxPooling2D(kernel, strides, padding),
    "average": lambda kernel, strides, padding, dilation_rate: layers.AveragePooling2D(kernel, strides, padding),
}


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("name", SLIDING)
@pytest.mark.parametrize(
    ("kernel", "strides", "dilation_rate"), [(3, 1, 1), (3, 2, 1), (2, 2, 1), (1, 3, 1), (5, 3, 1), (3, 1, 2)]
)
def test_sliding(name: str, kernel: int, strides: int, dilation_rate: int, padding: str) -> None:
    op = SLIDING[name](kernel, strides=strides, padding=padding, dilation_rate=dilation_rate)
    found = check(of(op, size=(25, 19)), (25, 19), (4, 3), (3, 2))
    assert found.saved > 0.3


@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_size_patch_stride_and_chain(data: st.DataObject) -> None:
    size = data.draw(st.tuples(st.integers(9, 23), st.integers(9, 23)), "size")
    patch = tuple(data.draw(st.integers(1, side), "patch") for side in size)
    stride = tuple(data.draw(st.integers(max(1, side // 3), side), "stride") for side in patch)
    body = []
    for _ in range(data.draw(st.integers(1, 3), "depth")):
        name = data.draw(st.sampled_from(sorted(SLIDING)), "operation")
        strides = data.draw(st.integers(1, 2), "strides")
        dilation = data.draw(st.integers(1, 2), "dilation") if strides == 1 else 1
        kernel, padding = (
            data.draw(st.integers(1, 3), "kernel"),
            data.draw(st.sampled_from(["same", "valid"]), "padding"),
        )
        if kernel > 1 and padding == "valid" and len(body) > 1:
            padding = "same"
        body += [SLIDING[name](kernel, strides=strides, padding=padding, dilation_rate=dilation)]
    check(of(*body, size=size), size, patch, stride, centred=data.draw(st.booleans(), "centred"))


def test_unequal_kernels_and_strides() -> None:
    check(of(layers.Conv2D(4, (1, 5), strides=(2, 1), padding="same")), SIZE, (2, 5), (2, 2))
    check(of(layers.AveragePooling2D((2, 3), (1, 2), "same")), SIZE, (2, 5), (2, 2))


def test_strides_and_dilation_together() -> None:
    check(of(layers.DepthwiseConv2D(3, strides=2, dilation_rate=2, padding="same")), SIZE, (4, 3), (4, 3))


def test_groups() -> None:
    check(of(layers.Conv2D(4, 3, groups=2, padding="same"), channels=4), SIZE, (4, 4), (4, 4))


@pytest.mark.parametrize(
    "op",
    [
        layers.ReLU(6.0), layers.LeakyReLU(), layers.ELU(), layers.PReLU(shared_axes=[1, 2]), layers.Softmax(),
        layers.Activation("swish"), layers.Activation("softmax"), layers.BatchNormalization(),
        layers.LayerNormalization(), layers.UnitNormalization(), layers.Rescaling(2, [1, 2, 3]),
        layers.Normalization(mean=[1, 2, 3], variance=[4, 5, 6]), layers.Normalization(mean=1, variance=4, axis=None),
        layers.Dropout(0.5), layers.RandomFlip(), layers.RandomRotation(0.2), layers.RandomZoom(0.2),
        layers.RandomTranslation(0.1, 0.1), layers.RandomContrast(0.2), layers.RandomBrightness(0.2),
        layers.Dense(5, activation="gelu"), layers.GaussianNoise(1.0), layers.Identity(),
    ],
    ids=lambda op: op.name,
)  # fmt: skip
def test_pointwise(op: Any) -> None:
    op = type(op).from_config(op.get_config())
    found = check(of(op, layers.Conv2D(2, 3)), SIZE, (4, 3), (4, 3))
    assert found.saved > 0.5


@pytest.mark.parametrize(
    "op",
    [
        layers.ZeroPadding2D(((1, 3), (2, 0))), layers.Cropping2D(((3, 1), (0, 4))), layers.UpSampling2D((2, 3)),
    ],
    ids=lambda op: op.name,
)  # fmt: skip
def test_maps_of_another_size(op: Any) -> None:
    op = type(op).from_config(op.get_config())
    found = check(of(op, layers.Conv2D(2, 3, strides=2)), SIZE, (4, 3), (2, 3))
    assert found.saved > 0.3


@pytest.mark.parametrize("merge", ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"])
def test_merges_of_unequal_branches(merge: str) -> None:
    x = keras.Input((*SIZE, 3))
    near, far = layers.Conv2D(3, 1)(x), layers.Conv2D(3, 5, padding="same")(x)
    found = check(keras.Model(x, getattr(layers, merge)()([near, far])), SIZE, (3, 3), (3, 3))
    assert found.saved > 0.4


def test_operations_without_a_layer() -> None:
    x = keras.Input((*SIZE, 3))
    y = layers.Conv2D(3, 3, padding="same")(x)
    y = keras.ops.relu6(y + 3.0) * (1 / 6) * x - np.array([1, 2, 3], np.float32)
    y = keras.ops.maximum(keras.ops.concatenate([y, x], axis=-1), -0.5)
    found = check(keras.Model(x, keras.ops.tanh(keras.ops.square(y) / 8)), SIZE, (3, 3), (3, 3))
    assert found.saved > 0.4


def test_half_precision() -> None:
    x = keras.Input((*SIZE, 3))
    y = layers.MaxPooling2D(3, 1, "same", dtype="mixed_float16")(layers.Conv2D(3, 3, dtype="mixed_float16")(x))
    net = livened(keras.Model(x, y))
    axes = window_axes(SIZE, (4, 4), (4, 4), centred=False)
    image = np.random.default_rng(1).normal(size=(1, *SIZE, 3)).astype(np.float32)
    _, under = occluded(net, axes, SIZE).on(image, np.zeros_like(image))
    image[0, 4:8, 4:8] = 0
    expected = np.asarray(net(image)).astype(np.float32).reshape(1, -1)
    np.testing.assert_allclose(under(np.array([[1, 1]], np.int32)), expected, atol=2e-2)


GLOBAL = {
    "flatten": lambda: layers.Flatten(),
    "pooled": lambda: layers.GlobalAveragePooling2D(),
    "transposed": lambda: layers.Conv2DTranspose(2, 3),
    "groups": lambda: layers.GroupNormalization(3),
    "rows": lambda: layers.Softmax(axis=1),
    "bilinear": lambda: layers.UpSampling2D(2, interpolation="bilinear"),
    "everywhere": lambda: layers.PReLU(),
    "by row": lambda: layers.Concatenate(axis=1),
    "resized": lambda: layers.Resizing(5, 5),
    "function": lambda: layers.Activation(lambda value: value - keras.ops.mean(value)),
    "per cell": lambda: layers.Rescaling(np.ones((*SIZE, 3), np.float32)),
}


@pytest.mark.parametrize("name", GLOBAL)
def test_what_is_not_local(name: str) -> None:
    x = keras.Input((*SIZE, 3))
    op = GLOBAL[name]()
    graph = canonical(keras.Model(x, op([x, x]) if isinstance(op, layers.Concatenate) else op(x)))
    (node,) = graph.nodes
    shapes = {tensor: tensor.shape[1:] for tensor in (*graph.inputs, *node.outputs)}
    assert locality(node, shapes) is None


def test_where_a_whole_branch_and_windows_meet() -> None:
    """Squeeze and excite: the gate looks at the whole map, and from the product on all is whole."""
    x = keras.Input((*SIZE, 3))
    y = layers.Conv2D(4, 3, padding="same")(x)
    gate = layers.Dense(4, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(y))
    y = layers.Conv2D(2, 3)(layers.Multiply()([y, gate]))
    found = check(keras.Model(x, y), SIZE, (3, 3), (3, 3))
    assert 0.1 < found.saved < 0.6
