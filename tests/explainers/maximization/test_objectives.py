"""What is maximized, in numbers on the photograph of the pencil network, and what is refused.

The ascent starts from IMAGE, so the objective at its start is that of IMAGE: see `nets`.
"""

from __future__ import annotations

from typing import Any

import keras
import nets
import numpy as np
import pytest
from pydantic import ValidationError

from service.errors import InvalidParameter, MethodNotValid, UnknownLayer
from service.explainers.maximization.objectives import MAX_IMAGES, Objective, no_objective
from service.models.graph.graph import Tensor
from service.models.loaded import LoadedModel


@pytest.fixture(scope="module")
def pencil() -> LoadedModel:
    return nets.loaded(nets.pencil(), labels=("cup", "dog", "cat", "owl"))


def start(model: LoadedModel, **params: Any) -> list[float]:
    found = nets.explain(model, "maximization", nets.IMAGE, init="image", steps=1, preset="chollet", **params)
    return found.arrays["start"].tolist()


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"layer": "conv", "channels": "0,1"}, [7 / 6, 4 / 6]),
        ({"layer": "conv", "channels": "1,0,1"}, [4 / 6, 7 / 6, 4 / 6]),
        ({"layer": "conv:linear", "channels": "1"}, [-3 / 6]),
        ({"layer": "conv", "neuron": "1,2,0"}, [4]),
        ({"layer": "conv", "neuron": "1,1,1"}, [3]),
        ({"layer": "conv", "direction": "2,-3"}, [1 / 3]),
        ({"layer": "conv"}, [1 + 4 + 16 + 1 + 9]),
        ({"layer": "gap", "channels": "1"}, [4 / 6]),
        ({"layer": "gap", "neuron": "0"}, [7 / 6]),
        ({"layer": "gap", "direction": [6, 12]}, [7 + 8]),
        ({"layer": "gap"}, [65 / 36]),
        ({"layer": "scores:linear", "channels": "0-3"}, nets.LOGITS.tolist()),
        ({"layer": "scores", "channels": "1"}, [nets.softmax(nets.LOGITS)[1]]),
        ({"target": "1"}, [9]),
        ({"target": "owl, cup"}, [-11, 7]),
        ({"target": "1-3"}, [20]),
        ({"target": "neuron:conv:1,2,0"}, [4]),
        ({"target": "neuron:conv:1"}, [4 / 6]),
        ({"target": "neuron:gap:0"}, [7 / 6]),
    ],
)
def test_by_hand(pencil: LoadedModel, params: dict[str, Any], expected: list[float]) -> None:
    np.testing.assert_allclose(start(pencil, **params), expected, rtol=1e-4)


def test_a_class_of_one_sigmoid_unit() -> None:
    """z = 0.5: class 1 is +z, class 0 is -z."""
    np.testing.assert_allclose(start(nets.loaded(nets.sigmoid_unit()), target="1,0"), [0.5, -0.5], rtol=1e-4)


def test_another_output() -> None:
    model = nets.loaded(nets.two_outputs())
    np.testing.assert_allclose(start(model, target="1", output="indoors"), [0.5], rtol=1e-4)
    np.testing.assert_allclose(start(model, target="1", output="animals"), [9], rtol=1e-4)


@pytest.mark.parametrize(("border", "expected"), [(0, 12), (1, 12), (2, 12), (9, 12)])
def test_borders_are_left_out_but_for_one_cell(border: int, expected: float) -> None:
    """The middle of 0 … 24 is 12 for every border; with a spike in the corner it is not."""
    value = np.arange(25, dtype=np.float32).reshape(1, 5, 5, 1)
    value[0, 0, 0] = 100
    objective = Objective("channels", Tensor("a", (None, 5, 5, 1), "float32"), np.ones((1, 1)), ("0",), (0,), "")
    found = float(objective.features(keras.ops, keras.ops.convert_to_tensor(value), None, border)[0, 0])
    assert found == pytest.approx(expected + (4 if border == 0 else 0))


def test_names_and_titles(pencil: LoadedModel) -> None:
    def said(**params: Any) -> tuple[list[str], str]:
        found = nets.explain(pencil, "maximization", nets.IMAGE, steps=1, preset="chollet", **params)
        return [row["name"] for row in found.statistics["images"]], found.titles["images"]

    assert said(layer="conv", channels="0,1") == (["0", "1"], "conv · 2 of 2 channels · chollet, 1 steps · 2×3 px")
    assert said(layer="gap", channels="1") == (["1"], "gap · unit 1 · chollet, 1 steps · 2×3 px")
    assert said(layer="conv", neuron="1,2,0")[0] == ["1,2,0"]
    assert said(layer="conv")[1].startswith("conv · as a whole")
    assert said(target="owl,1-3")[0] == ["owl", "dog-owl"]
    assert said(target="2")[1].startswith("scores · cat")


WHAT = "it must be clear what to maximize: write either layer="


@pytest.mark.parametrize(
    ("params", "error", "sentence"),
    [
        ({}, ValidationError, WHAT),
        ({"layer": "conv", "target": "1"}, ValidationError, WHAT),
        ({"channels": "1"}, ValidationError, WHAT),
        ({"target": "1", "channels": "1"}, ValidationError, WHAT),
        ({"layer": "conv", "channels": "1", "neuron": "0,0,0"}, ValidationError, WHAT),
        ({"layer": "conv", "channels": "0-2"}, InvalidParameter, "'conv' has the channels 0 to 1, not 0-2"),
        ({"layer": "scores", "channels": "0-600"}, InvalidParameter, "has the channels 0 to 3, not 0-600"),
        ({"layer": "conv", "neuron": "1"}, InvalidParameter, "has the shape .2, 3, 2.: write neuron as row,column,ch"),
        ({"layer": "gap", "neuron": "1,1,1"}, InvalidParameter, "write neuron as the index of a unit"),
        ({"layer": "conv", "neuron": "2,0,0"}, InvalidParameter, "neuron 2,0,0 lies outside layer 'conv'"),
        ({"layer": "conv", "direction": "1"}, InvalidParameter, "has 2 channels, and direction 1 numbers"),
        ({"layer": "conv", "direction": [1e39, 0]}, ValidationError, "must fit float32"),
        ({"layer": "conv", "direction": "0,0"}, ValidationError, "leads nowhere"),
        ({"target": "top1"}, ValidationError, "is a rank in the prediction for an image, and there is none"),
        ({"layer": "konv"}, UnknownLayer, "there is no layer 'konv'; the closest is 'conv'"),
        ({"layer": "gap:linear"}, UnknownLayer, "no activation of its own"),
        ({"layer": "image"}, MethodNotValid, "it is the image itself"),
    ],
)
def test_what_is_refused(pencil: LoadedModel, params: dict[str, Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        start(pencil, **params)


def test_too_many_images(pencil: LoadedModel) -> None:
    with pytest.raises(InvalidParameter, match=f"513 channels are more than the {MAX_IMAGES} images"):
        start(pencil, layer="conv", channels=",".join("0" for _ in range(513)))


def test_layers_that_can_be_maximized(pencil: LoadedModel) -> None:
    reasons = {entry.path: no_objective(entry) for entry in pencil.graph.layers}
    assert reasons == {"image": "it is the image itself", "conv": None, "gap": None, "scores": None}
