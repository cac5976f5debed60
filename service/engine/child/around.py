"""A model's backend whose plans are run in another way: smaller, in turn, or once for several methods."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from service.arrays import Array, Function, Structure
from service.engine.child.turns import Turns
from service.models.backends.interface import CHUNK_S, Backend, Occluded, Plan, Shuffled, Signature, sized
from service.models.backends.work import doing

if TYPE_CHECKING:
    from service.models.graph.graph import Graph, Tensor

SMALLER = 4
T = TypeVar("T")


@dataclass(frozen=True)
class Compiled:
    """A plan, and what was said of it when it was compiled: what it is known by, whether its results are worth keeping,
    and how many images of different calls may be run as one."""

    key: Hashable
    plan: Plan
    shared: bool
    rows: int


class Around:
    """Does everything as the backend does; subclasses say how a plan is run, in `run` and `alone`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.ops = backend.ops
        self.chunk, self.rows, self.fits, self.share = backend.chunk, backend.rows, backend.fits, backend.share
        self.shape, self.hessian_products = backend.shape, backend.hessian_products
        self.gradients, self.value_and_gradient = backend.gradients, backend.value_and_gradient
        self.ruled, self.scan, self.relevances = backend.ruled, backend.scan, backend.relevances

    def run(self, compiled: Compiled, arrays: tuple[Array, ...]) -> list[Array]:
        """Runs a plan."""
        return compiled.plan(*arrays)

    def alone(self, compute: Callable[[], T], /) -> T:
        """Runs what is no plan for others to join: a step of windows."""
        return compute()

    def compiled(
        self, key: Hashable, function: Function, signature: Signature, *, shared: bool = True, rows: int = 1
    ) -> Plan:
        """Compiles as the backend does; the plan goes through `run`."""
        plan = self._backend.compiled(key, function, signature, shared=shared, rows=rows)
        compiled = Compiled(sized(key, signature), plan, shared, rows)
        return lambda *arrays: self.run(compiled, arrays)

    def shuffled(self, graph: Graph, end: Tensor, seed: int) -> AbstractContextManager[tuple[Backend, Shuffled]]:
        """Gives what the backend gives; what is compiled for it goes through `run`."""

        @contextmanager
        def network() -> Iterator[tuple[Backend, Shuffled]]:
            with self._backend.shuffled(graph, end, seed) as (own, shuffled):
                around = copy(self)
                around._backend = own
                yield around, shuffled

        return network()

    def incremental(self, *grid: Structure) -> Occluded:
        """Prepares a grid as the backend does; its steps go through `alone`."""
        return self._backend.incremental(*grid).through(self.alone)


class Smaller(Around):
    """Takes a quarter as many images a step: for a call that the device had not enough memory for."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)

        def chunk(graph: Graph, size: tuple[int, int], *, backward: bool = False, seconds: float = CHUNK_S) -> int:
            return max(1, backend.chunk(graph, size, backward=backward, seconds=seconds) // SMALLER)

        self.chunk = chunk

    def incremental(self, *grid: Structure) -> Occluded:
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

    def run(self, compiled: Compiled, arrays: tuple[Array, ...]) -> list[Array]:
        """Runs in turn."""
        return self.alone(lambda: compiled.plan(*arrays))

    def alone(self, compute: Callable[[], T], /) -> T:
        """Runs in turn."""
        with self._turns.job(), doing("step"):
            return compute()


class SharedPasses(Around):
    """A model's backend for the length of one call: a plan that several of its methods ask for one image is run once.

    `runs` counts the passes that were run. Batches of many images are not kept, for the sake of memory.
    """

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self._results: dict[Hashable, list[Array]] = {}
        self.runs = 0

    def shuffled(self, graph: Graph, end: Tensor, seed: int) -> AbstractContextManager[tuple[Backend, Shuffled]]:
        """Gives what the backend gives, and shares nothing: its plans give another result once weights are shuffled."""
        return self._backend.shuffled(graph, end, seed)

    def run(self, compiled: Compiled, arrays: tuple[Array, ...]) -> list[Array]:
        """Runs the plan where no run of it on equal arrays is known; single images of plans that are `shared`."""
        if not compiled.shared or arrays[0].shape[0] != 1:
            return compiled.plan(*arrays)
        known = (compiled.key, *(hashlib.sha256(array.tobytes()).digest() for array in arrays))
        if known not in self._results:
            self.runs += 1
            self._results[known] = compiled.plan(*arrays)
        return self._results[known]
