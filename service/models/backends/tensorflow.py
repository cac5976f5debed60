"""The one wall around TensorFlow that explainers compute behind: compiled plans, gradients, array in and out.

One backend belongs to one loaded model, so its compiled plans are freed with the model. A plan is traced once with a
fixed signature (the batch open) and called as a concrete function: it cannot retrace.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial

import keras
import numpy as np
import tensorflow as tf

from service.arrays import Array, Function, Ops, Value
from service.errors import MethodNotValid, OutOfMemory
from service.models.backends.gradients import OwnGradients
from service.models.backends.incremental.occluded import WindowScores
from service.models.backends.incremental.schedule import schedule
from service.models.backends.interface import CHUNK_S, Plan, ReluRule, Signature, Tensors, sized
from service.models.backends.plans import PlanCache
from service.models.graph.cost import OperationCost, activation_bytes, flops, largest_bytes, shapes_at
from service.models.graph.graph import Graph, Node, Tensor


def with_gradient(rule: ReluRule, node: Node) -> Function:
    """What stands in for the node's operation: the same values and, where it is a ReLU, the gradient of `rule`."""
    if not node.is_relu:
        return node.op

    def relu(x: Value) -> tuple[Value, Callable[[Value], Value]]:
        def backward(upstream: Value) -> Value:
            if rule == "redirected":
                return redirected(x, upstream, node.ceiling)
            passed = tf.where(upstream > 0, upstream, tf.zeros_like(upstream))
            return tf.where(x > 0, passed, tf.zeros_like(passed)) if rule == "guided" else passed

        return node.op(x), backward

    ruled: Function = tf.custom_gradient(relu)
    return ruled


def redirected(x: Value, upstream: Value, ceiling: float | None) -> Value:
    """Inputs (batch, …) of a ReLU and the gradient of its output → that of its input, for a value that is to rise.

    The ReLU's own gradient for images of which it lets anything through; for the others what pushes inputs of at
    most 0 up, and inputs of at least `ceiling` down. Olah et al. 2017, https://distill.pub/2017/feature-visualization.
    """
    none = tf.zeros_like(upstream)
    below = x <= 0
    above = tf.zeros_like(below) if ceiling is None else x >= ceiling
    plain = tf.where(below | above, none, upstream)
    pushing = tf.where(below, tf.maximum(upstream, none), tf.where(above, tf.minimum(upstream, none), upstream))
    axes = list(range(1, len(x.shape)))
    passes = tf.reduce_any(plain != 0, axis=axes, keepdims=True)
    return tf.where(passes, plain, pushing)


MAX_CHUNK = 64
# What a step of windows is estimated to take, which is more than it takes: 101 ms were measured.
WINDOWS_S = 1.5 * CHUNK_S
CALL_BYTES = 512 * 1024**2
RETRY_S = 5
# What each does in that time, about.
CHUNK_FLOPS = {"cpu": 8 * 10**9, "gpu": 8 * 10**11}


