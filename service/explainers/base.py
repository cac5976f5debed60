"""What every method is: a class that describes itself and computes arrays from arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from service.arrays import Arrays
from service.explainers.params import ExplainerParams
from service.explainers.targets import Targets, stated_targets

if TYPE_CHECKING:
    from service.models.backends.interface import Backend
    from service.models.graph.graph import Graph, LayerEntry, Tensor
    from service.models.graph.head import Head
    from service.models.graph.preprocess import NetworkInput


class Cost(StrEnum):
    """What a call costs, in passes through the network. ASCENT always runs as a background job."""

    READ = "no pass"
    FORWARD = "one pass"
    BACKWARD = "a few passes"
    SAMPLES = "up to thousands of passes"
    ASCENT = "thousands of passes, as a job"


class Picture(StrEnum):
    """How the arrays are drawn: over the photograph, a stack of channels as tiles, or as the images they are."""

    NONE = "none"
    HEATMAP = "heatmap"
    TILES = "tiles"
    IMAGES = "images"


class Photograph(StrEnum):
    """Whether a method is asked about an image."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    NONE = "none"


class Scale(StrEnum):
    """How a map is brought to [0, 1] for drawing: by its maximum, its range, or symmetrically about 0."""

    MAX = "max"
    MINMAX = "minmax"
    SYMMETRIC = "symmetric"


@dataclass(frozen=True)
class Variant:
    """One definition within a method's family: the paper it is taken from, what it costs, when not to trust it."""

    name: str
    summary: str
    paper: str
    passes: str = "1 forward"
    caution: str = ""


@dataclass(frozen=True)
class Warned:
    """Something the caller should know about an otherwise good answer."""

    code: str
    detail: str


@dataclass(frozen=True)
class Explanation:
    """Raw results, never normalised. `primary` names the array that `format=npy` gives.

    `scores` holds the (n,) float32 scores of the same pass that `targets`, with ranks resolved, pick from; `maps`
    names the array of each target; `parameters` holds what the method chose itself (the layer, …); `scale` is for
    drawing; `titles` a line for each array that is drawn.
    """

    arrays: Arrays
    primary: str
    scores: NDArray[np.float32] | None = None
    targets: Targets | None = None
    maps: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    scale: Scale = Scale.MAX
    titles: Mapping[str, str] = field(default_factory=dict)
    statistics: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[Warned, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """Where a long computation stands: `state` is all it needs to go on from here, `preview` what it would give now."""

    state: Arrays
    preview: Explanation


class Progress:
    """What a running method tells between chunks. This one is for calls that nobody watches and that never stop."""

    def __call__(
        self, done: int, total: int, loss: float | None = None, snapshot: Callable[[], Snapshot] | None = None
    ) -> None:
        """`done` of `total` steps are computed; raises when the call is to stop, takes a `snapshot` when one is due."""

    def begin(self, place: int, count: int) -> None:
        """The method at `place` of `count` starts."""

    def resume(self) -> Arrays | None:
        """The state of the last snapshot of an earlier run of this very call; None where there is none."""
        return None


class Explainer(ABC):
    """A method. The class says everything about itself; route, schema, drawing and catalogue follow from it."""

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    cost: ClassVar[Cost]
    picture: ClassVar[Picture]
    outputs: ClassVar[tuple[str, ...]]
    variants: ClassVar[tuple[Variant, ...]]
    only: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Parameters that some variants alone take, with the names of these."""
    targeted: ClassVar[bool] = False
    photograph: ClassVar[Photograph] = Photograph.REQUIRED
    Params: ClassVar[type[ExplainerParams]]

    @abstractmethod
    def explain(
        self,
        backend: Backend,
        graph: Graph,
        image: NetworkInput,
        targets: Targets,
        params: Any,
        progress: Progress,
    ) -> Explanation:
        """Raw results for one image. Raises a KerascopeError."""

    def explain_raw(
        self,
        backend: Backend,
        graph: Graph,
        image: NetworkInput,
        targets: Targets,
        params: Any,
        progress: Progress,
    ) -> Explanation:
        """The same arrays for an answer that holds nothing else: statistics of them may be left out."""
        return self.explain(backend, graph, image, targets, params, progress)

    @classmethod
    def why_not(cls, entry: LayerEntry) -> str | None:
        """Why a layer cannot be asked of this method, as half a sentence; None when it can."""
        return "the method takes no layer"

    @classmethod
    def passes(cls, params: Any, graph: Graph, image: NetworkInput, targets: Targets, backend: Backend) -> int:
        """An estimate of how many forward passes of one image take as long, made before any work; a backward pass
        counts as two, and a part of a pass as its share."""
        return 1

    @classmethod
    def stated_arrays(cls, params: Any) -> int:
        """How many arrays of equal standing the parameters ask for, such as a map a target; 1 where only the model
        tells."""
        return stated_targets(params.target) if cls.targeted else 1

    @classmethod
    def arrays_of(cls, params: Any, graph: Graph, targets: Targets) -> int:
        """How many arrays of equal standing the answer will have."""
        return len(targets.pairs) if cls.targeted else 1

    @classmethod
    def channel_pictures(cls, params: Any, graph: Graph) -> int:
        """How many pictures of single channels the answer will have."""
        return 0

    @classmethod
    def problem(cls, variant: str, graph: Graph, head: Head) -> str | None:
        """Why a variant is not valid for a model, as a sentence; None when it is."""
        return None

    @classmethod
    def check(cls, params: Any, graph: Graph, image: NetworkInput, targets: Targets, backend: Backend) -> None:
        """Raises every KerascopeError that `explain` would, but those that only its numbers show.

        It is asked before any method of a call computes, and before a job is accepted.
        """
        return None

    @classmethod
    def wants_image(cls, params: Any) -> bool:
        """Whether a call with these parameters needs an image."""
        return cls.photograph is Photograph.REQUIRED

    @classmethod
    def for_outputs(cls, params: Any, outputs: tuple[str, ...]) -> Any:
        """The parameters with what it takes to draw `outputs`."""
        return params

    @classmethod
    def takes_cam_layer(cls, params: Any) -> bool:
        """Whether the model's CAM layer is taken where the caller names no layer."""
        return False

    @classmethod
    def unused(cls, params: ExplainerParams) -> list[str]:
        """Parameters that the variant `params` chooses does not take."""
        name = cls.variant(params).name
        return [parameter for parameter, variants in cls.only.items() if name not in variants]

    @classmethod
    def variant(cls, params: ExplainerParams) -> Variant:
        """The variant `params` chooses; the only one where there is no choice."""
        wanted = getattr(params, "method", cls.variants[0].name)
        return next(variant for variant in cls.variants if variant.name == wanted)


def is_map(output: Tensor) -> bool:
    """Whether a value is a stack of maps (batch, h, w, channels) with more than one cell."""
    shape = output.shape
    return len(shape) == 4 and (None in shape[1:3] or int(shape[1] or 1) * int(shape[2] or 1) > 1)
