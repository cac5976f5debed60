"""Where the logits are, what the classes are, and how scores become probabilities."""

from __future__ import annotations

from typing import Any

import keras
import nets
import numpy as np
import pytest
from keras import layers

from service.errors import MethodNotValid
from service.models.canonical import canonical
from service.models.head import find_head

WITH_SOFTMAX = [
    "softmax-string",
    "softmax-layer",
    "activation-layer",
    "after-reshape",
    "before-reshape",
    "dropout",
    "ops",
]


@pytest.mark.parametrize("form", WITH_SOFTMAX)
def test_softmax_in_every_form(form: str) -> None:
    model = nets.loaded(nets.pencil(form))
    head = model.head
    assert (head.kind, head.activation, head.classes, head.score_kind) == ("softmax", "softmax", 4, "logit")
    assert head.inferred
    scores = nets.explain(model, "predict").scores
    assert scores is not None
    np.testing.assert_allclose(scores, nets.LOGITS, rtol=1e-6)
    np.testing.assert_allclose(head.probabilities(scores), nets.softmax(nets.LOGITS), rtol=1e-5)


def test_single_sigmoid_unit_has_two_classes() -> None:
    model = nets.loaded(nets.sigmoid_unit())
    head = model.head
    assert (head.kind, head.classes, head.binary, head.score_kind) == ("sigmoid", 2, True, "logit")
    scores = nets.explain(model, "predict").scores
    assert scores is not None
    np.testing.assert_allclose(scores, [-0.5, 0.5], rtol=1e-5)
    np.testing.assert_allclose(head.probabilities(scores), [0.37754067, 0.62245933], rtol=1e-5)


def test_many_sigmoid_units_are_independent() -> None:
    x = keras.Input((3,))
    head = find_head(canonical(keras.Model(x, layers.Dense(3, activation="sigmoid")(x))))
    assert (head.kind, head.classes, head.binary) == ("sigmoid", 3, False)
    np.testing.assert_allclose(
        head.probabilities(np.array([0, np.log(3), -np.log(3)], np.float32)), [0.5, 0.75, 0.25], rtol=1e-6
    )


@pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
def test_huge_scores_do_not_overflow(kind: Any) -> None:
    head = find_head(canonical(nets.pencil("bare")), stated=kind)
    assert head.probabilities(np.array([-5000, 5000], np.float32)).tolist() == [0, 1]


def test_bare_dense_is_its_own_logit() -> None:
    model = nets.loaded(nets.pencil("bare"))
    head = model.head
    assert (head.kind, head.activation, head.classes, head.score_kind) == ("logits", "linear", 4, "logit")
    assert head.logits is head.output
    np.testing.assert_allclose(head.probabilities(nets.LOGITS), nets.softmax(nets.LOGITS), rtol=1e-6)


def test_single_linear_unit_has_no_probability() -> None:
    x = keras.Input((3,))
    head = find_head(canonical(keras.Model(x, layers.Dense(1)(x))))
    assert (head.kind, head.classes) == ("logits", 1)
    assert head.probabilities(np.array([2.0], np.float32)) is None


def test_relu_head_has_scores_and_no_probabilities() -> None:
    model = nets.loaded(nets.pencil("relu"))
    head = model.head
    assert (head.kind, head.activation, head.classes, head.score_kind) == ("logits", "relu", 4, "output")
    scores = nets.explain(model, "predict").scores
    assert scores is not None
    np.testing.assert_allclose(scores, [7, 9, 0, 0], rtol=1e-6)
    assert head.probabilities(scores) is None


def test_convolution_only_head() -> None:
    model = nets.loaded(nets.conv_head())
    assert (model.head.kind, model.head.classes) == ("softmax", 3)
    assert model.head.logits.path == "gap"
    scores = nets.explain(model, "predict").scores
    assert scores is not None
    np.testing.assert_allclose(scores, [7 / 6, 4 / 6, 11 / 6], rtol=1e-6)


def test_convolution_to_one_cell_is_a_vector() -> None:
    x = keras.Input((2, 3, 1))
    y = layers.Conv2D(3, (2, 3), activation="softmax", name="scores")(x)
    head = find_head(canonical(keras.Model(x, y)))
    assert (head.classes, head.logits.path) == (3, "scores:linear")
    assert np.asarray(head.class_scores(np.arange(6, dtype=np.float32).reshape(2, 1, 1, 3))).tolist() == [
        [0, 1, 2],
        [3, 4, 5],
    ]


def test_a_map_of_classes_has_no_class_to_explain() -> None:
    model = nets.loaded(nets.segmentation())
    assert model.head.classes is None
    for method in ("predict", "cam"):
        with pytest.raises(MethodNotValid, match=r"output has the shape \(2, 3, 2\): a map and no vector"):
            nets.explain(model, method)
    assert (
        nets.explain(model, "activations", layers="conv").arrays["conv"].tolist()
        == np.stack([nets.POSITIVE, nets.NEGATIVE], axis=-1).tolist()
    )


def test_the_spec_may_say_what_the_file_cannot() -> None:
    graph = canonical(nets.pencil("bare"))
    head = find_head(graph, stated="sigmoid")
    assert (head.kind, head.inferred, head.classes) == ("sigmoid", False, 4)
    np.testing.assert_allclose(head.probabilities(nets.LOGITS), 1 / (1 + np.exp(-nets.LOGITS)), rtol=1e-6)
    assert find_head(canonical(nets.pencil()), stated="softmax").logits.path == "scores:linear"


def test_scores_are_float32_and_batched() -> None:
    head = find_head(canonical(nets.sigmoid_unit()))
    scores = np.asarray(head.class_scores(np.array([[1], [-2]], np.float16)))
    assert scores.dtype == np.float32
    assert scores.tolist() == [[-1, 1], [2, -2]]
