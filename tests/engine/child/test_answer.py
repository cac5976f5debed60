"""What is not finite is blamed on what made it so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from service.engine.child.answer import answer, check_finite, network_input
from service.errors import NonFiniteResult
from service.explainers import BY_NAME
from service.explainers.base import Explanation
from service.models.files.entries import spec_of_file
from service.models.loaded import LoadedModel, load_model
from tests import nets


def network(**broken: Any) -> Any:
    """Two convolutions, a normalisation, a nested model with a dense layer; `broken` are values for weights."""
    image = keras.Input((4, 4, 1), name="image")
    x = layers.Conv2D(3, 3, name="first")(image)
    x = layers.BatchNormalization(name="norm")(x)
    inner_input = keras.Input((2, 2, 3), name="maps")
    inner = layers.Dense(2, name="scores")(layers.Flatten(name="flat")(layers.Conv2D(3, 1, name="second")(inner_input)))
    model = keras.Model(image, keras.Model(inner_input, inner, name="head")(x), name="broken")
    for layer, place, value in broken.values():
        found = model.get_layer("head").get_layer(layer) if layer in ("second", "scores") else model.get_layer(layer)
        weights = found.get_weights()
        weights[place].flat[0] = value
        found.set_weights(weights)
    return model


def refused(model: LoadedModel, image: np.ndarray, method: str = "predict", **params: Any) -> str:
    with np.errstate(all="ignore"):
        found = nets.explain(model, method, image, **params)
    with pytest.raises(NonFiniteResult) as caught:
        check_finite(model.graph, network_input(model, image[0], False), found)
    return str(caught.value.detail)


ORDINARY = np.ones((1, 4, 4, 1), np.float32)


@pytest.mark.parametrize("generation", [3, 2])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("layer", "place", "path", "name", "size"),
    [
        ("first", 0, "first", "kernel", 27),
        ("first", 1, "first", "bias", 3),
        ("norm", 2, "norm", "moving_mean", 3),
        ("second", 0, "head/second", "kernel", 9),
        ("scores", 1, "head/scores", "bias", 2),
    ],
)
def test_the_weights(generation: int, value: float, layer: str, place: int, path: str, name: str, size: int) -> None:
    model = network(broken=(layer, place, value))
    if generation == 2:
        # The twin of Keras 2 is made of networks without nested models.
        inner = model.get_layer("head")
        model = nets.in_keras_2(keras.Sequential([model.layers[0], *model.layers[1:3], *inner.layers[1:]]))
        path = layer
    said = refused(nets.loaded(model), ORDINARY)
    assert said == (
        f"the weights of the model are not finite, whatever the image: {name!r} of layer {path!r} holds NaN or "
        f"infinity in 1 of its {size} numbers"
    )


@pytest.mark.parametrize(("method", "params"), [("saliency", {}), ("cam", {"layer": "first"}), ("occlusion", {})])
def test_whatever_the_method(method: str, params: dict[str, Any]) -> None:
    said = refused(nets.loaded(network(broken=("second", 0, np.nan))), ORDINARY, method, **params)
    assert "'kernel' of layer 'head/second'" in said


def test_the_image_where_the_weights_are_finite() -> None:
    said = refused(nets.loaded(network(large=("first", 0, 1e38))), ORDINARY * 1e30)
    assert said == "the network overflows on this image: layer 'first' is the first that is not finite"


def test_the_image_where_only_later_weights_are_not_finite() -> None:
    """What comes first is to blame."""
    broken = network(large=("first", 0, 1e38), later=("scores", 0, np.nan))
    assert "overflows on this image: layer 'first'" in refused(nets.loaded(broken), ORDINARY * 1e30)


def test_nan_that_a_relu_swallows_is_said_with_every_answer(tmp_path: Path) -> None:
    """Where the processor makes 0 of max(NaN, 0), every number of the answer is finite."""
    model = nets.pencil()
    kernel, _ = model.get_layer("scores").get_weights()
    weights = model.get_layer("conv").get_weights()
    weights[0].flat[0] = np.nan
    model.get_layer("conv").set_weights(weights)
    model.save(tmp_path / "swallowed.keras")
    loaded = load_model(spec_of_file(tmp_path / "swallowed.keras"), tmp_path)
    said = "'kernel' of layer 'conv' holds NaN or infinity in 1 of its 2 numbers"
    assert sum(said in note for note in loaded.notes) == 1
    explainer = BY_NAME["kernels"]
    params = explainer.Params.model_validate({"layer": "scores"})
    found = Explanation({"kernels": kernel}, "kernels")
    (warning,) = answer(loaded, explainer, params, found, 5).warnings
    assert warning.code == "weights_not_finite"
    assert said in warning.detail
