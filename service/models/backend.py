"""The one wall around TensorFlow that explainers compute behind: compiled plans, gradients, array in and out.

One backend belongs to one loaded model, so its compiled plans are freed with the model. A plan is traced once with a
fixed signature (the batch open) and called as a concrete function: it cannot retrace.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from numpy.typing import NDArray

from service.models.cost import activation_bytes, flops, largest_bytes
from service.models.graph import Graph, Node, Tensor
from service.models.interface import Plan, ReluRule, Signature

MAX_CHUNK = 64
CALL_BYTES = 512 * 1024**2
CHUNK_FLOPS = {"cpu": 40 * 10**9, "gpu": 4 * 10**12}


class TensorFlowBackend:
    """Compiles and runs what explainers describe in `ops`; safe to share among threads."""

    ops = keras.ops

    def __init__(self, max_plans: int = 32, call_bytes: int = CALL_BYTES) -> None:
        self.traces = 0
        self._call_bytes = call_bytes
        self._chunk_flops = CHUNK_FLOPS["gpu" if tf.config.list_physical_devices("GPU") else "cpu"]
        self._max_plans = max_plans
        self._plans: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def compiled(self, key: Hashable, function: Callable[..., Any], signature: Signature) -> Plan:
        """`function` of tensors, traced once a `key`; the oldest of more than `max_plans` is dropped.

        `signature` holds (shape, dtype) of each argument. The plan takes and gives NumPy arrays, flattened in order.
        """
        with self._lock:
            plan = self._plans.get(key)
            if plan is None:
                specs = [tf.TensorSpec(shape, dtype) for shape, dtype in signature]
                plan = tf.function(function, input_signature=specs, autograph=False).get_concrete_function()
                self._plans[key] = plan
                self.traces += 1
            self._plans.move_to_end(key)
            while len(self._plans) > self._max_plans:
                self._plans.popitem(last=False)

        def run(*arrays: NDArray[Any]) -> list[NDArray[Any]]:
            tensors = [tf.constant(array, dtype) for array, (_, dtype) in zip(arrays, signature, strict=True)]
            return [value.numpy() for value in tf.nest.flatten(plan(*tensors))]

        return run

    def chunk(self, graph: Graph, size: tuple[int, int], *, backward: bool = False) -> int:
        """How many images one step may take: within the memory budget, and about half a second on this device.

        Follows from shapes alone, so equal requests are cut equally.
        """
        memory = activation_bytes(graph, size) * 2 if backward else largest_bytes(graph, size) * 4
        work = flops(graph, size) * (3 if backward else 1)
        fitting = min(self._call_bytes // max(1, memory), self._chunk_flops // max(1, work))
        return int(min(MAX_CHUNK, max(1, fitting)))

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

            fetched = graph.run(feeds, fetches, watch, _ruled(rule) if rule else None)
            totals = [keras.ops.sum(score) for score in scores(*fetched)]
        values = [seen[tensor] for tensor in watched]
        zero = tf.UnconnectedGradients.ZERO
        return values, [tape.gradient(total, values, unconnected_gradients=zero) for total in totals], fetched


def _ruled(rule: ReluRule) -> Callable[[Node], Callable[..., Any]]:
    """Stands in for every ReLU of a graph: the same values, the gradient of `rule`."""

    def operation(node: Node) -> Callable[..., Any]:
        if not node.is_relu:
            return node.op

        def relu(x: Any) -> tuple[Any, Callable[[Any], Any]]:
            def backward(upstream: Any) -> Any:
                passed = tf.where(upstream > 0, upstream, tf.zeros_like(upstream))
                return tf.where(x > 0, passed, tf.zeros_like(passed)) if rule == "guided" else passed

            return node.op(x), backward

        ruled: Callable[..., Any] = tf.custom_gradient(relu)
        return ruled

    return operation
