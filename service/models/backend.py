"""The one wall around TensorFlow that explainers compute behind: compiled plans, gradients, array in and out.

One backend belongs to one loaded model, so its compiled plans are freed with the model. A plan is traced once with a
fixed signature (the batch open) and called as a concrete function: it cannot retrace.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import tensorflow as tf
from numpy.typing import NDArray

from service.errors import OutOfMemory
from service.models.cost import activation_bytes, flops, largest_bytes
from service.models.freezing import Constants, Room, bytes_of, freezable
from service.models.graph import Graph, Node, Tensor
from service.models.interface import CHUNK_S, Plan, ReluRule, Signature, Tensors
from service.models.relu import with_gradient

MAX_CHUNK = 64
CALL_BYTES = 512 * 1024**2
RETRY_S = 5
# What each does in that time, about.
CHUNK_FLOPS = {"cpu": 40 * 10**9, "gpu": 4 * 10**12}


@dataclass(frozen=True, eq=False)
class _Traced:
    """A concrete function, and the bytes of the weights it holds as constants."""

    function: Callable[..., Any]
    frozen_bytes: int


class TensorFlowBackend:
    """Compiles and runs what explainers describe in `ops`; safe to share among threads.

    Plans hold those of `variables` that are small enough as constants while `room` has place for them.
    """

    ops = keras.ops

    def __init__(
        self,
        max_plans: int = 32,
        call_bytes: int = CALL_BYTES,
        variables: Sequence[Any] = (),
        room: Room | None = None,
    ) -> None:
        self.traces = 0
        self._call_bytes = call_bytes
        self._chunk_flops = CHUNK_FLOPS["gpu" if tf.config.list_physical_devices("GPU") else "cpu"]
        self._max_plans = max_plans
        self._variables = freezable(variables)
        self._room = room or Room(0)
        self._plans: OrderedDict[Hashable, _Traced] = OrderedDict()
        self._lock = threading.Lock()
        self._tracing = threading.Lock()

    def compiled(
        self, key: Hashable, function: Callable[..., Any], signature: Signature, *, shared: bool = True, rows: int = 1
    ) -> Plan:
        """`function` of tensors, traced once a `key`; the oldest of more than `max_plans` is dropped.

        `signature` holds (shape, dtype) of each argument. The plan takes and gives NumPy arrays, flattened in order,
        and raises OutOfMemory. Not `shared`: the plan is never asked the same thing twice, so its results are not
        worth keeping, and it is not frozen. `rows` > 1: every argument and result has the batch first and each row
        stands for itself, so that so many images of different calls may be run as one.
        """
        traced = self._known(key) or self._traced(key, function, signature, freeze=shared)

        def run(*arrays: NDArray[Any]) -> list[NDArray[Any]]:
            tensors = [tf.constant(array, dtype) for array, (_, dtype) in zip(arrays, signature, strict=True)]
            try:
                return [value.numpy() for value in tf.nest.flatten(traced.function(*tensors))]
            except tf.errors.ResourceExhaustedError as error:
                raise OutOfMemory("the device has not enough memory for this call", retry_after_s=RETRY_S) from error

        return run

    @property
    def frozen_bytes(self) -> int:
        """What plans hold of the weights as constants."""
        with self._lock:
            return sum(plan.frozen_bytes for plan in self._plans.values())

    def release(self) -> None:
        """Drops every plan."""
        with self._lock:
            dropped, self._plans = self._plans, OrderedDict()
        self._room.give_back(sum(plan.frozen_bytes for plan in dropped.values()))

    def _known(self, key: Hashable) -> _Traced | None:
        with self._lock:
            if key in self._plans:
                self._plans.move_to_end(key)
            return self._plans.get(key)

    def _traced(self, key: Hashable, function: Callable[..., Any], signature: Signature, *, freeze: bool) -> _Traced:
        """Traces one plan at a time; those that are known go on meanwhile."""
        with self._tracing:
            if known := self._known(key):
                return known
            specs = [tf.TensorSpec(shape, dtype) for shape, dtype in signature]
            planned = bytes_of(self._variables)
            frozen = freeze and bool(self._variables) and self._room.take(planned)
            constants = Constants(self._variables if frozen else ())

            def constant(*tensors: Any) -> Any:
                with constants:
                    return function(*tensors)

            try:
                chosen = constant if frozen else function
                plan = tf.function(chosen, input_signature=specs, autograph=False).get_concrete_function()
            finally:
                constants.forget()
                self._room.give_back(planned - constants.size if frozen else 0)
            traced = _Traced(plan, constants.size)
            dropped = []
            with self._lock:
                self.traces += 1
                self._plans[key] = traced
                while len(self._plans) > self._max_plans:
                    dropped.append(self._plans.popitem(last=False)[1])
            self._room.give_back(sum(plan.frozen_bytes for plan in dropped))
            return traced

    def chunk(self, graph: Graph, size: tuple[int, int], *, backward: bool = False, seconds: float = CHUNK_S) -> int:
        """How many images one step may take: within the memory budget, and about so many seconds on this device.

        Follows from shapes alone, so equal requests are cut equally.
        """
        work = flops(graph, size) * (3 if backward else 1)
        most = self._chunk_flops * seconds / CHUNK_S
        return int(max(1, min(self.rows(graph, size, backward=backward), most // max(1, work))))

    def rows(self, graph: Graph, size: tuple[int, int], *, backward: bool = False) -> int:
        """How many images one step may take within the memory budget, from shapes alone; at most 64."""
        memory = activation_bytes(graph, size) * 2 if backward else largest_bytes(graph, size) * 4
        return int(min(MAX_CHUNK, max(1, self._call_bytes // max(1, memory))))

    def fits(self, graph: Graph, size: tuple[int, int]) -> bool:
        """Whether a forward and a backward pass of one image stay within four times the memory budget of a step."""
        return activation_bytes(graph, size) * 2 <= self._call_bytes * 4

    def gradients(
        self,
        graph: Graph,
        feeds: Mapping[Tensor, Any],
        watched: Sequence[Tensor],
        fetches: Sequence[Tensor],
        scores: Callable[..., list[Any]],
        rule: ReluRule | None = None,
    ) -> tuple[list[Any], list[list[Any]], list[Any]]:
        """One forward pass, and a backward pass for each score, the tape only from the `watched` values on.

        `scores(*fetched)` gives a list of scores of shape (batch,). Returns the watched values; for each score the
        gradients with respect to them, zeros where it does not depend on them; and the fetched values. `rule`
        replaces the gradient of every ReLU. Use inside a compiled function.
        """
        seen: dict[Tensor, Any] = {}
        # Persistent for several targets: the forward pass is recorded once.
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:

            def watch(tensor: Tensor, value: Any) -> Any:
                if tensor in watched:
                    tape.watch(value)
                    seen[tensor] = value
                return value

            fetched = graph.run(feeds, fetches, watch, self.ruled(rule))
            totals = [keras.ops.sum(score) for score in scores(*fetched)]
        values = [seen[tensor] for tensor in watched]
        zero = tf.UnconnectedGradients.ZERO
        return values, [tape.gradient(total, values, unconnected_gradients=zero) for total in totals], fetched

    def ruled(self, rule: ReluRule | None) -> Callable[[Node], Callable[..., Any]] | None:
        """What `Graph.run` takes as `call`: every ReLU keeps its values and gets the gradient of `rule`.

        `guided` and `deconvnet` as Springenberg 2014 and Zeiler 2014. `redirected`, for values that are raised: where
        a ReLU lets no gradient at all through for an image, that which would push a negative input up, or one beyond
        ReLU6's 6 down, passes (Olah 2017). None for None.
        """
        return partial(with_gradient, rule) if rule else None

    def value_and_gradient(self, function: Callable[[Any], Any], at: Any) -> tuple[Any, Any]:
        """`function(at)`, a value an image, and the gradient of their sum, zeros where nothing depends on `at`.

        Use inside a compiled function.
        """
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(at)
            values = function(at)
            total = keras.ops.sum(values)
        return values, tape.gradient(total, at, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    def scan(
        self, step: Callable[[Tensors, Tensors], tuple[Tensors, Tensors]], state: Tensors, inputs: Tensors, outputs: int
    ) -> tuple[Tensors, Tensors]:
        """`state, found = step(state, [item[i] for item in inputs])` for every i of the first axis of `inputs`.

        Gives the last state, whose shapes and types stay as they are, and each of the `outputs` float32 tensors
        that a step finds, stacked. Use inside a compiled function: the number of steps is open.
        """
        count = tf.shape(inputs[0])[0]
        found = [tf.TensorArray(tf.float32, size=count) for _ in range(outputs)]

        def body(place: Any, values: Tensors, arrays: list[Any]) -> tuple[Any, Tensors, list[Any]]:
            after, results = step(values, [item[place] for item in inputs])
            same = [tf.ensure_shape(new, old.shape) for new, old in zip(after, values, strict=True)]
            written = [array.write(place, result) for array, result in zip(arrays, results, strict=True)]
            return place + 1, same, written

        _, state, found = tf.while_loop(
            lambda place, *_: place < count, body, (tf.constant(0), state, found), parallel_iterations=1
        )
        return state, [array.stack() for array in found]
