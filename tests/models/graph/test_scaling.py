"""The values that a network was trained to take are read from what it does with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras
from keras import layers, ops

from service.models.graph.canonical import canonical
from service.models.graph.scaling import find_scaling, is_teachable_machine, own_scaling

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)


def behind(start: Callable[[Any], Any], module: Any = keras) -> Any:
    x = module.Input((16, 16, 3), name="image")
    y = module.layers.Conv2D(4, 3, activation="relu")(start(x))
    return module.Model(x, module.layers.Dense(2)(module.layers.GlobalAveragePooling2D()(y)), name="net")


def normalised(x: Any, mean: Any, variance: Any) -> Any:
    return layers.Normalization(mean=mean, variance=variance)(x)


def by_channel(x: Any) -> Any:
    return ops.stack([x[..., 0] - 103.939, x[..., 1] - 116.779, x[..., 2] - 123.68], axis=-1)


def augmented(x: Any) -> Any:
    for layer in (
        layers.RandomFlip(), layers.RandomRotation(0.1), layers.RandomZoom(0.1), layers.RandomContrast(0.1),
        layers.RandomTranslation(0.1, 0.1), layers.Resizing(12, 12), layers.ZeroPadding2D(1), layers.Rescaling(1 / 255),
    ):  # fmt: skip
        x = layer(x)
    return x


WANTED: dict[str, tuple[Callable[[Any], Any], str | None]] = {
    "nothing": (lambda x: x, None),
    "a Rescaling": (lambda x: layers.Rescaling(1 / 255)(x), "none"),
    "a Rescaling to -1..1": (lambda x: layers.Rescaling(1 / 127.5, offset=-1)(x), "none"),
    "eight layers deep": (augmented, "none"),
    "x / 255": (lambda x: x / 255.0, "none"),
    "x / 127.5 - 1": (lambda x: x / 127.5 - 1.0, "none"),
    "x * (1 / 255)": (lambda x: ops.multiply(x, 1 / 255), "none"),
    "(x - 127.5) / 128": (lambda x: (x - 127.5) / 128.0, "none"),
    "torch by hand": (lambda x: (x / 255.0 - IMAGENET_MEAN) / IMAGENET_STD, "none"),
    "means of levels": (lambda x: x - np.array([123.68, 116.779, 103.939], np.float32), "none"),
    "channels apart": (by_channel, "none"),
    "of 0..1: 2x - 1": (lambda x: x * 2.0 - 1.0, "rescale01"),
    "of 0..1: mean and deviation": (lambda x: (x - IMAGENET_MEAN) / IMAGENET_STD, "rescale01"),
    "of 0..1: x - 0.5": (lambda x: x - 0.5, "rescale01"),
    "of 0..1: x - 0.449": (lambda x: x - 0.449, "rescale01"),
    "of 0..1: 255x": (lambda x: x * 255.0, "rescale01"),
    "of -1..1: (x + 1) / 2": (lambda x: (x + 1.0) / 2.0, "tf"),
    "of -1..1: 127.5 (x + 1)": (lambda x: (x + 1.0) * 127.5, "tf"),
    "adapted to levels": (lambda x: normalised(x, [110.0, 115.0, 120.0], [2500.0, 2600.0, 2700.0]), "none"),
    "adapted to 0..1": (lambda x: normalised(x, [0.45, 0.44, 0.4], [0.07, 0.065, 0.07]), "rescale01"),
    "vgg16's own": (lambda x: keras.applications.vgg16.preprocess_input(x), "none"),
    "resnet50's own": (lambda x: keras.applications.resnet50.preprocess_input(x), "none"),
    "densenet's own": (lambda x: keras.applications.densenet.preprocess_input(x), "none"),
    "mobilenet_v2's own": (lambda x: keras.applications.mobilenet_v2.preprocess_input(x), "none"),
    "xception's own": (lambda x: keras.applications.xception.preprocess_input(x), "none"),
    "a pipeline": (lambda x: layers.Pipeline([layers.RandomFlip(), layers.Rescaling(1 / 255)])(x), "none"),
    "in a nested model": (
        lambda x: keras.Sequential([keras.Input((16, 16, 3)), layers.Rescaling(1 / 255), layers.RandomFlip()])(x),
        "none",
    ),
}
OF_KERAS_2: dict[str, tuple[Callable[[Any], Any], str]] = {
    "x / 255": (lambda x: x / 255.0, "none"),
    "vgg16's own": (lambda x: tf_keras.applications.vgg16.preprocess_input(x), "none"),
    "mobilenet_v2's own": (lambda x: tf_keras.applications.mobilenet_v2.preprocess_input(x), "none"),
    "densenet's own": (lambda x: tf_keras.applications.densenet.preprocess_input(x), "none"),
    "of 0..1": (lambda x: 2.0 * x - 1.0, "rescale01"),
    "a Rescaling": (lambda x: tf_keras.layers.Rescaling(1 / 255)(x), "none"),
}


@pytest.mark.parametrize("name", WANTED)
def test_arithmetic_on_the_image_says_what_was_fed(name: str) -> None:
    start, expected = WANTED[name]
    graph = canonical(behind(start))
    assert own_scaling(graph, graph.inputs[0]) == expected


@pytest.mark.parametrize("name", OF_KERAS_2)
def test_arithmetic_of_keras_2(name: str) -> None:
    start, expected = OF_KERAS_2[name]
    graph = canonical(behind(start, tf_keras))
    assert own_scaling(graph, graph.inputs[0]) == expected


def test_arithmetic_behind_the_first_weights_says_nothing() -> None:
    x = keras.Input((16, 16, 3))
    y = layers.Conv2D(4, 3)(x) / 255.0 - 0.5
    graph = canonical(keras.Model(x, layers.GlobalAveragePooling2D()(y)))
    assert own_scaling(graph, graph.inputs[0]) is None


@pytest.mark.parametrize(
    ("family", "cut", "mode"),
    [
        ("VGG16", "block1_pool", "caffe"),
        ("ResNet50", "conv2_block1_out", "caffe"),
        ("ResNet50V2", "conv2_block1_out", "tf"),
        ("MobileNet", "conv_pw_1_relu", "tf"),
        ("MobileNetV2", "block_1_project_BN", "tf"),
        ("DenseNet121", "conv2_block2_concat", "torch"),
        ("Xception", "block2_pool", "tf"),
        ("EfficientNetB0", "block1a_project_bn", "none"),
    ],
)
@pytest.mark.parametrize("how", ["nested", "flat"])
def test_a_backbone_under_a_head(family: str, cut: str, mode: str, how: str) -> None:
    """The name of a nested one counts, and the names of the layers of one that was taken apart."""
    whole = getattr(keras.applications, family)(weights=None, include_top=False, input_shape=(72, 72, 3))
    base = keras.Model(whole.input, whole.get_layer(cut).output, name=whole.name if how == "nested" else "mine")
    if how == "nested":
        x = keras.Input((72, 72, 3))
        model = keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling2D()(base(x))), name="classifier")
    else:
        model = keras.Model(
            base.input, layers.Dense(2)(layers.GlobalAveragePooling2D()(base.output)), name="classifier"
        )
    graph = canonical(model)
    found = find_scaling(model.name, graph, graph.inputs[0], None)
    assert found.preprocessing.mode == mode


@pytest.mark.parametrize("module", [keras, tf_keras])
def test_teachable_machine(module: Any) -> None:
    """Two Sequentials, a pooled backbone and two dense layers of which the last has no bias: it was fed -1..1."""
    x = module.Input((16, 16, 3))
    backbone = module.Model(x, module.layers.Conv2D(4, 3)(x), name="model1")
    features = module.Sequential([backbone, module.layers.GlobalAveragePooling2D()], name="sequential_1")
    head = [module.layers.Dense(5, activation="relu"), module.layers.Dense(3, use_bias=False, activation="softmax")]
    model = module.Sequential([module.Input((16, 16, 3)), features, module.Sequential(head, name="sequential_3")])
    model(np.zeros((1, 16, 16, 3), np.float32))
    graph = canonical(model)
    assert is_teachable_machine(graph)
    assert find_scaling(model.name, graph, graph.inputs[0], None).preprocessing.mode == "tf"
    assert not is_teachable_machine(canonical(behind(lambda value: value)))
