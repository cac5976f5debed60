"""The layer whose map is taken: the default one, those that are valid, and what is said of others."""

from __future__ import annotations

import keras
import nets
import pytest
from keras import layers

from service.errors import MethodNotValid, UnknownLayer
from service.explainers.base import Progress
from service.explainers.layers import default_layer, lacks_map, layer_for, why_no_map
from service.explainers.subject import Subject
from service.explainers.targets import parse_targets
from service.models.graph.canonical import canonical
from service.models.loaded import LoadedModel


def subject(model: LoadedModel, target: str = "top1") -> Subject:
    targets = parse_targets(target, model.graph, model.head, ())
    return Subject(model.backend, model.graph, nets.network_input(model, nets.IMAGE), targets, Progress())


def test_a_model_without_maps() -> None:
    x = keras.Input((5,))
    with pytest.raises(MethodNotValid, match="the model has no layer with a spatial map"):
        default_layer(canonical(keras.Model(x, layers.Dense(2)(x))))
    with pytest.raises(MethodNotValid, match="the model has no layer with a spatial map"):
        nets.explain(nets.loaded(nets.without_maps()), "cam")


def test_default_layer_is_the_last_map_that_is_no_pooling() -> None:
    tail = [layers.MaxPooling2D(), layers.SpatialDropout2D(0.1), layers.ZeroPadding2D(), layers.Cropping2D()]
    head = [layers.GlobalAveragePooling2D(keepdims=True), layers.Conv2D(3, 1, name="one_cell"), layers.Flatten()]
    body = [keras.Input((8, 8, 1)), layers.Conv2D(2, 3, name="conv"), layers.ReLU(name="relu")]
    net = keras.Sequential([*body, *tail, *head])
    assert default_layer(canonical(net)).path == "relu"
    x = keras.Input((8, 8, 1))
    nested = keras.Model(x, layers.Flatten()(keras.Sequential(body, name="backbone")(x)))
    assert default_layer(canonical(nested)).path == "backbone/relu"


def test_a_layer_is_that_of_the_name_or_the_default() -> None:
    asked = subject(nets.loaded(nets.pencil()))
    assert layer_for(asked, None, "any").path == "conv"
    assert layer_for(asked, "image", "any").path == "image"
    assert layer_for(asked, "1", "any").path == "conv"
    with pytest.raises(UnknownLayer):
        layer_for(asked, "conv3", "any")


def test_a_layer_without_a_map_is_refused_with_those_that_have_one() -> None:
    asked = subject(nets.loaded(nets.pencil()))
    expected = r"layer 'gap' cannot be used for any: its output has the shape \(2,\), .*; valid layers are image, conv$"
    with pytest.raises(MethodNotValid, match=expected):
        layer_for(asked, "gap", "any")
    assert why_no_map(asked.graph.entry("conv")) is None
    assert "not (height, width, channels)" in str(why_no_map(asked.graph.entry("gap")))


def test_a_layer_that_the_score_does_not_depend_on_is_refused() -> None:
    with pytest.raises(MethodNotValid, match="the score does not depend on layer 'conv'; valid layers are image, conv"):
        layer_for(subject(nets.loaded(nets.pencil()), "neuron:image:0,0,0"), "conv", "any")


def test_what_is_said_of_a_model_without_maps() -> None:
    assert lacks_map(nets.loaded(nets.pencil()).graph) is None
    assert lacks_map(nets.loaded(nets.without_maps()).graph) == (
        "the model has no layer with a spatial map (height, width, channels)"
    )
