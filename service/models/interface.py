"""What explainers compute with. `service.models.backend` is one; another tensor library would be a second."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from numpy.typing import NDArray

if TYPE_CHECKING:
    from service.models.graph import Graph, Node, Tensor

Plan = Callable[..., list[NDArray[Any]]]
Signature = Sequence[tuple[tuple[int | None, ...], str]]
ReluRule = Literal["guided", "deconvnet", "redirected"]
Tensors = list[Any]
# About how long one step of a call may take, so that it can be stopped and others get their turn.
CHUNK_S = 0.5


class Backend(Protocol):
    """`ops` is `keras.ops` or has its functions; the rest is documented at `TensorFlowBackend`."""

    ops: Any

    def compiled(
        self, key: Hashable, function: Callable[..., Any], signature: Signature, *, shared: bool = True, rows: int = 1
    ) -> Plan:
        """`function` of tensors, traced once a key."""

    def chunk(self, graph: Graph, size: tuple[int, int], *, backward: bool = False, seconds: float = CHUNK_S) -> int:
        """How many images one step may take."""

    def rows(self, graph: Graph, size: tuple[int, int], *, backward: bool = False) -> int:
        """How many images one step may take within memory."""

    def fits(self, graph: Graph, size: tuple[int, int]) -> bool:
        """Whether one image of that size stays within memory, forward and backward."""

    def gradients(
        self,
        graph: Graph,
        feeds: Mapping[Tensor, Any],
        watched: Sequence[Tensor],
        fetches: Sequence[Tensor],
        scores: Callable[..., list[Any]],
        rule: ReluRule | None = None,
    ) -> tuple[list[Any], list[list[Any]], list[Any]]:
        """One forward pass, and a backward pass for each score."""

    def ruled(self, rule: ReluRule | None) -> Callable[[Node], Callable[..., Any]] | None:
        """What `Graph.run` takes as `call` so that every ReLU has the gradient of `rule`."""

    def value_and_gradient(self, function: Callable[[Any], Any], at: Any) -> tuple[Any, Any]:
        """A value an image, and the gradient of their sum."""

    def scan(
        self, step: Callable[[Tensors, Tensors], tuple[Tensors, Tensors]], state: Tensors, inputs: Tensors, outputs: int
    ) -> tuple[Tensors, Tensors]:
        """A loop over the first axis of `inputs`."""
