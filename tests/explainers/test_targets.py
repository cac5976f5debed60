"""Targets: a class score from the caller's text."""

from __future__ import annotations

from typing import Any

import keras
import nets
import numpy as np
import pytest

from service.errors import InvalidParameter, MethodNotValid, UnknownClass, UnknownLayer
from service.explainers.targets import class_targets, parse_targets
from service.models.files.spec import ModelSpec, labels_of
from service.models.loaded import LoadedModel

LABELS = ("tabby", "Egyptian_cat", "T-shirt", "crane")


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return nets.loaded(nets.pencil())


@pytest.mark.parametrize(
    ("text", "index", "minus"),
    [
        ("top1", -1, -1),
        ("0", 0, -1),
        ("3", 3, -1),
        ("tabby", 0, -1),
        ("Egyptian_cat", 1, -1),
        ("egyptian cat", 1, -1),
        ("TABBY", 0, -1),
        ("T-shirt", 2, -1),
        ("2-1", 2, 1),
        ("tabby-Egyptian_cat", 0, 1),
        ("tabby-3", 0, 3),
        ("T-shirt-tabby", 2, 0),
        ("tabby-T-shirt", 0, 2),
        ("T-shirt-T-shirt", 2, 2),
    ],
)
def test_targets(model: LoadedModel, text: str, index: int, minus: int) -> None:
    targets = parse_targets(text, model.graph, model.head, LABELS)
    assert targets.pairs == ((index, minus),)
    assert targets.chosen(2).tolist() == [[[index, minus]]] * 2
    assert targets.chosen().dtype == np.int32


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("4", "there is no class 4; the model has the classes 0 to 3"),
        ("999999999", "there is no class 999999999; the model has the classes 0 to 3"),
        ("1-4", "there is no class 4; the model has the classes 0 to 3"),
        ("tabi", "there is no class 'tabi'; the classes are 'tabby', 'Egyptian_cat', 'T-shirt', 'crane'"),
        ("-1", "there is no class -1; the model has the classes 0 to 3"),
        ("9999999999", "there is no class 9999999999; the model has the classes 0 to 3"),
        ("1-", "there is no class '1-'"),
        ("²", "there is no class '²'"),
        ("9" * 5000, "there is no class 999"),
        ("", "there is no class ''"),
    ],
)
def test_unknown_classes(model: LoadedModel, text: str, reason: str) -> None:
    with pytest.raises(UnknownClass) as caught:
        parse_targets(text, model.graph, model.head, LABELS)
    assert caught.value.detail.startswith(reason)


def test_a_label_where_there_are_none(model: LoadedModel) -> None:
    with pytest.raises(UnknownClass) as caught:
        parse_targets("cat", model.graph, model.head, ())
    assert caught.value.detail == "'cat' is no class: this model has no labels, so write an index from 0 to 3, or top1"


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("cat", "the closest are 'tiger_cat', 'Persian_cat', 'Siamese_cat', 'Egyptian_cat', 'Madagascar_cat'"),
        ("tabi", "the closest is 'tabby'"),
        ("zzzz", "write a label, or an index from 0 to 3"),
    ],
)
def test_one_of_many_labels(model: LoadedModel, text: str, offered: str) -> None:
    labels = labels_of(ModelSpec(id="x", weights="x.h5", labels="imagenet"))
    with pytest.raises(UnknownClass) as caught:
        parse_targets(text, model.graph, model.head, labels)
    assert caught.value.detail == f"there is no class {text!r}; {offered}"


def test_a_neuron_of_a_layer_there_is_not(model: LoadedModel) -> None:
    with pytest.raises(UnknownLayer) as caught:
        parse_targets("neuron:foo:3,4,1", model.graph, model.head, LABELS)
    assert caught.value.detail == "there is no layer 'foo'; GET /v1/models/{id}/layers lists them"


def test_a_label_of_two_classes(model: LoadedModel) -> None:
    with pytest.raises(InvalidParameter, match=r"'crane' is the label of the classes \[0, 2\]; say which by its index"):
        parse_targets("crane", model.graph, model.head, ("crane", "b", "crane", "d"))


def test_a_model_without_classes() -> None:
    model = nets.loaded(nets.segmentation())
    for text in ("top1", "0", "0-1"):
        with pytest.raises(MethodNotValid, match="a map and no vector of class scores"):
            parse_targets(text, model.graph, model.head, ())


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("top3", ((-1, -1), (-2, -1), (-3, -1))),
        ("0,Egyptian_cat", ((0, -1), (1, -1))),
        ("0-1, 2", ((0, 1), (2, -1))),
    ],
)
def test_several(model: LoadedModel, text: str, pairs: tuple[tuple[int, int], ...]) -> None:
    assert parse_targets(text, model.graph, model.head, LABELS).pairs == pairs


@pytest.mark.parametrize("text", ["top0", "top5", "top1000", "neuron:conv", "neuron:conv:2", "neuron:conv:2,0,0"])
def test_what_cannot_be_a_target(model: LoadedModel, text: str) -> None:
    with pytest.raises(InvalidParameter):
        parse_targets(text, model.graph, model.head, LABELS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("neuron:conv:1,2,0", 4), ("neuron:conv:1,1,1", 3), ("neuron:conv:0", 7 / 6), ("neuron:gap:1", 4 / 6)],
)
def test_neurons(model: LoadedModel, text: str, expected: float) -> None:
    (row,) = nets.explain(model, "saliency", target=text).scores[None]
    targets = parse_targets(text, model.graph, model.head, ())
    assert targets.head is None
    assert targets.values(row) == pytest.approx([expected])


SCORES = np.array([[1, 5, 3, 0], [9, 0, -1, 2]], np.float32)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        (((-1, -1),), [[5, 9]]),
        (((0, -1), (2, -1)), [[1, 9], [3, -1]]),
        (((1, 2),), [[2, 1]]),
        (((-1, 0), (1, 1)), [[4, 0], [0, 0]]),
        (((-2, -1), (-4, -1)), [[3, 2], [0, -1]]),
    ],
)
def test_scores(model: LoadedModel, pairs: Any, expected: Any) -> None:
    targets = class_targets(model.head, pairs)
    chosen = keras.ops.convert_to_tensor(targets.chosen(len(SCORES)))
    found = targets.scores(keras.ops, keras.ops.convert_to_tensor(SCORES), chosen)
    assert [[float(value) for value in row] for row in found] == expected
    for place in (0, 1):
        resolved = targets.resolved(SCORES[place])
        assert min(first for first, _ in resolved.pairs) >= 0
        assert resolved.values(SCORES[place]).tolist() == [row[place] for row in expected]


def test_probabilities(model: LoadedModel) -> None:
    targets = class_targets(model.head, ((1, -1), (3, -1)))
    found = targets.probabilities(SCORES)
    assert found is not None
    np.testing.assert_allclose(found[0], nets.softmax(SCORES[0])[[1, 3]], rtol=1e-6)
    assert class_targets(model.head, ((1, 2),)).probabilities(SCORES) is None
