"""Gradients in their colours: red is red whatever the order of the network's channels, and zero is mid grey."""

from __future__ import annotations

from typing import Any

import keras
import nets
import numpy as np
import pytest
from keras import layers
from pydantic import ValidationError

from service.errors import MethodNotValid
from service.explainers.saliency.params import SaliencyParams
from service.models.files.spec import InputSpec, Preprocessing
from service.models.loaded import LoadedModel

KERNEL = np.arange(1, 19, dtype=np.float32).reshape(2, 3, 3) * [1, -1, 2]
IMAGE = np.ones((1, 2, 3, 3), np.float32)


def linear(**spec: Any) -> LoadedModel:
    """Score 0 is Σ KERNEL·x, score 1 is 0."""
    image = keras.Input((2, 3, 3), name="image")
    scores = layers.Dense(2, name="scores")
    model = keras.Model(image, scores(layers.Flatten()(image)))
    scores.set_weights([np.stack([KERNEL.ravel(), 0 * KERNEL.ravel()], axis=1), np.zeros(2, np.float32)])
    return nets.loaded(model, **spec)


def explained(model: LoadedModel, image: np.ndarray = IMAGE, /, **params: Any) -> Any:
    return nets.explain(model, "saliency", image, target="0", reduce="rgb", **params)


@pytest.mark.parametrize(
    ("spec", "order"),
    [
        ({}, [0, 1, 2]),
        ({"input": InputSpec(colour_order="bgr")}, [2, 1, 0]),
        ({"preprocessing": Preprocessing(mode="caffe")}, [2, 1, 0]),
        ({"preprocessing": Preprocessing(mode="torch")}, [0, 1, 2]),
    ],
)
def test_red_green_and_blue(spec: dict[str, Any], order: list[int]) -> None:
    found = explained(linear(**spec))
    np.testing.assert_allclose(found.arrays["heatmap"], KERNEL[..., order], rtol=1e-6)
    np.testing.assert_allclose(found.arrays["gradient"], KERNEL, rtol=1e-6)
    assert (found.scale, found.parameters["sign"], found.parameters["colormap"]) == ("symmetric", "signed", None)


def test_signs() -> None:
    for sign, expected in {"absolute": np.abs(KERNEL), "positive": np.maximum(KERNEL, 0), "signed": KERNEL}.items():
        found = explained(linear(), sign=sign)
        np.testing.assert_allclose(found.arrays["heatmap"], expected, rtol=1e-6)
        assert found.scale == ("symmetric" if sign == "signed" else "max")


@pytest.mark.parametrize(
    ("net", "method", "words"),
    [
        (nets.pencil, "gradient", "the model takes 1 channel;"),
        (nets.random_net, "gradient", "the model takes 2 channels;"),
        (lambda: nets.any_size_net(side=9), "fullgrad", "fullgrad gives one map without colours"),
        (lambda: nets.any_size_net(side=9), "xrai", "xrai gives one map without colours"),
    ],
)
def test_where_there_are_no_colours(net: Any, method: str, words: str) -> None:
    model = nets.loaded(net())
    with pytest.raises(MethodNotValid, match=words):
        explained(model, np.zeros(model.input_shape.batch, np.float32), method=method)


def test_a_table_of_colours_is_for_one_value() -> None:
    with pytest.raises(ValidationError, match="own colours"):
        SaliencyParams(reduce="rgb", colormap="jet")


@pytest.mark.parametrize(
    ("params", "sign"),
    [({}, "absolute"), ({"reduce": "l2"}, "absolute"), ({"method": "xrai"}, "signed"), ({"sign": "positive"}, None)],
)
def test_the_usual_sign(params: dict[str, Any], sign: str | None) -> None:
    found = nets.explain(linear(), "saliency", IMAGE, target="0", **params)
    assert found.parameters["sign"] == (sign or params["sign"])
