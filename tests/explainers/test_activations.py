"""Feature maps and their statistics, worked out by hand."""

from __future__ import annotations

from typing import Any

import keras
import nets
import numpy as np
import pytest
from keras import layers

from service.errors import InvalidParameter, MethodNotValid, UnknownLayer
from service.explainers.activations import channel_statistics, default_layers, measured
from service.models.graph.canonical import canonical
from service.models.loaded import LoadedModel

MAPS = np.stack([nets.POSITIVE, nets.NEGATIVE], axis=-1)


@pytest.fixture(scope="module")
def pencil() -> LoadedModel:
    return nets.loaded(nets.pencil())


def test_feature_maps(pencil: LoadedModel) -> None:
    explanation = nets.explain(pencil, "activations", layers="conv")
    assert explanation.primary == "conv"
    assert explanation.arrays["conv"].dtype == np.float32
    assert np.array_equal(explanation.arrays["conv"], MAPS)
    assert explanation.titles == {"conv": "conv · 2×3 · 2 channels"}
    assert explanation.parameters == {"layers": ["conv"]}
    assert explanation.warnings == ()


def test_before_the_activation(pencil: LoadedModel) -> None:
    found = nets.explain(pencil, "activations", layers="conv:linear").arrays["conv:linear"]
    assert np.array_equal(found, np.concatenate([nets.IMAGE[0], -nets.IMAGE[0]], axis=-1))


def test_statistics() -> None:
    found = channel_statistics(np.asarray(measured(keras.ops, MAPS[None]))[0], None)
    assert found["channels"] == [0, 1]
    np.testing.assert_allclose(found["mean"], [7 / 6, 4 / 6])
    # Means of squares 21/6 and 10/6, less the squared means.
    np.testing.assert_allclose(found["std"], [np.sqrt(21 / 6 - 49 / 36), np.sqrt(10 / 6 - 16 / 36)])
    assert found["max"] == [4, 3]
    assert found["active_share"] == [pytest.approx(0.5), pytest.approx(1 / 3)]
    assert found["dead_channels"] == []


def test_statistics_of_negative_and_chosen_channels() -> None:
    maps = np.stack([np.full((2, 2), -3), np.zeros((2, 2)), np.eye(2)], axis=-1).astype(np.float32)
    found = channel_statistics(np.asarray(measured(keras.ops, maps[None]))[0], (1, 0))
    assert found == {
        "channels": [1, 0],
        "mean": [0, -3],
        "std": [0, 0],
        "max": [0, -3],
        "active_share": [0, 0],
        "dead_channels": [1],
    }


def test_channels_come_in_the_order_asked_for(pencil: LoadedModel) -> None:
    explanation = nets.explain(pencil, "activations", layers="conv", channels="1,0,1")
    assert np.array_equal(explanation.arrays["conv"], MAPS[..., [1, 0, 1]])
    assert explanation.statistics["conv"]["channels"] == [1, 0, 1]
    assert explanation.statistics["conv"]["max"] == [3, 4, 3]


def test_a_channel_there_is_not(pencil: LoadedModel) -> None:
    with pytest.raises(InvalidParameter, match="layer 'conv' has the channels 0 to 1, not 0-2$"):
        nets.explain(pencil, "activations", layers="conv", channels="0-2")


def test_dead_channels_are_named() -> None:
    model = nets.loaded(nets.pencil())
    explanation = nets.explain(model, "activations", np.abs(nets.IMAGE), layers="conv")
    assert explanation.statistics["conv"]["dead_channels"] == [1]
    assert [(warned.code, warned.detail) for warned in explanation.warnings] == [
        ("dead_channels", "1 channels of 'conv' are 0 everywhere: [1]")
    ]


def test_vectors_are_one_row(pencil: LoadedModel) -> None:
    explanation = nets.explain(pencil, "activations", layers="gap,scores,scores:linear")
    arrays = explanation.arrays
    np.testing.assert_allclose(arrays["gap"][..., 0], [[7 / 6, 4 / 6]], rtol=1e-6)
    np.testing.assert_allclose(arrays["scores"][..., 0], [nets.softmax(nets.LOGITS)], rtol=1e-5)
    np.testing.assert_allclose(arrays["scores:linear"][..., 0], [nets.LOGITS], rtol=1e-6)
    assert list(arrays) == ["gap", "scores", "scores:linear"]


@pytest.mark.parametrize("names", ["0-2", "conv,gap,scores", "-3,-2,-1", ["0", 1, "2"]])
def test_layers_by_index_and_name(names: Any) -> None:
    model = nets.loaded(nets.pencil_sequential())
    explanation = nets.explain(model, "activations", layers=names)
    assert list(explanation.arrays) == ["conv", "gap", "scores"]
    assert np.array_equal(explanation.arrays["conv"], MAPS)


