"""The one wall around TensorFlow that explainers compute behind: compiled plans, gradients, array in and out.

One backend belongs to one loaded model, so its compiled plans are freed with the model. A plan is traced once with a
fixed signature (the batch open) and called as a concrete function: it cannot retrace.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import keras
import numpy as np
import tensorflow as tf

from service.arrays import Array, Function, Ops, Value
from service.errors import MethodNotValid, OutOfMemory
from service.models.backends.backward import with_gradient
from service.models.backends.gradients import OwnGradients
from service.models.backends.incremental.occluded import WindowScores
from service.models.backends.incremental.schedule import schedule
from service.models.backends.interface import CHUNK_S, Backend, GradientRule, Plan, Relevance, Signature, Tensors, sized
from service.models.backends.plans import PlanCache
from service.models.backends.relevance import LOST, Rules, first_nodes, rules_for, seeded
from service.models.backends.rescale import rescaled
from service.models.graph.cost import OperationCost, activation_bytes, flops, largest_bytes, shapes_at
from service.models.graph.graph import Graph, Node, Tensor
from service.models.graph.shuffled import ShuffledGraph, shuffled_graph

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

    @contextmanager
    def shuffled(self, graph: Graph, end: Tensor, seed: int) -> Iterator[tuple[Backend, ShuffledGraph]]:
        """Gives the network before `end` with weights of its own, and a backend for it; its plans and copies end with
        the block."""
        own = TensorFlowBackend(self._call_bytes, self._gradients)
        try:
            yield own, shuffled_graph(graph, end, seed)
        finally:
            own.plans.release()

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
        rule: GradientRule | None = None,
    ) -> tuple[list[Value], list[list[Value]], list[Value]]:
        """One forward pass, and a backward pass for each score, the tape only from the `watched` values on.

        `scores(*fetched)` gives a list of scores of shape (batch,). Returns the watched values; for each score the
        gradients with respect to them, zeros where it does not depend on them; and the fetched values. `rule`
        replaces gradients, see `ruled`. Use inside a compiled function.
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

    def relevances(
        self,
        graph: Graph,
        images: Value,
        end: Tensor,
        scores: Callable[[Value], list[Value]],
        asked: Relevance,
        bounds: tuple[Value, Value],
    ) -> tuple[list[Value], list[Value], Value]:
        """One forward pass of `images`, and a pass back for each score, by the rules of `asked`.

        `scores(value of end)` gives a list of scores of shape (batch,). Returns, for each of them, the relevance of
        every number of the images; (batch, 3), what biases, epsilon and divisors of 0 keep of the score; and the value
        of `end`. `bounds` are the least and largest values an image can have, of its shape or of one that spreads to
        it. Raises MethodNotValid for an operation without a rule. Use inside a compiled function.
        """
        source = graph.inputs[0]
        first = [node.inputs[0] for node in first_nodes(graph, end)] if asked.rule == "composite" else []
        ends = [graph.run({source: bound * tf.ones_like(images)}, first) for bound in bounds] if first else [[], []]
        rules = Rules(asked, rules_for(graph, end, asked), dict(zip(first, zip(*ends, strict=True), strict=True)))
        lost = tf.zeros((tf.shape(images)[0], len(LOST)), tf.float32)
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(images)
            tape.watch(lost)
            (value,) = graph.run({source: images}, [end], call=lambda node: rules.stand_in(node, lost))
            totals = [keras.ops.sum(score) for score in scores(seeded(value))]
        zero = tf.UnconnectedGradients.ZERO
        found = [tape.gradient(total, [images, lost], unconnected_gradients=zero) for total in totals]
        return [own for own, _ in found], [kept for _, kept in found], value

    def ruled(self, rule: GradientRule | None) -> Callable[[Node], Function] | None:
        """What `Graph.run` takes as `call` so that values stay and gradients follow `rule`; None for None.

        `guided` and `deconvnet` as Springenberg 2014 and Zeiler 2014. `redirected`, for values that are raised: where
        a ReLU lets no gradient at all through for an image, that which would push a negative input up, or one beyond
        ReLU6's 6 down, passes (Olah 2017). `rescale` for a batch whose second half is the baselines of the first, see
        `service.models.backends.rescale`.
        """
        if rule is None:
            return None
        return rescaled if rule == "rescale" else partial(with_gradient, rule)

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
