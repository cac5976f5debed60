"""Weights as constants: the same numbers, counted bytes, and room that is given back."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from service.models.backend import TensorFlowBackend
from service.models.freezing import COPIES, MAX_WEIGHT_BYTES, Room, freezable

IMAGES = [((None, 6, 6, 3), "float32")]


@pytest.fixture
def net() -> Any:
    keras.utils.set_random_seed(2)
    net = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            layers.Conv2D(4, 3, bias_initializer="normal"),
            layers.BatchNormalization(gamma_initializer="normal", beta_initializer="normal"),
            layers.Flatten(),
            layers.Dense(5),
        ]
    )
    return net


BYTES = 4 * (27 * 4 + 4 + 4 * 4 + 64 * 5 + 5)
IMAGE = np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype(np.float32)


def test_the_same_numbers_without_a_variable(net: Any) -> None:
    room = Room(10**6)
    backend = TensorFlowBackend(variables=net.variables, room=room)
    plan = backend.compiled("net", lambda x: net(x, training=False), IMAGES)
    np.testing.assert_allclose(plan(IMAGE)[0], np.asarray(net(IMAGE, training=False)), rtol=1e-5, atol=1e-6)
    assert room.taken == COPIES * BYTES
    before = plan(IMAGE)[0]
    net.layers[0].set_weights([np.zeros((3, 3, 3, 4)), np.zeros(4)])
    np.testing.assert_array_equal(plan(IMAGE)[0], before)
    backend.plans.release()
    assert room.taken == 0


def test_only_what_a_plan_reads_is_counted(net: Any) -> None:
    room = Room(COPIES * BYTES)
    backend = TensorFlowBackend(variables=net.variables, room=room)
    backend.compiled("conv", lambda x: net.layers[0](x), IMAGES)
    assert room.taken == COPIES * 4 * (27 * 4 + 4)


def test_without_room_and_for_an_ascent_variables_stay(net: Any) -> None:
    for room, shared in ((Room(COPIES * BYTES - 1), True), (Room(10**6), False)):
        backend = TensorFlowBackend(variables=net.variables, room=room)
        plan = backend.compiled("net", lambda x: net(x, training=False), IMAGES, shared=shared)
        before = plan(IMAGE)[0]
        assert room.taken == 0
        weights = net.get_weights()
        net.layers[-1].set_weights([2 * weights[-2], 2 * weights[-1]])
        np.testing.assert_allclose(plan(IMAGE)[0], 2 * before, rtol=1e-5)
        net.set_weights(weights)


def test_a_plan_that_is_dropped_gives_its_room_back(net: Any) -> None:
    room = Room(10**6)
    backend = TensorFlowBackend(max_plans=2, variables=net.variables, room=room)
    for key in range(5):
        backend.compiled(key, lambda x: net(x, training=False), IMAGES)
    assert (backend.traces, room.taken) == (5, 2 * COPIES * BYTES)


def test_a_trace_that_fails_takes_no_room(net: Any) -> None:
    room = Room(10**6)
    backend = TensorFlowBackend(variables=net.variables, room=room)

    def broken(x: Any) -> Any:
        raise ValueError("no such thing")

    with pytest.raises(ValueError, match="no such thing"):
        backend.compiled("broken", broken, IMAGES)
    assert room.taken == 0


def test_weights_of_large_dense_layers_stay_variables() -> None:
    large = keras.Variable(np.zeros((2049, 2048), np.float32))
    small = keras.Variable(np.zeros((2048, 2048), np.float32))
    assert MAX_WEIGHT_BYTES == 2048 * 2048 * 4
    assert freezable([small, large, small]) == [small]
