"""What explainers compute with. `service.models.backend` is one; another tensor library would be a second."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from numpy.typing import NDArray

if TYPE_CHECKING:
    from service.models.graph import Graph, Tensor

Plan = Callable[..., list[NDArray[Any]]]
Signature = Sequence[tuple[tuple[int | None, ...], str]]
ReluRule = Literal["guided", "deconvnet"]


class Backend(Protocol):
    """`ops` is `keras.ops` or has its functions; the rest is documented at `TensorFlowBackend`."""

    ops: Any

    def compiled(self, key: Hashable, function: Callable[..., Any], signature: Signature) -> Plan:
        """`function` of tensors, traced once a key."""

    def chunk(self, graph: Graph, size: tuple[int, int], *, backward: bool = False) -> int:
        """How many images one step may take."""

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