def test_the_input_is_a_layer_too(pencil: LoadedModel) -> None:
    assert np.array_equal(nets.explain(pencil, "activations", layers="0").arrays["image"], nets.IMAGE[0])


def test_one_pass_for_many_layers_and_one_trace_for_many_images(pencil: LoadedModel) -> None:
    model = nets.loaded(nets.pencil())
    for factor in (1, 2, 3):
        found = nets.explain(model, "activations", factor * nets.IMAGE, layers="conv,gap").arrays
        assert np.array_equal(found["conv"], factor * MAPS)
    assert model.backend.traces == 1


def test_only_what_is_needed_is_computed() -> None:
    seen: list[str] = []
    model = nets.loaded(nets.pencil())
    run = type(model.graph).run

    def watching(graph: Any, feeds: Any, fetches: Any, watch: Any = None) -> Any:
        return run(graph, feeds, fetches, lambda tensor, value: seen.append(tensor.path) or value)

    type(model.graph).run = watching  # type: ignore[method-assign]
    try:
        nets.explain(model, "activations", layers="conv")
    finally:
        type(model.graph).run = run  # type: ignore[method-assign]
    assert seen == ["image", "conv:linear", "conv"]


def test_shapes_that_are_no_maps() -> None:
    x = keras.Input((2, 3, 1))
    model = nets.loaded(keras.Model(x, layers.Reshape((3, 2), name="rows")(x)))
    with pytest.raises(MethodNotValid, match=r"layer 'rows' has the output shape \(3, 2\); feature maps need"):
        nets.explain(model, "activations", layers="rows")
    with pytest.raises(UnknownLayer, match="there is no layer 'row'"):
        nets.explain(model, "activations", layers="row")


def deep(count: int) -> Any:
    steps = [layers.Conv2D(1, 1, name=f"conv_{index}") for index in range(count)]
    return [keras.Input((4, 4, 1)), *steps]


def test_defaults_are_convolutions_and_poolings() -> None:
    net = keras.Sequential(
        [
            *deep(2),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.MaxPooling2D(name="pool"),
            layers.Dropout(0.1),
            layers.SeparableConv2D(2, 1, name="separable"),
            layers.Flatten(),
            layers.Dense(4),
            layers.Reshape((2, 2, 1)),
            layers.Conv2D(1, 1, name="decoder"),
        ]
    )
    assert default_layers(canonical(net)) == ("conv_0", "conv_1", "pool", "separable")


def test_defaults_are_twelve_at_most() -> None:
    model = nets.loaded(keras.Sequential(deep(14)))
    assert default_layers(model.graph) == tuple(f"conv_{index}" for index in range(12))
    image = np.ones((1, 4, 4, 1), np.float32)
    for layer in model.keras_model.layers:
        layer.set_weights([np.array([[[[2]]]], np.float32), np.zeros(1, np.float32)])
    explanation = nets.explain(model, "activations", image)
    assert [float(maps[0, 0, 0]) for maps in explanation.arrays.values()] == [2.0**power for power in range(1, 13)]
    eight = nets.explain(model, "activations", image, layers="0-7").arrays
    assert [float(maps[0, 0, 0]) for maps in eight.values()] == [2.0**power for power in range(1, 9)]


def test_defaults_reach_into_nested_models() -> None:
    inner = keras.Sequential(deep(2), name="inner")
    x = keras.Input((4, 4, 1))
    net = keras.Model(x, layers.GlobalAveragePooling2D()(inner(x)))
    assert default_layers(canonical(net)) == ("inner/conv_0", "inner/conv_1")


def test_no_default_without_a_convolution() -> None:
    with pytest.raises(MethodNotValid, match="the model has no convolution or pooling layer; name the layers"):
        nets.explain(nets.loaded(nets.without_maps()), "activations")


def test_arrays_of_one_call_survive_the_next(pencil: LoadedModel) -> None:
    first = nets.explain(pencil, "activations", layers="conv").arrays["conv"]
    copy = first.copy()
    nets.explain(pencil, "activations", 5 * nets.IMAGE, layers="conv")
    assert np.array_equal(first, copy)


def test_half_precision_networks_answer_in_float32() -> None:
    policy = keras.DTypePolicy("mixed_float16")
    x = keras.Input((2, 3, 1))
    conv = layers.Conv2D(2, 1, activation="relu", use_bias=False, dtype=policy, name="conv")
    net = keras.Model(x, layers.GlobalAveragePooling2D(dtype=policy)(conv(x)))
    conv.set_weights([np.array([[[[1, -1]]]], np.float32)])
    model = nets.loaded(net)
    found = nets.explain(model, "activations", layers="conv").arrays["conv"]
    assert found.dtype == np.float32
    assert np.array_equal(found, MAPS)
    cam = nets.explain(model, "cam", target="0").arrays["heatmap"]
    np.testing.assert_allclose(cam, nets.POSITIVE / 6, rtol=1e-3)
