"""Configs of Keras 2, each with one thing Keras 3 refuses, and what becomes of them."""

from __future__ import annotations

import copy
import json
from typing import Any

import keras
import numpy as np
import pytest

from service.errors import ModelNotLoadable
from service.models.legacy import UNSUPPORTED, repair

SHAPE = [None, 8, 8, 2]


def layer(kind: str, name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": name, **config}}


def conv(name: str = "conv", **config: Any) -> dict[str, Any]:
    return layer("Conv2D", name, filters=3, kernel_size=[3, 3], activation="relu", **config)


FLAT = layer("Flatten", "flat")
DENSE = layer("Dense", "dense", units=2, activation="softmax")


def sequential(*layers: dict[str, Any], **config: Any) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": "net", "layers": list(layers), **config}}


def functional(*layers: dict[str, Any], kind: str = "Functional", **config: Any) -> dict[str, Any]:
    """A chain of layers as Keras 2 wrote a functional model."""
    source = layer("InputLayer", "image", batch_input_shape=SHAPE, dtype="float32", sparse=False)
    chain = [source, *layers]
    nodes = []
    for before, item in zip([None, *chain], chain, strict=False):
        inbound = [[[before["config"]["name"], 0, 0, {}]]] if before else []
        nodes.append({**item, "name": item["config"]["name"], "inbound_nodes": inbound})
    ends = {"input_layers": [["image", 0, 0]], "output_layers": [[chain[-1]["config"]["name"], 0, 0]]}
    return {"class_name": kind, "config": {"name": "net", "layers": nodes, **ends, **config}}


def build(config: dict[str, Any]) -> Any:
    before = copy.deepcopy(config)
    model = keras.models.model_from_json(json.dumps(repair(config)))
    assert config["class_name"] == before["class_name"]
    return model


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(sequential(conv(batch_input_shape=SHAPE), FLAT, DENSE), id="batch_input_shape"),
        pytest.param(sequential(conv(), FLAT, DENSE, build_input_shape=SHAPE), id="build_input_shape"),
        pytest.param(
            {"class_name": "Sequential", "config": [conv(batch_input_shape=SHAPE), FLAT, DENSE]}, id="list config"
        ),
        pytest.param(
            sequential(layer("InputLayer", "in", batch_input_shape=SHAPE, ragged=False), conv(), FLAT, DENSE),
            id="InputLayer of tf.keras",
        ),
        pytest.param(functional(conv(), FLAT, DENSE), id="functional"),
        pytest.param(functional(conv(), FLAT, DENSE, kind="Model"), id="class Model"),
        pytest.param(
            functional(conv(batch_input_shape=SHAPE), FLAT, DENSE), id="batch_input_shape left over in a functional"
        ),
        pytest.param(functional(conv("conv1/conv"), FLAT, DENSE), id="slash in a name"),
        pytest.param(
            sequential(
                conv(
                    batch_input_shape=SHAPE,
                    kernel_initializer={"class_name": "GlorotUniform", "config": {"seed": None, "dtype": "float32"}},
                ),
                FLAT,
                DENSE,
            ),
            id="dtype in an initializer",
        ),
        pytest.param(
            sequential(
                conv(batch_input_shape=SHAPE, dtype={"class_name": "Policy", "config": {"name": "float32"}}),
                FLAT,
                DENSE,
            ),
            id="dtype policy",
        ),
        pytest.param(sequential(sequential(conv(batch_input_shape=SHAPE)), FLAT, DENSE), id="Sequential in Sequential"),
        pytest.param(sequential(functional(conv()), FLAT, DENSE), id="functional first in Sequential"),
        pytest.param(
            sequential(functional(conv(), kind="Model"), FLAT, DENSE, build_input_shape=SHAPE), id="Model in Sequential"
        ),
        pytest.param(
            {
                **sequential(conv(batch_input_shape=SHAPE), FLAT, DENSE),
                "keras_version": "2.1.6",
                "backend": "tensorflow",
            },
            id="as to_json wrote it",
        ),
    ],
)
def test_the_same_network_comes_out(config: dict[str, Any]) -> None:
    model = build(config)
    assert (model.input_shape, model.output_shape) == ((None, 8, 8, 2), (None, 2))
    kernel = np.random.default_rng(0).normal(size=(3, 3, 2, 3)).astype(np.float32)
    dense = np.random.default_rng(1).normal(size=(108, 2)).astype(np.float32)
    model.set_weights([kernel, np.zeros(3, np.float32), dense, np.zeros(2, np.float32)])
    image = np.random.default_rng(2).normal(size=(1, 8, 8, 2)).astype(np.float32)
    maps = np.zeros((6, 6, 3))
    for row in range(6):
        for column in range(6):
            maps[row, column] = np.einsum("hwc,hwck", image[0, row : row + 3, column : column + 3], kernel)
    scores = np.maximum(maps, 0).ravel() @ dense
    expected = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    np.testing.assert_allclose(np.asarray(model(image))[0], expected, rtol=1e-4)


