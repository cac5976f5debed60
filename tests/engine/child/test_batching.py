"""Micro-batches: the same numbers as alone, in turn, and nobody waits for anybody but the device."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from service.engine.child.batching import Batched, Batches
from service.engine.child.caller import OpenCall
from service.engine.child.turns import Turns
from service.errors import DeadlineExceeded
from service.explainers import BY_NAME
from service.explainers.base import Explanation, Progress
from service.explainers.subject import Subject
from service.explainers.targets import parse_targets
from service.models.backends.tensorflow import TensorFlowBackend
from service.models.backends.work import Task, Work, part_of
from service.models.files.library import Library
from service.models.loaded import LoadedModel, load_model
from tests import nets

ROWS = [((None, 2), "float32")]


def after_a_busy_device(turns: Turns, calls: int, call: Any) -> list[Any]:
    """What calls give that all came while the device was busy."""
    with ThreadPoolExecutor(calls) as threads:
        with turns.call(), turns.call(light="beside"):
            waiting = [threads.submit(call, number) for number in range(calls)]
            time.sleep(0.3)
            assert not any(each.done() for each in waiting)
        return [each.result(20) for each in waiting]


@pytest.mark.parametrize(
    ("calls", "most", "sizes"),
    [(1, 32, {1: 1}), (7, 32, {4: 1, 2: 1, 1: 1}), (6, 2, {2: 3}), (5, 3, {2: 2, 1: 1}), (3, 1, {1: 3})],
)
def test_what_waits_for_one_plan_runs_as_one(calls: int, most: int, sizes: dict[int, int]) -> None:
    turns = Turns()
    batches, backend = Batches(turns), TensorFlowBackend()

    def call(number: int) -> float:
        plan = Batched(backend, batches, OpenCall(str(number))).compiled("sum", lambda x: x * 2, ROWS, rows=most)
        (found,) = plan(np.array([[number, 1]], np.float32))
        assert found.shape == (1, 2)
        return float(found[0, 0])

    assert after_a_busy_device(turns, calls, call) == [2.0 * number for number in range(calls)]
    assert batches.sizes == sizes
    assert backend.traces == 1


def test_others_plans_and_larger_batches_stay_alone() -> None:
    turns = Turns()
    batches, backend = Batches(turns), TensorFlowBackend()

    def call(number: int) -> Any:
        plan = Batched(backend, batches, OpenCall("")).compiled(number % 2, lambda x: x + 1, ROWS, rows=32)
        return plan(np.full((2 if number == 0 else 1, 2), number, np.float32))[0].tolist()

    found = after_a_busy_device(turns, 3, call)
    assert found == [[[1, 1], [1, 1]], [[2, 2]], [[3, 3]]]
    assert batches.sizes == {1: 3}


def test_what_is_compiled_beforehand_joins_nobody() -> None:
    """A call that meets a warm-up of its own plan must round as it does alone."""
    turns = Turns()
    batches, backend = Batches(turns), TensorFlowBackend()

    def call(number: int) -> float:
        around = Batched(backend, batches, OpenCall(str(number)), joins=number != 1)
        return float(
            around.compiled("sum", lambda x: x * 2, ROWS, rows=32)(np.full((1, 2), number, np.float32))[0][0, 0]
        )

    assert after_a_busy_device(turns, 3, call) == [0.0, 2.0, 4.0]
    assert batches.sizes == {1: 1, 2: 1}


def test_who_is_part_of_a_run_beside_takes_no_turn_meanwhile() -> None:
    """The one that had the device is done before the run beside it is, and another waits for no plan."""
    turns = Turns()
    batches = Batches(turns)
    running, ends = threading.Event(), threading.Event()
    sizes: list[int] = []

    def plan(x: np.ndarray) -> list[np.ndarray]:
        sizes.append(len(x))
        running.set()
        assert ends.wait(10)
        return [2 * x]

    def call(number: int) -> float:
        return float(batches.run(OpenCall(str(number)), "key", plan, (np.array([float(number)]),), 32)[0][0])

    with ThreadPoolExecutor(2) as threads:
        with turns.call():
            with turns.call(light="held"):
                asked = [threads.submit(call, number) for number in (1, 2)]
                time.sleep(0.1)
            assert running.wait(10)
        # The device is free, and one of the two is part of a run that is not done.
        time.sleep(0.1)
        ends.set()
        assert [each.result(10) for each in asked] == [2.0, 4.0]
    assert sizes == [2]


def test_one_that_fails_fails_alone() -> None:
    turns = Turns()
    batches = Batches(turns)

    def checked(x: np.ndarray) -> list[np.ndarray]:
        if (x < 0).any():
            raise ValueError("negative")
        return [x]

    def call(number: int) -> float | str:
        try:
            return float(batches.run(OpenCall(""), "key", checked, (np.array([1.0 - number]),), 32)[0][0])
        except ValueError as error:
            return str(error)

    assert after_a_busy_device(turns, 4, call) == [1.0, 0.0, "negative", "negative"]


def test_a_failure_holds_no_arrays() -> None:
    """Nothing waits for a collection: the arrays of a call that failed may be the reason why there is no memory."""
    held: list[weakref.ref[np.ndarray]] = []

    def fails(x: np.ndarray) -> list[np.ndarray]:
        raise MemoryError("none is left")

    def call() -> None:
        image = np.zeros((1, 8))
        held.append(weakref.ref(image))
        with suppress(MemoryError):
            Batches(Turns()).run(OpenCall(""), "key", fails, (image,), 32)

    gc.collect()
    gc.disable()
    try:
        call()
        assert held[0]() is None
    finally:
        gc.enable()


def test_it_is_known_who_computes_and_who_waits() -> None:
    turns, work = Turns(), Work({"step": 60.0})
    batches, caller = Batches(turns), OpenCall("a")
    seen: list[tuple[Task, ...]] = []

    def call() -> None:
        with part_of(work, "shapes", "explain cam"):
            batches.run(caller, "key", lambda x: [seen.append(work.tasks) or x], (np.zeros(1),), 1)

    with turns.call():
        thread = threading.Thread(target=call)
        thread.start()
        time.sleep(0.2)
        assert work.tasks == ()
    thread.join(5)
    (task,) = seen[0]
    assert (task.kind, task.model, task.what) == ("step", "shapes", "explain cam")
    assert task.until - task.since == pytest.approx(60)
    assert work.tasks == ()
    assert 0.1 < caller.waited_s < 2


def test_a_caller_who_has_gone_leaves_at_once() -> None:
    """Nobody computes for it, and it does not wait for the device first."""
    turns = Turns()
    batches, caller = Batches(turns), OpenCall("a")
    ran: list[int] = []
    with turns.call(), ThreadPoolExecutor(1) as threads:
        asked = threads.submit(batches.run, caller, "key", lambda x: [ran.append(1) or x], (np.zeros(1),), 1)
        time.sleep(0.2)
        caller.gone = True
        turns.look_again()
        with pytest.raises(DeadlineExceeded, match="no longer waits"):
            asked.result(5)
    assert ran == []


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_model(Library(None).get("shapes"), tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize(
    ("name", "params"),
    [("predict", {}), ("activations", {}), ("cam", {}), ("cam", {"target": "top2"}), ("saliency", {})],
)
def test_results_are_those_of_single_calls(shapes: LoadedModel, name: str, params: dict[str, str]) -> None:
    turns = Turns()
    batches = Batches(turns)
    images = np.random.default_rng(3).uniform(0, 1, (8, 1, 28, 28, 3)).astype(np.float32)

    def explain(backend: Any, image: np.ndarray) -> Explanation:
        explainer = BY_NAME[name]
        parsed = explainer.Params.model_validate(params)
        targets = parse_targets(params.get("target", "top1"), shapes.graph, shapes.head, ())
        given = nets.network_input(shapes, image)
        return explainer.explain(Subject(backend, shapes.graph, given, targets, Progress()), parsed)

    expected = [explain(shapes.backend, image) for image in images]
    found = after_a_busy_device(
        turns, 8, lambda number: explain(Batched(shapes.backend, batches, OpenCall("")), images[number])
    )
    assert max(batches.sizes) == 8
    for one, other in zip(found, expected, strict=True):
        assert list(one.arrays) == list(other.arrays)
        for array, alone in zip(one.arrays.values(), other.arrays.values(), strict=True):
            np.testing.assert_allclose(array, alone, rtol=1e-4, atol=1e-5 * np.abs(alone).max())


def test_windows_of_an_occlusion_wait_their_turn_too(shapes: LoadedModel) -> None:
    turns = Turns()
    batches, caller = Batches(turns), OpenCall("a")
    explainer = BY_NAME["occlusion"]
    params = explainer.Params.model_validate({"patch": 6, "stride": 3, "strategy": "incremental"})
    targets = parse_targets("top1", shapes.graph, shapes.head, ())
    given = nets.network_input(shapes, np.random.default_rng(1).uniform(0, 1, (1, 28, 28, 3)).astype(np.float32))

    def explain(backend: Any) -> np.ndarray:
        return explainer.explain(Subject(backend, shapes.graph, given, targets, Progress()), params).arrays["heatmap"]

    expected = explain(shapes.backend)
    (found,) = after_a_busy_device(turns, 1, lambda _: explain(Batched(shapes.backend, batches, caller)))
    np.testing.assert_array_equal(found, expected)
    assert caller.waited_s > 0.1
    # One of the clean image, and at least one of windows.
    assert batches.sizes[1] >= 2