class TensorFlowBackend:
    """Compiles and runs what explainers describe in `ops`; safe to share among threads.

    `call_bytes` bounds what one step may take; `grown` hears of each new plan, see `PlanCache`.
    """

    ops = keras.ops

    def __init__(
        self,
        call_bytes: int = CALL_BYTES,
        gradients: OwnGradients | None = None,
        grown: Callable[[], None] = lambda: None,
    ) -> None:
        self._gradients = gradients or OwnGradients()
        self.plans = PlanCache(self._gradients, grown)
        self._call_bytes = call_bytes
        self._gpu = bool(tf.config.list_physical_devices("GPU"))
        self._chunk_flops = CHUNK_FLOPS["gpu" if self._gpu else "cpu"]

    def release(self) -> None:
        """Drops all that was compiled: the model goes."""
        self._gradients.release()
        self.plans.release()

    @property
    def traces(self) -> int:
        """How many plans were ever traced."""
        return self.plans.traces

    def compiled(
        self, key: Hashable, function: Function, signature: Signature, *, shared: bool = True, rows: int = 1
    ) -> Plan:
        """`function` of tensors, traced once a `key`.

        `signature` holds (shape, dtype) of each argument. The plan takes and gives NumPy arrays, flattened in order,
        the results read-only, and raises OutOfMemory. Not `shared`: the plan is never asked the same thing twice, so
        its results are not worth keeping. `rows` > 1: every argument and result has
        the batch first and each row stands for itself, so that so many images of different calls may be run as one.
        """
        plan = self.plan(key, function, signature)

        def run(*arrays: Array) -> list[Array]:
            tensors = [tf.constant(array, dtype) for array, (_, dtype) in zip(arrays, signature, strict=True)]
            # Views of the device's own memory, where that is the CPU's; `numpy()` would copy.
            return [np.asarray(memoryview(value)) for value in tf.nest.flatten(plan(*tensors))]

        return run

    def plan(self, key: Hashable, function: Function, signature: Signature) -> Function:
        """Compiles as `compiled` does, for tensors that stay where they are computed; results have the structure that
        `function` gives."""
        traced = self.plans.get(sized(key, signature), function, signature)

        def run(*tensors: Value) -> Value:
            try:
                return traced(*tensors)
            except tf.errors.ResourceExhaustedError as error:
                raise OutOfMemory("the device has not enough memory for this call", retry_after_s=RETRY_S) from error

        return run

    def incremental(
        self,
        graph: Graph,
        target: Tensor,
        matrix: Callable[[Ops, Value], Value],
        key: Hashable,
        size: tuple[int, int],
        windows: Sequence[Sequence[tuple[int, int]]],
    ) -> WindowScores:
        """Scores under every window of a grid over images of `size`, computing only what a window changes.

        `windows` holds the (start, end) of each along the height and along the width; `matrix(ops, value)` makes
        scores (b, n) of the value of `target`, and `key` tells plans of different targets apart. Nothing is traced
        before the first image.
        """
        found = schedule(graph, target, size, windows)
        count = len(windows[0]) * len(windows[1])
        timely = self._chunk_flops / max(1, found.flops) if self._gpu else WINDOWS_S / max(found.seconds, 1e-9)
        most = max(1, min(MAX_CHUNK, int(timely), self._call_bytes // max(1, 4 * found.largest_bytes)))
        # Steps of one size: for each other size the libraries below prepare themselves anew.
        chunk = math.ceil(count / math.ceil(count / most))
        # How much faster windows are on a GPU has not been measured.
        faster = not self._gpu and found.clean_bytes <= self._call_bytes and found.pays(count)
        return WindowScores(self, graph, found, matrix, ("incremental", key, size), chunk, faster)

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

    def share(
        self,
        graph: Graph,
        size: tuple[int, int],
        end: Tensor,
        *,
        after: Tensor | None = None,
        at: tuple[int, int] | None = None,
    ) -> float:
        """About how much of the time of a pass of one image of `size` it takes to compute `end`: from the image on, or
        from the value of `after` and what passes it by; of an image of another size where `at` says one.
        """
        nodes = graph.between(graph.suffix(after, end) if after else (), end)
        there = shapes_at(graph, size)
        shapes = shapes_at(graph.until(end), at) if at and at != size else there
        whole = sum(OperationCost.of_node(node, there).seconds for node in graph.nodes)
        return sum(OperationCost.of_node(node, shapes).seconds for node in nodes) / max(whole, 1e-12)

    def shape(self, graph: Graph, size: tuple[int, int], tensor: Tensor) -> tuple[int, ...]:
        """The shape of a value, without the batch, for an input of `size`, whatever the file leaves open."""
        return shapes_at(graph, size)[tensor]

    def fits(self, graph: Graph, size: tuple[int, int]) -> bool:
        """Whether a forward and a backward pass of one image stay within four times the memory budget of a step."""
        return activation_bytes(graph, size) * 2 <= self._call_bytes * 4

    def gradients(
        self,
        graph: Graph,
        feeds: Mapping[Tensor, Value],
        watched: Sequence[Tensor],
        fetches: Sequence[Tensor],
        scores: Callable[..., list[Value]],
        rule: ReluRule | None = None,
    ) -> tuple[list[Value], list[list[Value]], list[Value]]:
        """One forward pass, and a backward pass for each score, the tape only from the `watched` values on.

        `scores(*fetched)` gives a list of scores of shape (batch,). Returns the watched values; for each score the
        gradients with respect to them, zeros where it does not depend on them; and the fetched values. `rule`
        replaces the gradient of every ReLU. Use inside a compiled function.
        """
        seen: dict[Tensor, Value] = {}
        # Persistent for several targets: the forward pass is recorded once.
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:

            def watch(tensor: Tensor, value: Value) -> Value:
                if tensor in watched:
                    tape.watch(value)
                    seen[tensor] = value
                return value

            fetched = graph.run(feeds, fetches, watch, watched, self.ruled(rule))
            totals = [keras.ops.sum(score) for score in scores(*fetched)]
        values = [seen[tensor] for tensor in watched]
        zero = tf.UnconnectedGradients.ZERO
        return values, [tape.gradient(total, values, unconnected_gradients=zero) for total in totals], fetched

    def hessian_products(
        self,
        graph: Graph,
        feeds: Mapping[Tensor, Value],
        watched: Tensor,
        fetches: Sequence[Tensor],
        scores: Callable[..., list[Value]],
    ) -> tuple[Value, list[Value], list[Value], list[Value]]:
        """One forward pass, and for each score a backward pass and one through both: second derivatives.

        Gives the value of `watched`; for each score, as of `gradients`, its gradient G with respect to that value, and
        the product of its Hessian with the value, which is the gradient of Σ G·v with v held at the value; and the
        fetched values. Images of a batch stand for themselves. Raises MethodNotValid where an operation has no second
        derivative. Use inside a compiled function.
        """
        seen: dict[Tensor, Value] = {}
        zero = tf.UnconnectedGradients.ZERO
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as outer:
            with tf.GradientTape(persistent=True, watch_accessed_variables=False) as inner:

                def watch(tensor: Tensor, value: Value) -> Value:
                    if tensor is watched:
                        outer.watch(value)
                        inner.watch(value)
                        seen[tensor] = value
                    return value

                fetched = graph.run(feeds, fetches, watch, [watched])
                totals = [keras.ops.sum(score) for score in scores(*fetched)]
            value = seen[watched]
            gradients = [inner.gradient(total, value, unconnected_gradients=zero) for total in totals]
            along = tf.stop_gradient(value)
            slopes = [tf.reduce_sum(gradient * along) for gradient in gradients]
        try:
            products = [outer.gradient(slope, value, unconnected_gradients=zero) for slope in slopes]
        except LookupError as error:
            operation = str(error).rpartition(" ")[2].removesuffix("Grad")
            raise MethodNotValid(
                f"the operation {operation} between {watched.path!r} and the score has no second derivative"
            ) from error
        return value, gradients, products, fetched

    def ruled(self, rule: ReluRule | None) -> Callable[[Node], Function] | None:
        """What `Graph.run` takes as `call`: every ReLU keeps its values and gets the gradient of `rule`.

        `guided` and `deconvnet` as Springenberg 2014 and Zeiler 2014. `redirected`, for values that are raised: where
        a ReLU lets no gradient at all through for an image, that which would push a negative input up, or one beyond
        ReLU6's 6 down, passes (Olah 2017). None for None.
        """
        return partial(with_gradient, rule) if rule else None

    def value_and_gradient(self, function: Callable[[Value], Value], at: Value) -> tuple[Value, Value]:
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

        def body(place: Value, values: Tensors, arrays: list[Value]) -> tuple[Value, Tensors, list[Value]]:
            after, results = step(values, [item[place] for item in inputs])
            same = [tf.ensure_shape(new, old.shape) for new, old in zip(after, values, strict=True)]
            written = [array.write(place, result) for array, result in zip(arrays, results, strict=True)]
            return place + 1, same, written

        _, state, found = tf.while_loop(
            lambda place, *_: place < count, body, (tf.constant(0), state, found), parallel_iterations=1
        )
        return state, [array.stack() for array in found]