KERNEL_KEYS = {"groups": 1, "kernel_initializer": None, "kernel_regularizer": None, "kernel_constraint": None}


@pytest.mark.parametrize(
    ("first", "attribute", "value"),
    [
        (layer("DepthwiseConv2D", "x", kernel_size=[3, 3], depth_multiplier=2, **KERNEL_KEYS), "depth_multiplier", 2),
        (layer("SeparableConv2D", "x", filters=4, kernel_size=[3, 3], **KERNEL_KEYS), "filters", 4),
        (layer("Conv2DTranspose", "x", filters=4, kernel_size=[3, 3], groups=1, output_padding=None), "filters", 4),
        (layer("BatchNormalization", "x", axis=[3], fused=True, renorm=False, virtual_batch_size=None), "axis", 3),
        (layer("LayerNormalization", "x", axis=[3]), "axis", [3]),
        (layer("LeakyReLU", "x", alpha=0.125), "negative_slope", 0.125),
        (layer("LeakyReLU", "x", alpha={"type": "ndarray", "value": 0.25}), "negative_slope", 0.25),
        (layer("ReLU", "x", max_value=6.0, negative_slope={"type": "ndarray", "value": 0.0}), "max_value", 6.0),
        (layer("Custom>Dropout", "x", rate=0.5, noise_shape=None), "rate", 0.5),
    ],
)
def test_keys_of_layers(first: dict[str, Any], attribute: str, value: Any) -> None:
    first["config"]["batch_input_shape"] = SHAPE
    assert getattr(build(sequential(first)).layers[0], attribute) == value


def test_names_without_slashes() -> None:
    model = build(functional(conv("conv1/conv"), layer("BatchNormalization", "conv1/bn", axis=3), FLAT))
    assert [item.name for item in model.layers] == ["image", "conv1_conv", "conv1_bn", "flat"]


def test_one_output_is_no_list() -> None:
    model = build(functional(conv(), FLAT, DENSE))
    assert not isinstance(model.output, list)
    assert not isinstance(model.input, list)


def test_a_config_of_keras_3_is_left_alone() -> None:
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(2, 3, activation="relu")])
    config = json.loads(model.to_json())
    assert repair(config) is config


def code(kind: str) -> dict[str, Any]:
    return layer(kind, "trap", function=["4wEAAAA=", None, None], function_type="lambda")


@pytest.mark.parametrize("kind", sorted(set(UNSUPPORTED) - {"__lambda__"}))
@pytest.mark.parametrize("wrap", ["top", "nested", "wrapped", "keras 3"])
def test_layers_with_code_are_refused_wherever_they_are(kind: str, wrap: str) -> None:
    trap = code(kind)
    if wrap == "nested":
        trap = sequential(trap)
    if wrap == "wrapped":
        trap = layer("TimeDistributed", "each", layer=trap)
    config = sequential(trap, build_input_shape=SHAPE)
    if wrap == "keras 3":
        config["module"] = "keras"
    with pytest.raises(ModelNotLoadable) as caught:
        repair(config)
    assert caught.value.detail == f"layer 'trap' is a {kind}: {UNSUPPORTED[kind]}, so it cannot be loaded"


def test_a_function_as_activation_is_refused() -> None:
    trap = conv(batch_input_shape=SHAPE)
    trap["config"]["activation"] = {"class_name": "__lambda__", "config": {"value": ["4wEAAAA="]}}
    with pytest.raises(ModelNotLoadable, match="a part of the architecture is a __lambda__: it is Python code"):
        repair(sequential(trap))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ([], "the architecture is a 'list'; only Sequential and Functional"),
        ("text", "the architecture is a 'str'"),
        (None, "the architecture is a 'NoneType'"),
        ({}, "the architecture is a None"),
        ({"class_name": "MyModel", "config": {}}, "the architecture is a 'MyModel'"),
        ({"class_name": "Sequential", "config": {}}, "the Sequential model's config has no list of layers"),
        ({"class_name": "Model", "config": {"layers": {}}}, "the Model model's config has no list of layers"),
        ({"class_name": "Sequential", "config": [3]}, "the architecture has a layer without a class name"),
        ({"class_name": "Sequential", "config": [{"config": {}}]}, "the architecture has a layer without a class name"),
        (
            {"class_name": "Sequential", "config": [{"class_name": "Dense", "config": 3}]},
            "has a Dense whose config is no object",
        ),
        ({"class_name": "Sequential", "config": [sequential()["config"]]}, "a layer without a class name"),
    ],
)
def test_what_is_no_model(config: Any, reason: str) -> None:
    with pytest.raises(ModelNotLoadable, match=reason):
        repair(config)


def test_empty_models() -> None:
    for config in (sequential(), sequential(sequential())):
        assert repair(config)["config"]["name"] == "net"
