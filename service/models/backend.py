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

from service.models.graph import Graph, Tensor

Plan = Callable[..., list[NDArray[Any]]]
Signature = Sequence[tuple[tuple[int | None, ...], str]]


class TensorFlowBackend:
    """Compiles and runs what explainers describe in `ops`; safe to share among threads."""

    ops = keras.ops

    def __init__(self, max_plans: int = 32) -> None:
        self.traces = 0
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

    def gradients(
        self,
        graph: Graph,
        feeds: Mapping[Tensor, Any],
        watched: Sequence[Tensor],
        fetches: Sequence[Tensor],
        score: Callable[..., Any],
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """One forward and one backward pass, the tape only from the `watched` values to `score(*fetched)`.

        `score` gives one number a batch element, shape (batch,). Returns the watched values, the gradients of the
        scores with respect to them (zeros where a score does not depend on them), and the fetched values.
        Use inside a compiled function.
        """
        seen: dict[Tensor, Any] = {}

        with tf.GradientTape(watch_accessed_variables=False) as tape:

            def watch(tensor: Tensor, value: Any) -> Any:
                if tensor in watched:
                    tape.watch(value)
                    seen[tensor] = value
                return value

            fetched = graph.run(feeds, fetches, watch)
            total = keras.ops.sum(score(*fetched))
        values = [seen[tensor] for tensor in watched]
        return values, tape.gradient(total, values, unconnected_gradients=tf.UnconnectedGradients.ZERO), fetched
