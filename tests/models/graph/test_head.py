"""Where the logits are, what the classes are, and how scores become probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import nets
import numpy as np
import pytest
import tf_keras
from keras import layers

from service.errors import MethodNotValid
from service.models.files.entries import spec_of_file
from service.models.graph.canonical import canonical
from service.models.graph.head import find_head
from service.models.loaded import load_model

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


def test_bare_dense_is_its_own_logit_where_the_spec_says_so() -> None:
    model = nets.loaded(nets.pencil("bare"), head="logits")
    head = model.head
    assert (head.kind, head.activation, head.classes, head.score_kind) == ("logits", "linear", 4, "logit")
    assert head.logits is head.output
    np.testing.assert_allclose(head.probabilities(nets.LOGITS), nets.softmax(nets.LOGITS), rtol=1e-6)


def test_single_linear_unit_has_no_probability() -> None:
    x = keras.Input((3,))
    head = find_head(canonical(keras.Model(x, layers.Dense(1)(x))))
    assert (head.kind, head.classes, head.score_kind) == ("values", 1, "value")
    assert head.probabilities(np.array([2.0], np.float32)) is None


def test_relu_head_has_scores_and_no_probabilities() -> None:
    model = nets.loaded(nets.pencil("relu"))
    head = model.head
    assert (head.kind, head.activation, head.classes, head.score_kind) == ("values", "relu", 4, "value")
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


def ensemble(merge: Any, activation: str = "softmax", units: int = 3, module: Any = keras) -> Any:
    """Three heads on one image; `merge` makes one output of theirs."""
    x = module.Input((4,), name="image")
    heads = [
        module.layers.Dense(units, activation=activation, kernel_initializer="ones", bias_initializer="normal")(x)
        for _ in range(3)
    ]
    return module.Model(x, merge(heads))


def map_of_classes(pool: Any) -> Any:
    x = keras.Input((4, 4, 2), name="image")
    return keras.Model(x, pool(layers.Conv2D(3, 1, activation="softmax")(x)))


MERGED = {
    "Average of softmaxes": lambda: ensemble(layers.Average()),
    "mean by hand": lambda: ensemble(lambda heads: (heads[0] + heads[1] + heads[2]) / 3.0),
    "weighted mean": lambda: ensemble(lambda heads: heads[0] * 0.5 + heads[1] * 0.25 + heads[2] * 0.25),
    "mean of a stack": lambda: ensemble(lambda heads: keras.ops.mean(keras.ops.stack(heads), axis=0)),
    "Maximum of sigmoids": lambda: ensemble(layers.Maximum(), "sigmoid"),
    "Concatenate of sigmoids": lambda: ensemble(layers.Concatenate(), "sigmoid", units=1),
    "product of sigmoids": lambda: ensemble(lambda heads: heads[0] * heads[1], "sigmoid"),
    "one minus": lambda: ensemble(lambda heads: 1.0 - heads[0], "sigmoid"),
    "GAP of a softmax": lambda: map_of_classes(layers.GlobalAveragePooling2D()),
    "global maximum of a softmax": lambda: map_of_classes(layers.GlobalMaxPooling2D()),
    "hard_sigmoid": lambda: ensemble(lambda heads: heads[0], "hard_sigmoid"),
    "Average of Keras 2": lambda: ensemble(tf_keras.layers.Average(), module=tf_keras),
    "mean by hand of Keras 2": lambda: ensemble(lambda h: (h[0] + h[1] + h[2]) / 3.0, module=tf_keras),
}


@pytest.mark.parametrize("name", MERGED)
def test_merged_probabilities_are_the_score_themselves(name: str) -> None:
    """The network's own output is score and probability; nothing is put behind it."""
    model = MERGED[name]()
    found = nets.loaded(model)
    image = np.random.default_rng(0).random((1, *model.inputs[0].shape[1:]), np.float32)
    head = find_head(found.graph)
    assert (head.kind, head.score_kind) == ("probabilities", "probability")
    own = np.asarray(model(image))[0]
    scores = np.asarray(head.class_scores(np.asarray(model(image))))[0]
    np.testing.assert_array_equal(scores, own)
    np.testing.assert_array_equal(head.probabilities(scores), own)


def test_one_merged_probability_stands_for_two_classes() -> None:
    head = find_head(canonical(ensemble(layers.Average(), "sigmoid", units=1)))
    assert (head.kind, head.classes, head.binary) == ("probabilities", 2, True)
    assert np.asarray(head.class_scores(np.array([[0.25]], np.float32))).tolist() == [[0.75, 0.25]]
    assert head.probabilities(np.array([0.75, 0.25], np.float32)).tolist() == [0.75, 0.25]


