"""A model's backend whose plans are run in another way: smaller, in turn, or once for several methods."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from service.arrays import Array
from service.engine.child.turns import Turns
from service.models.backends.interface import CHUNK_S, Backend, Occluded, Plan, Signature
from service.models.backends.work import doing

if TYPE_CHECKING:
    from service.models.graph.graph import Graph
import hashlib

SMALLER = 4


class Around:
    """Everything is the backend's own; subclasses say how a plan is run."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.ops = backend.ops
        self.chunk, self.rows, self.fits, self.share = backend.chunk, backend.rows, backend.fits, backend.share
        self.gradients, self.value_and_gradient = backend.gradients, backend.value_and_gradient
        self.ruled, self.scan = backend.ruled, backend.scan

    def compiled(
        self, key: Hashable, function: Callable[..., Any], signature: Signature, *, shared: bool = True, rows: int = 1
    ) -> Plan:
        """Compiles as the backend does."""
        return self._backend.compiled(key, function, signature, shared=shared, rows=rows)

    def incremental(self, *grid: Any) -> Occluded:
        """Prepares a grid as the backend does."""
        return self._backend.incremental(*grid)


class Smaller(Around):
    """Takes a quarter as many images a step: for a call that the device had not enough memory for."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)

        def chunk(graph: Graph, size: tuple[int, int], *, backward: bool = False, seconds: float = CHUNK_S) -> int:
            return max(1, backend.chunk(graph, size, backward=backward, seconds=seconds) // SMALLER)

        self.chunk = chunk

    def incremental(self, *grid: Any) -> Occluded:
        """Computes a grid in smaller steps too."""
        found = super().incremental(*grid)
        found.chunk = max(1, found.chunk // SMALLER)
        return found


class BetweenCalls(Around):
    """Runs a background job's plans: each run waits for its turn, so that callers go before the next.

    Compiling, drawing and saving hold no turn: a caller never waits for more than one run.
    """

    def __init__(self, backend: Backend, turns: Turns) -> None:
        super().__init__(backend)
        self._turns = turns

    def compiled(
        self, key: Hashable, function: Callable[..., Any], signature: Signature, *, shared: bool = True, rows: int = 1
    ) -> Plan:
        """Runs in turn."""
        plan = super().compiled(key, function, signature, shared=shared, rows=rows)

        def run(*arrays: Array) -> list[Array]:
            with self._turns.job(), doing("step"):
                return plan(*arrays)

        return run

    def incremental(self, *grid: Any) -> Occluded:
        """Runs in turn."""

        def in_turn(compute: Callable[[], Any], /) -> Any:
            with self._turns.job(), doing("step"):
                return compute()

        return super().incremental(*grid).through(in_turn)


class SharedPasses(Around):
    """A model's backend for the length of one call: a plan that is asked twice for one image is run once.

    `runs` counts the passes that were run. Batches of many images are not kept, for the sake of memory.
    """

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self._results: dict[Hashable, list[Array]] = {}
        self.runs = 0

    def compiled(
        self, key: Hashable, function: Callable[..., Any], signature: Signature, *, shared: bool = True, rows: int = 1
    ) -> Plan:
        """Compiles as the backend does; the results for single images are kept where they are `shared`."""
        plan = super().compiled(key, function, signature, shared=shared, rows=rows)
        if not shared:
            return plan

        def run(*arrays: Array) -> list[Array]:
            if arrays[0].shape[0] != 1:
                return plan(*arrays)
            known = (key, *(hashlib.sha256(array.tobytes()).digest() for array in arrays))
            if known not in self._results:
                self.runs += 1
                self._results[known] = plan(*arrays)
            return self._results[known]

        return run
