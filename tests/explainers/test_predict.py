"""Predictions, and the answer the engine makes of an explanation."""

from __future__ import annotations

from typing import Any

import keras
import nets
import numpy as np
import pytest
from keras import layers

from service.contract.models import LayerFound, LayerList, Summary
from service.contract.questions import Compute, DescribeLayer, ListLayers, Load, Summarize
from service.engine.child.operations import Operations
from service.errors import InvalidParameter, NonFiniteResult, UnknownClass, UnknownLayer
from service.explainers.base import Progress
from service.models.loaded import LoadedModel

LABELS = ("cup", "dog", "cat", "owl")
PROBABILITIES = nets.softmax(nets.LOGITS)


@pytest.fixture(scope="module")
def pencil() -> LoadedModel:
    return nets.loaded(nets.pencil(), labels=LABELS)


def ask(
    model: LoadedModel,
    method: str,
    image: np.ndarray = nets.IMAGE[0],
    *,
    top: int = 5,
    preprocess: Any = False,
    **params: Any,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    asked = Compute(methods=[{"name": method, "params": params}], top=top, preprocess=preprocess)
    answer, arrays = Operations(5000, 50_000).explain(model, asked, {"image": image}, Progress(), model.backend)
    said = answer.model_dump(mode="json")
    (result,) = said.pop("results")
    return said | result, {name.removeprefix("0/"): array for name, array in arrays.items()}


def test_logits(pencil: LoadedModel) -> None:
    explanation = nets.explain(pencil, "predict")
    assert explanation.primary == "logits"
    assert explanation.arrays["logits"].dtype == np.float32
    np.testing.assert_allclose(explanation.arrays["logits"], nets.LOGITS, rtol=1e-6)


def test_predictions_come_most_probable_first(pencil: LoadedModel) -> None:
    answer, _ = ask(pencil, "predict")
    rows = answer["predictions"]
    assert [(row["class_index"], row["label"]) for row in rows] == [(1, "dog"), (0, "cup"), (2, "cat"), (3, "owl")]
    np.testing.assert_allclose([row["probability"] for row in rows], PROBABILITIES[[1, 0, 2, 3]], rtol=1e-5)
    np.testing.assert_allclose([row["logit"] for row in rows], [9, 7, -3, -11], rtol=1e-6)
    assert answer["target"] is None


@pytest.mark.parametrize(("top", "count"), [(1, 1), (2, 2), (4, 4), (1000, 4)])
def test_top(pencil: LoadedModel, top: int, count: int) -> None:
    assert len(ask(pencil, "predict", top=top)[0]["predictions"]) == count


def test_a_single_sigmoid_unit_has_two_rows() -> None:
    rows = ask(nets.loaded(nets.sigmoid_unit(), labels=("no", "yes")), "predict")[0]["predictions"]
    assert [(row["class_index"], row["label"]) for row in rows] == [(1, "yes"), (0, "no")]
    np.testing.assert_allclose([row["probability"] for row in rows], [0.62245933, 0.37754067], rtol=1e-5)
    np.testing.assert_allclose([row["logit"] for row in rows], [0.5, -0.5], rtol=1e-5)


def test_a_relu_head_has_no_probabilities() -> None:
    rows = ask(nets.loaded(nets.pencil("relu")), "predict")[0]["predictions"]
    assert [(row["class_index"], row["probability"]) for row in rows] == [(1, None), (0, None), (2, None), (3, None)]
    np.testing.assert_allclose([row["score"] for row in rows], [9, 7, 0, 0], rtol=1e-6)
    assert [row["logit"] for row in rows] == [None] * 4


def test_the_answer_names_everything(pencil: LoadedModel) -> None:
    answer, arrays = ask(pencil, "cam", target="cup", alpha=0.5)
    assert answer["model"] == {"id": "tiny", "digest": pencil.digest}
    method = answer["method"]
    assert (method["name"], method["variant"]) == ("cam", "gradcam")
    assert method["reference"] == "https://arxiv.org/abs/1610.02391"
    assert method["parameters"].items() >= {"layer": "conv", "alpha": 0.5, "target": "cup", "method": "gradcam"}.items()
    target = answer["target"]
    assert (target["class_index"], target["label"], target["score_kind"]) == (0, "cup", "logit")
    assert target["score"] == pytest.approx(7, rel=1e-6)
    assert target["probability"] == pytest.approx(PROBABILITIES[0], rel=1e-5)
    assert answer["input_size"] == [2, 3]
    assert answer["region"] == [0, 0, 2, 3]
    np.testing.assert_allclose(arrays["heatmap"], nets.POSITIVE, rtol=1e-6)


def test_top1_and_contrast(pencil: LoadedModel) -> None:
    top = ask(pencil, "cam")[0]["target"]
    assert (top["class_index"], top["label"]) == (1, "dog")
    assert top["score"] == pytest.approx(9, rel=1e-6)
    contrast = ask(pencil, "cam", target="cup-cat")[0]["target"]
    assert contrast["score"] == pytest.approx(7 - -3, rel=1e-6)
    assert (contrast["minus"]["class_index"], contrast["minus"]["label"]) == (2, "cat")
    assert contrast["minus"]["logit"] == pytest.approx(-3, rel=1e-5)


def test_score_kind_of_a_relu_head() -> None:
    assert ask(nets.loaded(nets.pencil("relu")), "cam")[0]["target"]["score_kind"] == "value"


def test_preprocessing(pencil: LoadedModel) -> None:
    image = np.array([[[255], [0], [51]], [[0], [102], [0]]], np.uint8)
    answer, arrays = ask(pencil, "activations", image, preprocess=True, layers="image")
    np.testing.assert_allclose(arrays["image"][..., 0], [[1, 0, 0.2], [0, 0.4, 0]], rtol=1e-6)
    assert "preprocessing_assumed" not in [item["code"] for item in answer["warnings"]]


def test_region_of_a_crop() -> None:
    model = nets.loaded(nets.pencil(), input={"resize": "crop"})
    answer, _ = ask(model, "predict", np.zeros((2, 5, 3), np.uint8), preprocess=True)
    assert answer["region"] == [0, 1, 2, 3]


def test_as_it_is_needs_the_shape(pencil: LoadedModel) -> None:
    with pytest.raises(InvalidParameter, match=r"with preprocess=false the array must be \(2, 3, 1\), got \(3, 2, 1\)"):
        ask(pencil, "predict", np.zeros((3, 2, 1), np.float32))


def test_kernels_need_no_image(pencil: LoadedModel) -> None:
    asked = Compute(methods=[{"name": "kernels", "params": {"layer": "conv"}}])
    found, arrays = Operations(5000, 50_000).explain(pencil, asked, {}, Progress(), pencil.backend)
    (answer,) = found.results
    assert arrays["0/kernels"].ravel().tolist() == [1, -1]
    assert answer.predictions == []
    assert answer.target is None


def test_the_cam_layer_of_the_spec_is_the_default() -> None:
    model = nets.loaded(nets.pencil(), cam_layer="image")
    answer, arrays = ask(model, "cam", target="0")
    assert answer["method"]["parameters"]["layer"] == "image"
    # dy_0/dx is 1 where x > 0: half of the cells.
    np.testing.assert_allclose(arrays["heatmap"], 0.5 * nets.POSITIVE, rtol=1e-6)


def test_values_that_are_not_finite() -> None:
    x = keras.Input((2, 3, 1))
    logarithm = nets.loaded(keras.Model(x, keras.ops.log(layers.GlobalAveragePooling2D(name="gap")(x))))
    with pytest.raises(NonFiniteResult, match="the network overflows on this image: layer"):
        ask(logarithm, "predict", np.zeros((2, 3, 1), np.float32))


@pytest.mark.parametrize(
    ("params", "error"),
    [({"target": "horse"}, UnknownClass), ({"target": "9"}, UnknownClass), ({"layer": "x"}, UnknownLayer)],
)
def test_what_there_is_not(pencil: LoadedModel, params: dict[str, str], error: type[Exception]) -> None:
    with pytest.raises(error):
        ask(pencil, "cam", **params)


def test_layers_and_summary(pencil: LoadedModel) -> None:
    operations = Operations(5000, 50_000)
    found = operations.tell(pencil, ListLayers())
    assert isinstance(found, LayerList)
    assert [row.path for row in found.layers] == ["image", "conv", "gap", "scores"]
    one = operations.tell(pencil, DescribeLayer(layer="-1"))
    assert isinstance(one, LayerFound)
    assert one.path == "scores"
    summary = operations.tell(pencil, Summarize(width=80))
    assert isinstance(summary, Summary)
    assert summary.rows == found.layers
    with pytest.raises(TypeError, match="load is not answered"):
        operations.tell(pencil, Load())


def test_chelsea(lite0: LoadedModel, chelsea: np.ndarray) -> None:
    rows = ask(lite0, "predict", chelsea[0])[0]["predictions"]
    assert [row["label"] for row in rows[:4]] == ["Egyptian_cat", "tiger_cat", "tabby", "lynx"]
    np.testing.assert_allclose([row["probability"] for row in rows[:4]], [0.791, 0.088, 0.071, 0.010], atol=0.001)
