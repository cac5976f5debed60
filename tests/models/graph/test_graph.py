"""The canonical graph computes what the file computes, up to rounding, under the names the file's author knew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import nets
import numpy as np
import pytest
from keras import layers

from service.errors import ModelNotLoadable, UnknownLayer
from service.models.graph.canonical import canonical

DATA_MODELS = (
    "cifar_10_model__cnn_model.h5",
    "cnn_explainer_tinyvgg.keras",
    "fer__emotion_model.hdf5",
    "mlperf_tiny__pretrainedResnet_cifar10.h5",
    "mobilenetv2_from_coral_ptq.h5",
    "stm32zoo__mobilenet_v1_0.25_224_imagenet.h5",
    "tensorspace__keras_mnist.h5",
)


def require_same(found: Any, expected: Any, rounding: float = 1e-6) -> None:
    """Within so much of the largest value; what is exact can be told from float64 alone, see `test_folding`."""
    expected = np.asarray(expected)
    assert np.shape(found) == expected.shape
    assert np.abs(expected).max() > 0
    assert np.abs(np.asarray(found) - expected).max() <= rounding * np.abs(expected).max()


def block(name: str, channels: int = 2, size: int | None = 8) -> Any:
    """A small Functional model with a fused activation, a batch norm with statistics, and a residual."""
    x = keras.Input((size, size, channels))
    y = layers.Conv2D(channels, 3, padding="same", activation="relu", name="conv")(x)
    y = layers.BatchNormalization(name="norm", moving_mean_initializer="normal", beta_initializer="normal")(y)
    return keras.Model(x, layers.Add(name="sum")([x, y]), name=name)


def sequential_block(name: str) -> Any:
    inner = [keras.Input((8, 8, 2)), layers.Conv2D(2, 3, padding="same", activation="swish", name="conv")]
    return keras.Sequential([*inner, layers.LeakyReLU(name="leaky")], name=name)


def sequential_in_functional() -> Any:
    x = keras.Input((8, 8, 2), name="image")
    y = sequential_block("backbone")(x)
    return keras.Model(x, layers.Dense(3, activation="softmax", name="scores")(layers.Flatten(name="flat")(y)))


def functional_in_sequential() -> Any:
    head = [layers.GlobalAveragePooling2D(name="gap"), layers.Dense(3, activation="sigmoid", name="scores")]
    return keras.Sequential([keras.Input((8, 8, 2)), block("backbone"), *head])


def nested_twice_deep() -> Any:
    x = keras.Input((8, 8, 2))
    outer = keras.Model(x, sequential_block("inner")(block("other")(x)), name="outer")
    return keras.Sequential([keras.Input((8, 8, 2)), outer, layers.Flatten(name="flat")])


def model_called_twice() -> Any:
    backbone = block("backbone")
    x = keras.Input((8, 8, 2), name="image")
    return keras.Model(x, layers.Subtract(name="difference")([backbone(x), backbone(-2.0 * x)]))


def layer_called_twice() -> Any:
    conv = layers.Conv2D(2, 3, padding="same", activation="relu", name="conv")
    x = keras.Input((8, 8, 2), name="image")
    return keras.Model(x, layers.Flatten(name="flat")(conv(conv(x))))


def open_size() -> Any:
    x = keras.Input((8, 8, 2), name="image")
    return keras.Model(x, layers.Flatten(name="flat")(block("backbone", size=None)(x)))


def operations_and_constants() -> Any:
    x = keras.Input((8, 8, 2), name="image")
    y = keras.ops.concatenate([x * 0.5 + 1.0, keras.ops.relu(x - 0.25)], axis=-1)
    left, right = keras.ops.split(y, 2, axis=-1)
    return keras.Model(x, layers.Multiply(name="product")([left, right]) / 3.0)


def several_kinds() -> Any:
    x = keras.Input((8, 8, 2), name="image")
    y = layers.SeparableConv2D(3, 3, activation="relu", name="separable")(x)
    y = layers.DepthwiseConv2D(3, activation=layers.ReLU(max_value=6.0), name="depthwise")(y)
    y = layers.Conv2DTranspose(2, 3, activation="elu", name="transpose")(y)
    y = layers.PReLU(name="prelu", alpha_initializer="normal")(y)
    return keras.Model(x, layers.EinsumDense("bhwc,cd->bhwd", (None, None, 4), activation="gelu", name="einsum")(y))


def augmented() -> Any:
    """Layers that are active unless told that this is no training, and one told that it always is."""
    steps = [layers.RandomFlip(), layers.RandomRotation(0.3), layers.RandomZoom(0.3), layers.GaussianNoise(1.0)]
    x = keras.Input((8, 8, 2), name="image")
    y = keras.Sequential([keras.Input((8, 8, 2)), *steps], name="augmentation")(x)
    y = layers.Dropout(0.5, name="dropout")(y, training=True)
    return keras.Model(x, layers.BatchNormalization(name="norm", moving_mean_initializer="normal")(y, training=True))


def activity_regularised() -> Any:
    conv = layers.Conv2D(2, 3, activation="relu", activity_regularizer="l2", name="conv")
    return keras.Sequential([keras.Input((8, 8, 2)), conv])


@pytest.mark.parametrize(
    "build",
    [
        sequential_in_functional,
        functional_in_sequential,
        nested_twice_deep,
        model_called_twice,
        layer_called_twice,
        open_size,
        operations_and_constants,
        several_kinds,
        augmented,
        activity_regularised,
        nets.random_net,
    ],
)
def test_output_is_that_of_the_model(build: Callable[[], Any]) -> None:
    keras.utils.set_random_seed(1)
    model = build()
    batch = np.random.default_rng(0).normal(size=(3, *model.input_shape[1:])).astype(np.float32)
    expected = np.asarray(model(batch, training=False))
    before = nets.state(model)
    graph = canonical(model)
    feeds = {graph.inputs[0]: keras.ops.convert_to_tensor(batch)}
    (found,) = graph.run(feeds, graph.outputs)
    require_same(found, expected)
    assert graph.outputs[0].shape == model.output_shape
    assert nets.state(model) == before


@pytest.mark.parametrize("head", ["softmax-string", "softmax-layer", "after-reshape", "before-reshape", "bare", "relu"])
def test_output_of_the_pencil_nets(head: str) -> None:
    model = nets.pencil(head)
    (found,) = nets.run(nets.loaded(model), nets.IMAGE)
    assert np.array_equal(found, np.asarray(model(nets.IMAGE, training=False)))
    expected = {"bare": nets.LOGITS, "relu": np.maximum(nets.LOGITS, 0)}.get(head, nets.softmax(nets.LOGITS))
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "size"),
    [("MobileNetV2", 64), ("ResNet50", 64), ("EfficientNetB0", 64), ("DenseNet121", 64), ("ConvNeXtTiny", 64)],
)
def test_applications_are_equal(name: str, size: int) -> None:
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=7)
    batch = np.random.default_rng(0).uniform(0, 255, (1, size, size, 3)).astype(np.float32)
    graph = canonical(model)
    (found,) = graph.run({graph.inputs[0]: keras.ops.convert_to_tensor(batch)}, graph.outputs)
    require_same(found, model(batch, training=False), 1e-5)
    assert [graph.entry(str(index)).layer for index in range(len(model.layers))] == model.layers


@pytest.mark.parametrize("name", DATA_MODELS)
def test_real_files_are_equal(data: Path, name: str) -> None:
    model = nets.opened(data / "models" / name)
    before = nets.state(model)
    batch = np.random.default_rng(0).uniform(-1, 1, (2, *model.input_shape[1:])).astype(np.float32)
    graph = canonical(model)
    (found,) = graph.run({graph.inputs[0]: keras.ops.convert_to_tensor(batch)}, graph.outputs)
    require_same(found, model(batch, training=False), 1e-5)
    assert nets.state(model) == before


def test_methods_leave_the_model_untouched() -> None:
    for build in (nets.pencil, nets.pencil_sequential, nets.conv_head):
        model = build()
        before = nets.state(model)
        tiny = nets.loaded(model)
        for method, params in (
            ("predict", {}),
            ("activations", {}),
            ("cam", {"target": "1"}),
            ("kernels", {"layer": "conv"}),
        ):
            nets.explain(tiny, method, **params)
        with pytest.raises(UnknownLayer):
            nets.explain(tiny, "cam", layer="nonsense")
        assert nets.state(model) == before
        assert model.get_layer("conv").activation is keras.activations.relu


def test_paths_of_nested_models() -> None:
    graph = canonical(nested_twice_deep())
    assert [entry.path for entry in graph.layers] == [
        graph.layers[0].path,
        "outer/other/conv",
        "outer/other/norm",
        "outer/other/sum",
        "outer/other",
        "outer/inner/conv",
        "outer/inner/leaky",
        "outer/inner",
        "outer",
        "flat",
    ]
    assert [entry.index for entry in graph.layers] == [None, *[None] * 7, 0, 1]
    assert graph.entry("outer").output is graph.value("outer/inner/leaky")
    assert graph.entry("leaky").path == "outer/inner/leaky"


def test_later_calls_have_numbered_paths() -> None:
    keras.utils.set_random_seed(1)
    model = model_called_twice()
    tiny = nets.loaded(model)
    paths = [entry.path for entry in tiny.graph.layers]
    assert len(set(paths)) == len(paths)
    image = np.random.default_rng(0).normal(size=(1, 8, 8, 2)).astype(np.float32)
    conv = model.get_layer("backbone").get_layer("conv")
    values = nets.run(tiny, image, "backbone/conv", "backbone#2/conv")
    expected = [np.asarray(conv(image)), np.asarray(conv(-2.0 * image))]
    assert sorted(value.tobytes() for value in values) == sorted(value.tobytes() for value in expected)


def test_shared_layer_by_path_index_and_name() -> None:
    keras.utils.set_random_seed(1)
    model = layer_called_twice()
    tiny = nets.loaded(model)
    image = np.random.default_rng(0).normal(size=(1, 8, 8, 2)).astype(np.float32)
    conv = model.get_layer("conv")
    once, twice = nets.run(tiny, image, "conv", "conv#2")
    assert np.array_equal(once, np.asarray(conv(image)))
    assert np.array_equal(twice, np.asarray(conv(conv(image))))
    assert tiny.graph.entry("1").path == "conv"
    assert tiny.graph.entry("-2").path == "conv"


def test_index_is_that_of_model_layers() -> None:
    sequential = canonical(nets.pencil_sequential())
    assert [sequential.entry(str(index)).path for index in range(3)] == ["conv", "gap", "scores"]
    assert [sequential.entry(str(index)).path for index in (-1, -2, -3)] == ["scores", "gap", "conv"]
    assert sequential.entry("image").index is None
    functional = canonical(nets.pencil())
    assert [functional.entry(str(index)).path for index in range(4)] == ["image", "conv", "gap", "scores"]
    assert functional.entry("-4").path == "image"


@pytest.mark.parametrize("name", ["3", "-4", "17"])
def test_index_beyond_the_model(name: str) -> None:
    with pytest.raises(UnknownLayer, match=rf"there is no layer {name}; the model has the layers 0 to 2"):
        canonical(nets.pencil_sequential()).entry(name)


@pytest.mark.parametrize("name", ["--1", "²", "1.5", "", "9" * 5000, "1e3"])
def test_what_is_no_index_is_no_layer(name: str) -> None:
    with pytest.raises(UnknownLayer, match="there is no layer"):
        canonical(nets.pencil_sequential()).entry(name)


def test_unknown_name_gives_the_closest() -> None:
    with pytest.raises(UnknownLayer, match=r"there is no layer 'backbone/conf'; the closest .*'backbone/conv'"):
        canonical(sequential_in_functional()).entry("backbone/conf")
    with pytest.raises(UnknownLayer) as caught:
        canonical(nets.pencil()).entry("quite something else")
    assert caught.value.detail == "there is no layer 'quite something else'; GET /v1/models/{id}/layers lists them"


def test_ambiguous_name_lists_the_paths() -> None:
    x = keras.Input((8, 8, 2))
    graph = canonical(keras.Model(x, sequential_block("right")(block("left")(x))))
    with pytest.raises(UnknownLayer) as caught:
        graph.entry("conv")
    assert caught.value.detail == ("'conv' is the name of 2 layers; say which by its path: 'left/conv', 'right/conv'")
    assert graph.entry("norm").path == "left/norm"


def test_path_goes_before_index_and_name() -> None:
    x = keras.Input((4,), name="image")
    y = layers.Dense(2, name="0")(layers.Dense(3, name="other")(x))
    assert canonical(keras.Model(x, y)).entry("0").layer.units == 2


def test_linear_is_the_value_before_the_activation() -> None:
    image = nets.IMAGE
    linear, activated, logits = nets.run(nets.loaded(nets.pencil()), image, "conv:linear", "conv", "scores:linear")
    assert np.array_equal(linear[0, ..., 0], image[0, ..., 0])
    assert np.array_equal(linear[0, ..., 1], -image[0, ..., 0])
    assert np.array_equal(activated[0, ..., 0], nets.POSITIVE)
    assert np.array_equal(activated[0, ..., 1], nets.NEGATIVE)
    np.testing.assert_allclose(logits[0], nets.LOGITS, rtol=1e-6)


@pytest.mark.parametrize("name", ["gap:linear", "probabilities:linear", "image:linear"])
def test_linear_of_a_layer_without_activation(name: str) -> None:
    path = name.removesuffix(":linear")
    with pytest.raises(UnknownLayer, match=f"layer '{path}' has no activation of its own"):
        canonical(nets.pencil("softmax-layer")).value(name)


def test_linear_twin_shares_its_variables() -> None:
    model = nets.pencil()
    tiny = nets.loaded(model)
    model.get_layer("conv").kernel.assign(np.array([[[[10, 5]]]], np.float32))
    (linear,) = nets.run(tiny, nets.IMAGE, "conv:linear")
    assert np.array_equal(linear[0, ..., 0], 10 * nets.IMAGE[0, ..., 0])
    assert np.array_equal(linear[0, ..., 1], 5 * nets.IMAGE[0, ..., 0])


def test_run_computes_only_what_lies_between() -> None:
    tiny = nets.loaded(nets.pencil())
    graph, seen = tiny.graph, []

    def watch(tensor: Any, value: Any) -> Any:
        seen.append(tensor.path)
        return value

    maps = np.stack([nets.NEGATIVE, nets.POSITIVE], axis=-1)[None]
    (logits,) = graph.run({graph.value("conv"): maps}, [graph.value("scores:linear")], watch)
    np.testing.assert_allclose(np.asarray(logits)[0], nets.WEIGHTS.T @ [4 / 6, 7 / 6] + nets.BIAS, rtol=1e-6)
    assert seen == ["conv", "gap", "scores:linear"]


def test_depends_on() -> None:
    graph = canonical(nets.pencil())
    value = graph.value
    assert graph.depends_on(value("scores"), value("conv"))
    assert graph.depends_on(value("conv"), value("conv"))
    assert not graph.depends_on(value("conv"), value("gap"))
    assert not graph.depends_on(value("scores:linear"), value("scores"))


@pytest.mark.parametrize(
    ("layer", "activation"),
    [
        (layers.ReLU(), "relu"),
        (layers.Softmax(), "softmax"),
        (layers.LeakyReLU(), "leakyrelu"),
        (layers.Activation("swish"), "silu"),
        (layers.Activation("sigmoid"), "sigmoid"),
        (layers.Dropout(0.1), None),
        (layers.Dense(3), None),
    ],
)
def test_activation_of_a_node(layer: Any, activation: str | None) -> None:
    x = keras.Input((4,))
    assert canonical(keras.Model(x, layer(x))).nodes[-1].activation == activation


def test_only_sequential_and_functional_models_have_a_graph() -> None:
    class Own(keras.Model):
        def call(self, x: Any) -> Any:
            return x

    with pytest.raises(ModelNotLoadable, match="the model is a Own; only Sequential and Functional"):
        canonical(Own())
    with pytest.raises(ModelNotLoadable, match="the model does not say the shape of its input"):
        canonical(keras.Sequential([layers.Dense(2)]))


def test_the_part_up_to_a_value() -> None:
    model = nets.loaded(nets.random_net())
    graph, whole = model.graph.until(model.graph.value("second:linear")), model.graph
    assert graph.outputs == (whole.value("second:linear"),)
    assert [node.path for node in graph.nodes] == ["first:linear", "first", "second:linear"]
    assert [entry.path for entry in graph.layers] == ["image", "first"]
    assert graph.value("first") is whole.value("first")
    image = np.random.default_rng(0).normal(size=(1, 7, 5, 2)).astype(np.float32)
    (found,) = graph.run({graph.inputs[0]: keras.ops.convert_to_tensor(image)}, graph.outputs)
    assert np.array_equal(np.asarray(found), nets.run(model, image, "second:linear")[0])
    with pytest.raises(UnknownLayer, match="there is no layer 'scores'"):
        graph.value("scores")
