"""Gradients of functions' own: forgotten once nobody can ask for them, kept as long as somebody can."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tensorflow.python.framework import ops

from service.models.backends.gradients import OwnGradients, has_own_code
from service.models.backends.tensorflow import TensorFlowBackend
from service.models.files.entries import spec_of_file
from service.models.graph.canonical import canonical
from service.models.graph.graph import Graph
from service.models.loaded import load_model

SIGNATURE = [((None, 8, 8, 3), "float32")]
BATCH = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype(np.float32)


@keras.saving.register_keras_serializable("tests")
class TracedOnce(keras.layers.Layer):  # type: ignore[misc]
    """Its function is traced at the first call and called by every later one."""

    @tf.function  # type: ignore[untyped-decorator]
    def call(self, x: Any) -> Any:
        return tf.nn.silu(x)


def names() -> set[str]:
    return {name for name in list(ops.gradient_registry._registry) if name.startswith("CustomGradient-")}


def network(middle: Any, kind: Any = keras) -> Any:
    image = kind.Input((8, 8, 3))
    x = middle(kind.layers.Conv2D(4, 3, name="first")(image))
    x = middle(kind.layers.Conv2D(4, 3)(x))
    return kind.Model(image, kind.layers.GlobalAveragePooling2D()(x))


def slopes(backend: TensorFlowBackend, graph: Graph, key: str) -> Any:
    """The gradient at the image, by a plan of its own."""

    def gradient(batch: Any) -> Any:
        inputs, outputs = graph.inputs, graph.outputs
        return backend.gradients(graph, {inputs[0]: batch}, inputs, outputs, lambda value: [value[:, 0]])[1][0][0]

    return backend.compiled(key, gradient, SIGNATURE)(BATCH)[0]


@pytest.mark.parametrize("rule", ["guided", "deconvnet", "redirected", None])
def test_own_gradients_are_forgotten_once_traced(rule: Any) -> None:
    """TensorFlow keeps them by name for ever, and with each the whole graph it was traced in."""
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu")(image)
    x = keras.layers.Conv2D(4, 3, activation="silu")(x)
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))
    graph, backend = canonical(model), TensorFlowBackend()
    traced: list[weakref.ref[Any]] = []
    before = names()

    def gradient(batch: Any) -> Any:
        traced.append(weakref.ref(tf.compat.v1.get_default_graph()))
        inputs, outputs = graph.inputs, graph.outputs
        return backend.gradients(graph, {inputs[0]: batch}, inputs, outputs, lambda value: [value[:, 0]], rule)[1][0][0]

    plan = backend.compiled("key", gradient, [((None, 8, 8, 3), "float32")])
    batch = np.ones((1, 8, 8, 3), np.float32)
    first = plan(batch)[0].copy()
    np.testing.assert_array_equal(plan(batch)[0], first)
    assert names() <= before
    del plan
    backend.plans.release()
    gc.collect()
    assert [found() for found in traced] == [None]


def test_a_function_that_outlives_its_plan_keeps_its_gradients() -> None:
    """A plan without gradients traces it first; one with gradients then calls what was traced."""
    before, gradients = names(), OwnGradients(keeps=True)
    with gradients.defined():
        model = network(TracedOnce())
    assert has_own_code(model)
    backend, graph = TensorFlowBackend(gradients=gradients), canonical(model)
    value = graph.value("first")
    backend.compiled("values", lambda batch: graph.run({graph.inputs[0]: batch}, graph.outputs), SIGNATURE)(BATCH)
    backend.compiled("first", lambda batch: graph.run({graph.inputs[0]: batch}, [value]), SIGNATURE)(BATCH)
    found = slopes(backend, graph, "slopes")
    plain = network(keras.layers.Activation("silu"))
    plain.set_weights(model.get_weights())
    assert not has_own_code(plain)
    expected = slopes(TensorFlowBackend(), canonical(plain), "slopes")
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)
    assert names() > before
    other = TensorFlowBackend()
    slopes(other, canonical(plain), "slopes")
    slopes(backend, graph, "again")
    backend.release()
    assert names() <= before


def test_loading_leaves_none_behind(tmp_path: Path) -> None:
    """Keras 2 defines swish's gradient while it builds a network."""
    path = tmp_path / "swish.h5"
    network(tf_keras.layers.Activation("swish"), tf_keras).save(path)
    before = names()
    model = load_model(spec_of_file(path), tmp_path)
    assert model.written_by == 2
    assert names() <= before


def test_others_may_define_gradients_meanwhile() -> None:
    """One thread defines them, another forgets those of its plans: neither fails."""
    done, gradients, defined = threading.Event(), OwnGradients(), []

    def define() -> None:
        while not done.is_set():
            with tf.Graph().as_default():
                defined.append(tf.nn.silu(tf.ones(3)).name)

    thread = threading.Thread(target=define)
    thread.start()
    try:
        while len(defined) < 200:
            with gradients.defined():
                # Else the other thread hardly gets the interpreter.
                time.sleep(0)
    finally:
        done.set()
        thread.join()
    before = names()
    with tf.Graph().as_default():
        tf.nn.silu(tf.ones(3))
    new = names() - before
    assert len(new) == 1
    with gradients.defined():
        pass
    assert not names() & new
