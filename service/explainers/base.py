"""What every method is: a class that describes itself and computes arrays from arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from service.explainers.params import ExplainerParams

if TYPE_CHECKING:
    from service.models.backend import TensorFlowBackend
    from service.models.graph import Graph, LayerEntry, Tensor
    from service.models.head import Head

Progress = Callable[[int, int], None]
"""Called between chunks with (done, total); raises when the call is to stop."""


class Cost(StrEnum):
    """What a call costs, in passes through the network."""

    READ = "read"
    FORWARD = "forward"
    BACKWARD = "backward"


class Picture(StrEnum):
    """How the primary array is drawn."""

    NONE = "none"
    HEATMAP = "heatmap"
    TILES = "tiles"


@dataclass(frozen=True)
class Variant:
    """One definition within a method's family, with the paper it is taken from."""

    name: str
    summary: str
    paper: str


@dataclass(frozen=True)
class Target:
    """The score a map explains: class `index` (-1: the most probable), minus that of `minus` where this is not -1."""

    head: Head
    index: int = -1
    minus: int = -1

    def score(self, ops: Any, scores: Any, chosen: Any) -> Any:
        """(batch, classes) scores and (2,) int32 `chosen` → (batch,) scores; -1 in front picks the highest."""
        first = ops.where(chosen[0] < 0, ops.argmax(scores, axis=1), ops.cast(chosen[0], "int64"))
        value = ops.sum(scores * ops.one_hot(first, scores.shape[1], dtype="float32"), axis=1)
        other = ops.sum(scores * ops.one_hot(chosen[1], scores.shape[1], dtype="float32")[None], axis=1)
        return value - other

    @property
    def chosen(self) -> NDArray[np.int32]:
        """(2,) int32 for a compiled plan: the class and the one it is contrasted with, -1 for none."""
        return np.array([self.index, self.minus], np.int32)


@dataclass(frozen=True)
class Warned:
    """Something the caller should know about an otherwise good answer."""

    code: str
    detail: str


@dataclass(frozen=True)
class Explanation:
    """Raw results, never normalised. `primary` names the array that `format=npy` gives.

    `scores` holds the (classes,) float32 class scores of the same pass, when there was one; `parameters` what the
    method chose itself (the layer, …); `titles` a line for each array that is drawn.
    """

    arrays: Mapping[str, NDArray[Any]]
    primary: str
    scores: NDArray[np.float32] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    statistics: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[Warned, ...] = ()


class Explainer(ABC):
    """A method. The class says everything about itself; route, schema, drawing and catalogue follow from it."""

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    cost: ClassVar[Cost]
    picture: ClassVar[Picture]
    outputs: ClassVar[tuple[str, ...]]
    variants: ClassVar[tuple[Variant, ...]]
    targeted: ClassVar[bool] = False
    needs_image: ClassVar[bool] = True
    Params: ClassVar[type[ExplainerParams]]

    @abstractmethod
    def explain(
        self,
        backend: TensorFlowBackend,
        graph: Graph,
        image: NDArray[np.float32],
        target: Target,
        params: Any,
        progress: Progress,
    ) -> Explanation:
        """`image` is (1, h, w, c) float32, preprocessed for the model. Raises a KerascopeError."""

    @classmethod
    def why_not(cls, entry: LayerEntry) -> str | None:
        """Why a layer cannot be asked of this method, as half a sentence; None when it can."""
        return "the method takes no layer"

    @classmethod
    def variant(cls, params: ExplainerParams) -> Variant:
        """The variant `params` chooses; the only one where there is no choice."""
        wanted = getattr(params, "method", cls.variants[0].name)
        return next(variant for variant in cls.variants if variant.name == wanted)


def is_map(output: Tensor) -> bool:
    """Whether a value is a stack of maps (batch, h, w, channels) with more than one cell."""
    shape = output.shape
    return len(shape) == 4 and (None in shape[1:3] or int(shape[1] or 1) * int(shape[2] or 1) > 1)
