"""Where a method departs from its paper, or takes a choice of its own, its answer or the catalogue says so."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from service.explainers import BY_NAME
from service.models.loaded import LoadedModel
from tests import nets


@pytest.fixture(scope="module")
def pencil() -> LoadedModel:
    return nets.loaded(nets.pencil())


def variant(method: str, name: str) -> str:
    found = next(item for item in BY_NAME[method].variants if item.name == name)
    return f"{found.summary} {found.caution}"


def described(method: str, parameter: str) -> str:
    text: str = BY_NAME[method].Params.model_json_schema()["properties"][parameter]["description"]
    return text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (variant("cam", "ablationcam"), ["(y - y_k) / |y|", "paper divides by y"]),
        (variant("cam", "scorecam"), ["a logit where there is one", "constant on the image are left out"]),
        (variant("cam", "gradcam_elementwise"), ["Behind a ReLU", "it is layercam"]),
        (variant("cam", "eigengradcam"), ["correlates with Σ_k G_k·A_k", "its mean is 0"]),
        (variant("cam", "kpcacam"), ["Knows no class", "each channel's mean removed"]),
        (variant("cam", "shapleycam"), ["piecewise linear", "the paper's own", "is not used"]),
        (variant("cam", "finercam"), ["Several of them count the same", "weighs them by their probabilities"]),
        (described("cam", "layers"), ["clipped at 0, divided by its maximum", "largest"]),
        (described("cam", "smooth"), ["6 views", "correlates with the sum, clipped at 0"]),
        (variant("saliency", "guided_backprop"), ["ReLU6 is taken as a ReLU", "ceiling of 6"]),
        (variant("saliency", "deconvnet"), ["ReLU6 is taken as a ReLU"]),
        (variant("saliency", "guided_gradcam"), ["ReLU6 is taken as a ReLU"]),
        (described("saliency", "seed"), ["`default_rng([seed, i])`"]),
        (described("saliency", "baseline"), ["16th part of the input's longer side", "`black,white` for xrai"]),
        (described("saliency", "max_deviation"), ["a quarter of the input's longer side"]),
        (variant("saliency", "guided_ig"), ["gradient at its start alone, as in the paper", "200 steps do not mend"]),
        (variant("saliency", "blur_ig"), ["rim is repeated", "authors' code it is black"]),
        (variant("saliency", "xrai"), ["sums the colours", "authors' code takes the largest"]),
        (variant("saliency", "fullgrad"), ["Every layer counts alike", "ReLU6 at its ceiling"]),
        (described("occlusion", "value"), ["16th part of the input's longer side"]),
        (described("occlusion", "patch"), ["windows are cut at the edge of the input"]),
        (variant("maximization", "chollet"), ["Unlike the author's", "first 16 steps", "would not let through"]),
        (variant("maximization", "keras-io"), ["Unlike the author's", "first 16 steps"]),
        (variant("maximization", "keras-vis"), ["Unlike the author's", "first 16 steps"]),
        (variant("maximization", "lucid"), ["first 16 steps", "would not let through"]),
    ],
)
def test_the_catalogue(text: str, words: list[str]) -> None:
    for word in words:
        assert word in text


def said(model: LoadedModel, method: str, /, **params: Any) -> dict[str, Any]:
    return dict(nets.explain(model, method, nets.IMAGE, **params).parameters)


def test_by_what_ablation_divides(pencil: LoadedModel) -> None:
    """The logits are 7, 9, -3, -11: of a negative one its absolute value."""
    assert said(pencil, "cam", method="ablationcam", target="0")["divided_by"] == pytest.approx([7])
    assert said(pencil, "cam", method="ablationcam", target="3,1")["divided_by"] == pytest.approx([11, 9])


def test_which_channels_scorecam_leaves_out() -> None:
    """One of three channels is 0 everywhere."""
    image = keras.Input((2, 3, 1), name="image")
    convolution = layers.Conv2D(3, 1, activation="relu", use_bias=False, name="conv")
    pooled = layers.GlobalAveragePooling2D(name="gap")(convolution(image))
    model = keras.Model(image, layers.Dense(2, name="scores")(pooled))
    convolution.set_weights([np.array([[[[1, -1, 0]]]], np.float32)])
    parameters = said(nets.loaded(model, head="logits"), "cam", method="scorecam", max_channels=1)
    counts = {name: value for name, value in parameters.items() if name.startswith("channels")}
    assert counts == {"channels_used": 1, "channels_left_out": 1, "channels_constant": 1}


def test_the_noise(pencil: LoadedModel) -> None:
    """Its deviation in the network's own unit: the image runs from -3 to 4."""
    parameters = said(pencil, "saliency", method="smoothgrad", noise=0.2, samples=2)
    assert parameters["deviation"] == pytest.approx(0.2 * 7)
    assert "deviation" not in said(pencil, "saliency")


def test_the_blur(pencil: LoadedModel) -> None:
    """The image is 2×3 px."""
    assert said(pencil, "occlusion", value="blur")["blur_deviation"] == 3 / 16
    path = said(pencil, "saliency", method="integrated_gradients", baseline="blur", steps=2)
    assert path["blur_deviation"] == 3 / 16
    assert "blur_deviation" not in said(pencil, "occlusion")


@pytest.mark.parametrize(
    ("params", "windows", "cut"),
    [
        ({"patch": "2", "stride": "1"}, 2, 0),
        ({"patch": "2", "stride": "2"}, 2, 1),
        ({"patch": "2", "stride": "1", "paint": "cell"}, 6, 4),
    ],
)
def test_windows_that_are_cut_at_the_rim(pencil: LoadedModel, params: dict[str, str], windows: int, cut: int) -> None:
    parameters = said(pencil, "occlusion", **params)
    assert (parameters["windows"], parameters["windows_cut"]) == (windows, cut)


def test_guided_gradients_pass_a_relu6_at_its_ceiling() -> None:
    """What the catalogue says of ReLU6 is what is computed: the plain gradient is 0 there, the guided one is not."""
    image = keras.Input((1, 1, 1), name="image")
    scores = layers.Flatten(name="scores")(layers.ReLU(6.0, name="relu6")(image))
    model = nets.loaded(keras.Model(image, scores), head="logits")
    at_the_ceiling = np.full((1, 1, 1, 1), 9, np.float32)
    found = {
        method: float(nets.explain(model, "saliency", at_the_ceiling, method=method).arrays["gradient"].sum())
        for method in ("gradient", "guided_backprop", "deconvnet")
    }
    assert found == {"gradient": 0, "guided_backprop": 1, "deconvnet": 1}
