"""Finer-CAM: on paper, against contrasts, and what it cannot compare."""

from __future__ import annotations

from typing import Any

import nets
import numpy as np
import pytest
from pydantic import ValidationError

from service.errors import InvalidParameter, MethodNotValid
from service.explainers import BY_NAME
from service.explainers.cam.finer import nearest_classes
from service.models.loaded import LoadedModel

LABELS = ("ant", "bee", "cat", "dog")


@pytest.fixture(scope="module")
def pencil() -> LoadedModel:
    return nets.loaded(nets.pencil(), labels=LABELS)


def finer(model: LoadedModel, **params: Any) -> Any:
    return nets.explain(model, "cam", params.pop("image", nets.IMAGE), method="finercam", **params)


@pytest.mark.parametrize(
    ("target", "params", "weights", "compared_with"),
    [
        # Scores 7, 9, -3, -11; the weights of A_0 and A_1 are columns of [[6, 0, -6, -6], [0, 12, 6, -6]] over 6.
        ("0", {}, (1, -2), ["bee"]),
        ("1", {}, (-1, 2), ["ant"]),
        ("2", {}, (0, 2), ["dog"]),
        ("0", {"strength": 0.5}, (1, -1), ["bee"]),
        ("0", {"strength": 0}, (1, 0), ["bee"]),
        ("0", {"references": 2}, (1.5, -1.5), ["bee", "cat"]),
        ("0", {"references": 3}, (1 + 2 / 3, -2 / 3), ["bee", "cat", "dog"]),
        ("top1", {"references": 2, "strength": 2}, (0, 1), ["ant", "cat"]),
    ],
)
def test_on_paper(
    pencil: LoadedModel, target: str, params: dict[str, Any], weights: tuple[float, float], compared_with: list[str]
) -> None:
    found = finer(pencil, target=target, **params)
    expected = np.maximum(weights[0] * nets.POSITIVE + weights[1] * nets.NEGATIVE, 0)
    np.testing.assert_allclose(found.arrays["heatmap"], expected, rtol=1e-5, atol=1e-6)
    assert found.parameters == {"layer": "conv", "compared_with": [compared_with]}


def test_with_one_class_in_full_it_is_gradcam_of_the_contrast(pencil: LoadedModel) -> None:
    found = finer(pencil, target="top3")
    contrasts = nets.explain(pencil, "cam", method="gradcam", target="1-0,0-1,2-3")
    for own, contrast in zip(found.maps, contrasts.maps, strict=True):
        np.testing.assert_allclose(found.arrays[own], contrasts.arrays[contrast], rtol=1e-6)
    assert found.parameters["compared_with"] == [["ant"], ["bee"], ["dog"]]


def test_a_single_unit_is_compared_with_its_other_side() -> None:
    model = nets.loaded(nets.sigmoid_unit())
    found = finer(model, target="1")
    np.testing.assert_allclose(found.arrays["heatmap"], 2 * 0.5 * nets.POSITIVE, rtol=1e-6)
    assert found.parameters["compared_with"] == [[0]]


def test_of_equal_scores_the_first_is_nearest() -> None:
    scores = np.array([4, 1, 3, 5, 3], np.float32)
    assert nearest_classes(scores, 0, 4) == [2, 3, 4, 1]
    assert nearest_classes(scores, 2, 2) == [4, 0]


def test_the_views_of_an_image_are_compared_with_its_own_nearest() -> None:
    """The scores of the image times f are 7f, 8f, 7f + 1.05: from f = 1.05 on, the nearest to class 0 is class 2, by
    which its map would be 0."""
    net = nets.pencil()
    kernel = np.array([[6, 0, 6, 0], [0, 12, 0, 0]], np.float32)
    net.get_layer("scores").set_weights([kernel, np.array([0, 0, 1.05, -50], np.float32)])
    model = nets.loaded(net)
    for factor, nearest in ((1, 1), (1.1, 2)):
        assert finer(model, image=np.float32(factor) * nets.IMAGE, target="0").parameters["compared_with"] == [
            [nearest]
        ]
    found = finer(model, target="0", smooth="augment")
    assert found.parameters["compared_with"] == [[1]]
    np.testing.assert_allclose(found.arrays["heatmap"], nets.POSITIVE, rtol=1e-5)


@pytest.mark.parametrize(
    ("target", "params", "error", "words"),
    [
        ("0-1", {}, MethodNotValid, "a contrast is a comparison already"),
        ("neuron:conv:0", {}, MethodNotValid, "the target is a neuron"),
        ("0", {"references": 4}, InvalidParameter, "references=4: beside the target the model has 3 classes"),
    ],
)
def test_what_cannot_be_compared(
    pencil: LoadedModel, target: str, params: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        finer(pencil, target=target, **params)


def test_a_model_without_another_class() -> None:
    one = nets.loaded(nets.sigmoid_unit(), head="values")
    with pytest.raises(MethodNotValid, match="the model has one score"):
        finer(one, target="0")
    problem = BY_NAME["cam"].problem
    assert "has one score" in (problem("finercam", one.graph, one.head) or "")
    maps = nets.loaded(nets.segmentation())
    assert "no vector of class scores" in (problem("finercam", maps.graph, maps.head) or "")
    pencil = nets.loaded(nets.pencil())
    assert problem("finercam", pencil.graph, pencil.head) is None


@pytest.mark.parametrize("wrong", [{"references": 0}, {"references": 101}, {"strength": -0.1}, {"strength": 11}])
def test_beyond_its_range(pencil: LoadedModel, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        finer(pencil, target="0", **wrong)
