"""Gradients in place of ReLU's: what passes where, worked out by hand."""

from __future__ import annotations

from typing import Any

import keras
import nets
import numpy as np
import pytest
from keras import layers

from service.models.backends.backward import redirected
from service.models.backends.interface import ReluRule
from service.models.backends.tensorflow import TensorFlowBackend
from service.models.graph.canonical import canonical


def plain(x: Any, upstream: Any, ceiling: float | None) -> list[float]:
    tensors = [keras.ops.convert_to_tensor(np.array([item], np.float32)) for item in (x, upstream)]
    return np.asarray(redirected(*tensors, ceiling))[0].tolist()


def test_where_something_passes_it_is_the_plain_gradient() -> None:
    assert plain([-1, 2, 0], [5, -3, 4], None) == [0, -3, 0]
    assert plain([-1, 2, 7], [5, -3, -4], 6) == [0, -3, 0]


def test_where_nothing_passes_negative_inputs_are_pushed_up() -> None:
    assert plain([-1, -2, 0], [5, -3, 4], None) == [5, 0, 4]
    assert plain([-1, 2, 0], [5, 0, -4], None) == [5, 0, 0]


def test_where_nothing_passes_saturated_inputs_are_pushed_down() -> None:
    assert plain([-1, 6, 8, 9], [-5, -3, 4, -2], 6) == [0, -3, 0, -2]


def test_each_image_for_itself() -> None:
    x = keras.ops.convert_to_tensor(np.array([[-1, -2], [-1, 2]], np.float32))
    upstream = keras.ops.convert_to_tensor(np.array([[1, 1], [1, 1]], np.float32))
    assert np.asarray(redirected(x, upstream, None)).tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [(None, [0, 0, 2]), ("guided", [0, 0, 2]), ("deconvnet", [1, 0, 2]), ("redirected", [0, 0, 2])],
)
def test_rules_in_a_graph(rule: ReluRule | None, expected: list[float]) -> None:
    x = keras.Input((3,), name="image")
    graph = canonical(keras.Model(x, layers.ReLU(name="relu")(x)))
    backend = TensorFlowBackend()
    weights = np.array([1, -3, 2], np.float32)

    def score(batch: Any) -> Any:
        (value,) = graph.run({graph.inputs[0]: batch}, graph.outputs, call=backend.ruled(rule))
        return keras.ops.sum(value * weights, axis=1)

    given = keras.ops.convert_to_tensor(np.array([[-1, -2, 3]], np.float32))
    values, gradient = backend.value_and_gradient(score, given)
    assert np.asarray(values).tolist() == [6]
    assert np.asarray(gradient)[0].tolist() == expected


@pytest.mark.parametrize(
    ("layer", "ceiling"),
    [
        (layers.ReLU(), None),
        (layers.ReLU(max_value=4), 4),
        (layers.Activation("relu6"), 6),
        (layers.Activation("relu"), None),
        (layers.LeakyReLU(negative_slope=0.0), None),
    ],
)
def test_where_a_relu_saturates(layer: Any, ceiling: float | None) -> None:
    x = keras.Input((3,))
    (node,) = canonical(keras.Model(x, layer(x))).nodes
    assert node.is_relu
    assert node.ceiling == ceiling


def test_the_fused_relu6_of_a_convolution() -> None:
    graph = canonical(nets.any_size_net())
    assert [node.ceiling for node in graph.nodes if node.is_relu] == [6, None]
