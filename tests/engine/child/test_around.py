"""A job's plans run between the callers'; nothing else of it holds the device."""

from __future__ import annotations

import threading

import numpy as np

from service.engine.child.around import BetweenCalls
from service.engine.child.turns import Turns
from service.models.backends.tensorflow import TensorFlowBackend

SIGNATURE = [((None,), "float32")]


def test_a_run_waits_for_the_caller_and_compiling_does_not() -> None:
    turns = Turns()
    backend = BetweenCalls(TensorFlowBackend(), turns)
    found: list[float] = []
    with turns.call():
        plan = backend.compiled("double", lambda x: x * 2, SIGNATURE)
        job = threading.Thread(target=lambda: found.extend(plan(np.array([21], np.float32))[0]))
        job.start()
        job.join(0.2)
        assert found == []
    job.join(5)
    assert found == [42]


def test_between_two_runs_the_device_is_free() -> None:
    turns = Turns()
    plan = BetweenCalls(TensorFlowBackend(), turns).compiled("same", lambda x: x, SIGNATURE)
    for _ in range(2):
        plan(np.zeros(1, np.float32))
        with turns.call():
            pass
