"""Compiled plans, gradients, threads."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nets
import numpy as np
import pytest

from service.models.backends.plans import OPERATION_BYTES
from service.models.backends.tensorflow import TensorFlowBackend
from service.models.loaded import LoadedModel

OPEN = [((None, 2), "float32")]


def double(x: Any) -> Any:
    return 2 * x


def test_one_trace_a_key_whatever_the_batch() -> None:
    traced: list[Any] = []

    def function(x: Any) -> Any:
        traced.append(x.shape)
        return x * x, x + 1

    backend = TensorFlowBackend()
    for batch in (1, 3, 2, 64):
        values = np.arange(2 * batch, dtype=np.float32).reshape(batch, 2)
        squares, successors = backend.compiled("key", function, OPEN)(values)
        assert np.array_equal(squares, values**2)
        assert np.array_equal(successors, values + 1)
    assert [tuple(shape) for shape in traced] == [(None, 2)]
    assert backend.traces == 1
    backend.compiled("other", function, OPEN)
    assert backend.traces == 2


def test_the_least_recently_used_plan_is_dropped_and_still_runs() -> None:
    backend = TensorFlowBackend()
    plans = {key: backend.compiled(key, double, OPEN) for key in ("a", "b", "a", "c")}
    assert backend.traces == 3
    backend.plans.drop_oldest()
    assert plans["b"](np.ones((1, 2), np.float32))[0].tolist() == [[2, 2]]
    backend.compiled("a", double, OPEN)
    backend.compiled("c", double, OPEN)
    assert backend.traces == 3
    backend.compiled("b", double, OPEN)
    assert (backend.traces, len(backend.plans)) == (4, 3)


def test_plans_are_counted_by_what_tensorflow_keeps_of_them() -> None:
    heard: list[int] = []
    backend = TensorFlowBackend(grown=lambda: heard.append(backend.plans.bytes))
    table = np.arange(250_000, dtype=np.float32)

    def long(x: Any) -> Any:
        for _ in range(100):
            x = x + 1
        return x

    backend.compiled("long", long, OPEN)
    backend.compiled("long", long, OPEN)
    backend.compiled("table", lambda x: x + table[:2] + backend.ops.sum(backend.ops.convert_to_tensor(table)), OPEN)
    # A hundred sums, each with the number it adds; then a table of 1 MB.
    assert 200 * OPERATION_BYTES < heard[0] < 250 * OPERATION_BYTES
    assert 10**6 < heard[1] - heard[0] < 10**6 + 30 * OPERATION_BYTES
    assert len(heard) == 2
    assert backend.plans.oldest is not None
    backend.plans.release()
    assert (backend.plans.bytes, backend.plans.oldest) == (0, None)


def test_arguments_are_cast_and_not_changed() -> None:
    given = np.ones((1, 2), np.float64)
    (result,) = TensorFlowBackend().compiled("a", double, OPEN)(given)
    assert result.dtype == np.float32
    assert given.dtype == np.float64
    assert given.tolist() == [[1, 1]]


def test_a_failed_trace_leaves_nothing() -> None:
    backend = TensorFlowBackend()

    def fails(x: Any) -> Any:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        backend.compiled("key", fails, OPEN)
    assert backend.traces == 0
    assert backend.compiled("key", double, OPEN)(np.ones((1, 2), np.float32))[0].tolist() == [[2, 2]]


def gradient(model: LoadedModel, image: np.ndarray, at: str, index: int) -> tuple[np.ndarray, np.ndarray]:
    """The value of a layer and the gradient of one logit with respect to it."""
    graph, head = model.graph, model.head
    (values,), ((gradients,),), _ = model.backend.gradients(
        graph,
        {graph.inputs[0]: model.backend.ops.convert_to_tensor(image)},
        [graph.value(at)],
        [head.logits],
        lambda logits: [head.class_scores(logits)[:, index]],
    )
    return np.asarray(values), np.asarray(gradients)


def logits_from(model: LoadedModel, values: np.ndarray, at: str) -> np.ndarray:
    graph = model.graph
    feeds = {graph.value(at): model.backend.ops.convert_to_tensor(values)}
    return np.asarray(model.head.class_scores(graph.run(feeds, [model.head.logits])[0]))


@pytest.mark.parametrize(
    ("build", "at"),
    [
        (nets.random_net, "image"),
        (nets.random_net, "first"),
        (nets.random_net, "first:linear"),
        (nets.random_net, "second"),
        (nets.pencil, "conv"),
        (nets.sigmoid_unit, "conv:linear"),
        (nets.conv_head, "class_maps"),
    ],
)
def test_gradients_are_finite_differences(build: Callable[[], Any], at: str) -> None:
    model = nets.loaded(build())
    image = np.random.default_rng(0).normal(size=model.input_shape.batch).astype(np.float32)
    values, gradients = gradient(model, image, at, 1)
    step = 1e-2
    shifts = step * np.eye(values.size, dtype=np.float32).reshape(-1, *values.shape[1:])
    above = logits_from(model, values + shifts, at)[:, 1]
    below = logits_from(model, values - shifts, at)[:, 1]
    kinks = np.abs(values.ravel()) < 2 * step if at.endswith(":linear") else np.zeros(values.size, bool)
    differences = ((above - below) / (2 * step)).reshape(values.shape)
    if at == "image":
        # A ReLU that switches within the step makes the difference no derivative; few inputs feed one.
        assert (np.abs(gradients - differences) < 2e-3).mean() > 0.8
    else:
        close = np.abs(gradients - differences).ravel() < 2e-3
        assert close[~kinks].all()
    assert np.abs(gradients).max() > 0


def test_gradients_of_a_batch_are_those_of_its_images() -> None:
    model = nets.loaded(nets.random_net())
    batch = np.random.default_rng(0).normal(size=(3, 7, 5, 2)).astype(np.float32)
    _, together = gradient(model, batch, "first", 2)
    alone = np.concatenate([gradient(model, batch[i : i + 1], "first", 2)[1] for i in range(3)])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-7)


def test_a_score_that_does_not_depend_on_the_value_has_gradient_zero() -> None:
    model = nets.loaded(nets.pencil())
    graph = model.graph
    (_,), (gradients,), (fetched, maps) = model.backend.gradients(
        graph,
        {graph.inputs[0]: model.backend.ops.convert_to_tensor(nets.IMAGE)},
        [graph.value("conv")],
        [model.head.logits, graph.value("conv")],
        lambda logits, maps: 0 * logits[:, 0] + 3.0,
    )
    assert not np.asarray(gradients).any()
    np.testing.assert_allclose(np.asarray(fetched)[0], nets.LOGITS, rtol=1e-6)
    assert np.array_equal(np.asarray(maps)[0, ..., 0], nets.POSITIVE)


def test_eight_threads_get_what_one_gets() -> None:
    images = np.random.default_rng(0).normal(size=(24, 1, 7, 5, 2)).astype(np.float32)
    alone = nets.loaded(nets.random_net())
    expected = [nets.explain(alone, "cam", image, layer="first", target="2").arrays["heatmap"] for image in images]
    shared = nets.loaded(nets.random_net())
    barrier = threading.Barrier(8)

    def work(start: int) -> list[np.ndarray]:
        barrier.wait()
        return [
            nets.explain(shared, "cam", images[i], layer="first", target="2").arrays["heatmap"]
            for i in range(start, 24, 8)
        ]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(8)))
    for start, maps in enumerate(results):
        for i, found in zip(range(start, 24, 8), maps, strict=True):
            assert np.array_equal(found, expected[i])
    assert shared.backend.traces == 1
    assert max(float(heatmap.max()) for heatmap in expected) > 0


def test_value_and_gradient_of_any_function() -> None:
    backend = TensorFlowBackend()

    def cubes(x: Any) -> Any:
        return backend.value_and_gradient(lambda at: backend.ops.sum(at**3, axis=1), x)

    values, gradient = backend.compiled("cubes", cubes, OPEN)(np.array([[1, 2], [3, -1]], np.float32))
    assert values.tolist() == [9, 26]
    assert gradient.tolist() == [[3, 12], [27, 3]]


def test_what_depends_on_nothing_has_gradient_zero() -> None:
    backend = TensorFlowBackend()
    plan = backend.compiled("none", lambda x: backend.value_and_gradient(lambda _: backend.ops.ones((1,)), x), OPEN)
    values, gradient = plan(np.ones((1, 2), np.float32))
    assert (values.tolist(), gradient.tolist()) == ([1], [[0, 0]])


def test_a_loop_whose_length_is_open() -> None:
    backend = TensorFlowBackend()

    def sums(start: Any, items: Any, numbers: Any) -> Any:
        def step(state: list[Any], given: list[Any]) -> tuple[list[Any], list[Any]]:
            total = state[0] + given[0] * given[1]
            return [total, state[1] + 1], [total, given[0]]

        (total, count), (totals, seen) = backend.scan(step, [start, backend.ops.zeros(())], [items, numbers], 2)
        return total, count, totals, seen

    plan = backend.compiled("sums", sums, [((2,), "float32"), ((None, 2), "float32"), ((None,), "float32")])
    for length in (1, 4, 3):
        items = np.arange(2 * length, dtype=np.float32).reshape(length, 2)
        numbers = np.arange(length, dtype=np.float32) + 1
        total, count, totals, seen = plan(np.array([10, 20]), items, numbers)
        expected = np.array([10, 20]) + np.cumsum(items * numbers[:, None], axis=0)
        assert totals.tolist() == expected.tolist()
        assert total.tolist() == expected[-1].tolist()
        assert (count, seen.tolist()) == (length, items.tolist())
    assert backend.traces == 1


def test_a_loop_may_hold_gradients() -> None:
    backend = TensorFlowBackend()

    def descend(x: Any, steps: Any) -> Any:
        def step(state: list[Any], given: list[Any]) -> tuple[list[Any], list[Any]]:
            values, gradient = backend.value_and_gradient(lambda at: backend.ops.sum(at**2, axis=1), state[0])
            return [state[0] - given[0] * gradient], [values]

        return backend.scan(step, [x], [steps], 1)

    plan = backend.compiled("descend", descend, [*OPEN, ((None,), "float32")])
    last, values = plan(np.array([[2, 0], [0, 4]]), [0.25, 0.25])
    assert last.tolist() == [[0.5, 0], [0, 1]]
    assert values.tolist() == [[4, 16], [1, 4]]


def test_memory_that_is_not_there_is_a_domain_error_and_no_end() -> None:
    """The allocator's own failure, in a process of its own."""
    script = Path(__file__).parent / "out_of_memory.py"
    found = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert found.stdout == "10000 the device has not enough memory for this call 10000"


def test_plans_of_other_keys_run_while_one_is_traced() -> None:
    backend = TensorFlowBackend()
    signature = [((None,), "float32")]
    one = np.ones(1, np.float32)
    backend.compiled("known", lambda x: x, signature)
    tracing, go_on = threading.Event(), threading.Event()

    def slow(x: Any) -> Any:
        tracing.set()
        assert go_on.wait(20)
        return x + 1

    thread = threading.Thread(target=lambda: backend.compiled("slow", slow, signature))
    thread.start()
    assert tracing.wait(20)
    assert backend.compiled("known", lambda x: x, signature)(one)[0] == 1
    go_on.set()
    thread.join(20)
    assert backend.compiled("slow", slow, signature)(one)[0] == 2
    assert backend.traces == 2