NO_PROBABILITY = {
    "two linear units": lambda: ensemble(lambda heads: heads[0], "linear", units=2),
    "a sum of softmaxes": lambda: ensemble(layers.Add()),
    "a softmax and a linear unit": lambda: ensemble(lambda heads: heads[0] + layers.Dense(3)(heads[1])),
    "twice a sigmoid": lambda: ensemble(lambda heads: heads[0] * 2.0, "sigmoid"),
    "tanh": lambda: ensemble(lambda heads: heads[0], "tanh"),
    "an embedding": lambda: ensemble(lambda heads: layers.UnitNormalization()(heads[0]), "linear"),
    "a dense layer behind a softmax": lambda: ensemble(lambda heads: layers.Dense(3)(heads[0])),
}


@pytest.mark.parametrize("name", NO_PROBABILITY)
def test_what_is_no_probability_is_not_called_one(name: str) -> None:
    head = find_head(canonical(NO_PROBABILITY[name]()))
    assert (head.kind, head.score_kind) == ("values", "value")
    assert head.probabilities(np.ones(head.classes or 0, np.float32)) is None


LOSSES: list[tuple[Any, int, str, str]] = [
    ("SparseCategoricalCrossentropy", 4, "logits", "logit"),
    ("CategoricalCrossentropy", 4, "logits", "logit"),
    ("BinaryCrossentropy", 1, "logits", "logit"),
    ("BinaryCrossentropy", 3, "sigmoid", "logit"),
    ("MeanSquaredError", 3, "values", "value"),
]


@pytest.mark.parametrize(("loss", "units", "kind", "score"), LOSSES)
@pytest.mark.parametrize("ending", ["h5", "keras"])
@pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras 3", "keras 2"])
def test_the_loss_says_whether_linear_units_are_logits(
    module: Any, ending: str, loss: str, units: int, kind: str, score: str, tmp_path: Path
) -> None:
    x = module.Input((4, 4, 1))
    model = module.Model(x, module.layers.Dense(units)(module.layers.Flatten()(x)))
    given = {} if loss == "MeanSquaredError" else {"from_logits": True}
    model.compile("adam", getattr(module.losses, loss)(**given))
    model.save(tmp_path / f"net.{ending}")
    found = load_model(spec_of_file(tmp_path / f"net.{ending}"), tmp_path)
    assert (found.head.kind, found.head.score_kind) == (kind, score)
    assert found.head.classes == (2 if units == 1 and kind != "values" else units)
    assert (found.head.doubt is None) == (kind != "values")


def test_a_thousand_linear_units_are_imagenets_logits() -> None:
    head = find_head(canonical(ensemble(lambda heads: heads[0], "linear", units=1000)))
    assert (head.kind, head.doubt) == ("logits", None)


def test_what_is_open_is_said_with_what_to_do() -> None:
    doubt = nets.loaded(nets.pencil("bare")).head.doubt
    assert doubt is not None
    assert doubt.startswith("the network ends in 4 linear units, and nothing in the file says that these are logits")
    assert 'head = "logits" in model.toml' in doubt
    assert nets.loaded(nets.pencil("bare"), head="values").head.doubt is None


def test_every_kind_may_be_stated() -> None:
    graph = canonical(nets.pencil())
    for kind, path in (
        ("softmax", "scores:linear"), ("sigmoid", "scores:linear"), ("logits", "scores:linear"),
        ("probabilities", "scores"), ("values", "scores"),
    ):  # fmt: skip
        head = find_head(graph, stated=kind)  # type: ignore[arg-type]
        assert (head.kind, head.logits.path, head.inferred) == (kind, path, False)


def test_occlusion_of_values_measures_the_score() -> None:
    found = nets.explain(nets.loaded(nets.pencil("bare")), "occlusion", patch="1", measure="drop")
    assert found.parameters["measure"] == "score_drop"
    found = nets.explain(nets.loaded(nets.pencil("bare"), head="logits"), "occlusion", patch="1", measure="logit_drop")
    assert found.parameters["measure"] == "logit_drop"
    with pytest.raises(MethodNotValid, match="use measure=score_drop"):
        nets.explain(nets.loaded(nets.pencil("bare")), "occlusion", patch="1", measure="probability")
