"""From the caller's text to a class score."""

from __future__ import annotations

from typing import Any

import keras
import nets
import numpy as np
import pytest

from service.errors import InvalidParameter, MethodNotValid, UnknownClass
from service.explainers.base import Target
from service.explainers.targets import parse_target
from service.models.graph import canonical
from service.models.head import Head, find_head

LABELS = ("tabby", "Egyptian_cat", "T-shirt", "crane")


@pytest.fixture(scope="module")
def head() -> Head:
    return find_head(canonical(nets.pencil()))


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
def test_targets(head: Head, text: str, index: int, minus: int) -> None:
    target = parse_target(text, head, LABELS)
    assert (target.index, target.minus) == (index, minus)
    assert target.chosen.tolist() == [index, minus]
    assert target.chosen.dtype == np.int32


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("4", "there is no class 4; the model has the classes 0 to 3"),
        ("999999999", "there is no class 999999999; the model has the classes 0 to 3"),
        ("1-4", "there is no class 4; the model has the classes 0 to 3"),
        ("tabi", "there is no class 'tabi'; the closest is 'tabby'"),
        ("-1", "there is no class '-1'"),
        ("1-", "there is no class '1-'"),
        ("²", "there is no class '²'"),
        ("9" * 5000, "there is no class '999"),
        ("", "there is no class ''"),
    ],
)
def test_unknown_classes(head: Head, text: str, reason: str) -> None:
    with pytest.raises(UnknownClass) as caught:
        parse_target(text, head, LABELS)
    assert caught.value.detail.startswith(reason)


def test_a_label_where_there_are_none(head: Head) -> None:
    with pytest.raises(UnknownClass) as caught:
        parse_target("cat", head, ())
    assert caught.value.detail == "'cat' is no class: this model has no labels, so write an index, or top1"


def test_a_label_of_two_classes(head: Head) -> None:
    with pytest.raises(InvalidParameter, match=r"'crane' is the label of the classes \[0, 2\]; say which by its index"):
        parse_target("crane", head, ("crane", "b", "crane", "d"))


def test_a_model_without_classes() -> None:
    head = find_head(canonical(nets.segmentation()))
    for text in ("top1", "0", "0-1"):
        with pytest.raises(MethodNotValid, match="a map and no vector of class scores"):
            parse_target(text, head, ())


def score(target: Target, scores: list[list[float]]) -> list[float]:
    result = target.score(keras.ops, keras.ops.convert_to_tensor(np.array(scores, np.float32)), target.chosen)
    return [float(value) for value in result]


@pytest.mark.parametrize(
    ("index", "minus", "expected"),
    [(-1, -1, [5, 9]), (0, -1, [1, 9]), (2, -1, [3, -1]), (1, 2, [2, 1]), (-1, 0, [4, 0]), (1, 1, [0, 0])],
)
def test_scores(head: Head, index: int, minus: int, expected: Any) -> None:
    assert score(Target(head, index, minus), [[1, 5, 3], [9, 0, -1]]) == expected
