"""What explainers compute with; TensorFlow is one such backend, another tensor library would be a second."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from service.arrays import Array, Function, Ops, Value

if TYPE_CHECKING:
    from service.models.graph.graph import Graph, Node, Tensor

Plan = Callable[..., list[Array]]
Signature = Sequence[tuple[tuple[int | None, ...], str]]
ReluRule = Literal["guided", "deconvnet", "redirected"]
# What stands in for the gradient: of ReLUs alone, or of everything that is not linear.
GradientRule = ReluRule | Literal["rescale"]
RelevanceRule = Literal["epsilon", "zplus", "alphabeta", "composite"]
LayerRule = Literal["epsilon", "zplus", "alphabeta", "gamma", "box", "zero"]
Tensors = list[Value]
# About how long one step of a call may take, so that it can be stopped and others get their turn.
CHUNK_S = 0.1


@dataclass(frozen=True)
class Relevance:
    """How a score is shared out backwards; documented at `service.models.backends.relevance`.

    `epsilon` is a share of the root mean square of a layer's values, `alpha` of the alphabeta rule, `gamma` of the
    composite.
    """

    rule: RelevanceRule
    epsilon: float
    alpha: float
    gamma: float


def sized(key: Hashable, signature: Signature) -> Hashable:
    """What a plan is known by: a network of open input size has one for each size that it is asked about."""
    return key, tuple(tuple(shape) for shape, _ in signature)


class InTurn(Protocol):
    """Calls what is computed, now or once it is its turn, and gives what it gives."""

    def __call__(self, compute: Callable[[], Value], /) -> Value: ...


class Occluded(Protocol):
    """Scores under the windows of a grid; documented at `service.models.backends.incremental.occluded.Occluded`."""

    saved: float
    share: float
    faster: bool
    obstacle: str | None
    chunk: int

    def on(self, batch: Array, cover: Array) -> tuple[Array, Callable[[Array], Array]]:
        """Scores of an image, and a function from the places (b, 2) of windows to the scores under these."""

    def through(self, in_turn: InTurn) -> Occluded:
        """The same, with every run of a plan handed to `in_turn`."""


class Shuffled(Protocol):
    """A network with weights of its own; documented at `service.models.graph.shuffled.ShuffledGraph`."""

    @property
    def graph(self) -> Graph:
        """The network."""

    @property
    def layers(self) -> tuple[str, ...]:
        """The paths of those whose weights can be shuffled."""

    @property
    def left_out(self) -> tuple[str, ...]:
        """The paths of those that keep the warm model's."""

    def shuffle(self, first: int, last: int) -> None:
        """Layers from `first` to before `last` lose what they learnt."""


class Backend(Protocol):
    """`ops` is `keras.ops` or has its functions; the rest is documented at `TensorFlowBackend`."""

    ops: Ops

    def compiled(
        self, key: Hashable, function: Function, signature: Signature, *, shared: bool = True, rows: int = 1
    ) -> Plan:
        """`function` of tensors, traced once a key."""

    def chunk(self, graph: Graph, size: tuple[int, int], *, backward: bool = False, seconds: float = CHUNK_S) -> int:
        """How many images one step may take."""

    def rows(self, graph: Graph, size: tuple[int, int], *, backward: bool = False) -> int:
        """How many images one step may take within memory."""

    def incremental(
        self,
        graph: Graph,
        target: Tensor,
        matrix: Callable[[Ops, Value], Value],
        key: Hashable,
        size: tuple[int, int],
        windows: Sequence[Sequence[tuple[int, int]]],
    ) -> Occluded:
        """Scores under every window of a grid, computing only what a window changes."""

    def share(
        self,
        graph: Graph,
        size: tuple[int, int],
        end: Tensor,
        *,
        after: Tensor | None = None,
        at: tuple[int, int] | None = None,
    ) -> float:
        """About how much of a pass's time a part of it takes."""

    def shape(self, graph: Graph, size: tuple[int, int], tensor: Tensor) -> tuple[int, ...]:
        """The shape of a value, without the batch, for an input of that size."""

    def fits(self, graph: Graph, size: tuple[int, int]) -> bool:
        """Whether one image of that size stays within memory, forward and backward."""

    def gradients(
        self,
        graph: Graph,
        feeds: Mapping[Tensor, Value],
        watched: Sequence[Tensor],
        fetches: Sequence[Tensor],
        scores: Callable[..., list[Value]],
        rule: GradientRule | None = None,
    ) -> tuple[list[Value], list[list[Value]], list[Value]]:
        """One forward pass, and a backward pass for each score."""

    def hessian_products(
        self,
        graph: Graph,
        feeds: Mapping[Tensor, Value],
        watched: Tensor,
        fetches: Sequence[Tensor],
        scores: Callable[..., list[Value]],
    ) -> tuple[Value, list[Value], list[Value], list[Value]]:
        """Gradients of scores, and the products of their Hessians with the value they are taken at."""

    def relevances(
        self,
        graph: Graph,
        images: Value,
        end: Tensor,
        scores: Callable[[Value], list[Value]],
        asked: Relevance,
        bounds: tuple[Value, Value],
    ) -> tuple[list[Value], list[Value], Value]:
        """One forward pass, and a pass back for each score."""

    def shuffled(self, graph: Graph, end: Tensor, seed: int) -> AbstractContextManager[tuple[Backend, Shuffled]]:
        """The network with weights of its own that can be shuffled, and a backend for it, whose plans end with it."""

    def ruled(self, rule: GradientRule | None) -> Callable[[Node], Function] | None:
        """What `Graph.run` takes as `call` so that every ReLU has the gradient of `rule`."""

    def value_and_gradient(self, function: Callable[[Value], Value], at: Value) -> tuple[Value, Value]:
        """A value an image, and the gradient of their sum."""

    def scan(
        self, step: Callable[[Tensors, Tensors], tuple[Tensors, Tensors]], state: Tensors, inputs: Tensors, outputs: int
    ) -> tuple[Tensors, Tensors]:
        """A loop over the first axis of `inputs`."""
