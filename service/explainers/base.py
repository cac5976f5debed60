"""What every method is: a class that describes itself and computes arrays from arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Generic

from service.arrays import Arrays, Floats
from service.explainers.params import ExplainerParams
from service.explainers.picture_sets import SetAsked
from service.explainers.targets import Targets, stated_targets
from service.explainers.variants import Measure, P, Variant, Warned, taken_by_some

if TYPE_CHECKING:
    from service.explainers.subject import Subject
    from service.models.graph.graph import Graph, LayerEntry
    from service.models.graph.head import Head


class Cost(StrEnum):
    """What a call costs, in passes through the network."""

    READ = "no pass"
    FORWARD = "one pass"
    BACKWARD = "a few passes"
    SAMPLES = "up to thousands of passes"
    ASCENT = "thousands of passes, as a job"
    PICTURES = "passes for each of many pictures, as a job"

    @property
    def as_job(self) -> bool:
        """Whether a call always runs as a background job."""
        return self in (Cost.ASCENT, Cost.PICTURES)


class Picture(StrEnum):
    """How the arrays are drawn: over the photograph, a stack of channels as tiles, as the images they are, or on a
    sheet of its own."""

    NONE = "none"
    HEATMAP = "heatmap"
    TILES = "tiles"
    IMAGES = "images"
    SHEET = "sheet"


class Photograph(StrEnum):
    """Whether a method is asked about an image, or about sets of them."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    SETS = "sets"
    NONE = "none"


class Scale(StrEnum):
    """How a map is brought to [0, 1] for drawing: by its maximum, its range, or symmetrically about 0."""

    MAX = "max"
    MINMAX = "minmax"
    SYMMETRIC = "symmetric"


@dataclass(frozen=True)
class Explanation:
    """Raw results, never normalised. `primary` names the array that `format=npy` gives.

    `scores` holds the (n,) float32 scores of the same pass that `targets`, with ranks resolved, pick from; `maps`
    names the array of each target; `parameters` holds what the method chose itself (the layer, …); `scale` is for
    drawing; `titles` a line for each array that is drawn.
    """

    arrays: Arrays
    primary: str
    scores: Floats | None = None
    targets: Targets | None = None
    maps: tuple[str, ...] = ()
    parameters: Mapping[str, object] = field(default_factory=dict)
    scale: Scale = Scale.MAX
    titles: Mapping[str, str] = field(default_factory=dict)
    statistics: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[Warned, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """A long computation as it stands: `state` is all it needs to go on from here, `preview` what it would give now."""

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


class Part(Progress):
    """The progress of one of `count` parts of a computation, told to the whole's as if all took as long."""

    def __init__(self, whole: Progress, place: int, count: int) -> None:
        self._whole, self._place, self._count = whole, place, count

    def __call__(
        self, done: int, total: int, loss: float | None = None, snapshot: Callable[[], Snapshot] | None = None
    ) -> None:
        """Tells the whole. A part is no state to go on from, so `snapshot` goes no further."""
        self._whole(self._place * total + done, self._count * total, loss)


class Explainer(ABC, Generic[P]):
    """A method with parameters P. The class says everything about itself: route, schema, drawing, catalogue follow."""

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    cost: ClassVar[Cost]
    picture: ClassVar[Picture]
    outputs: ClassVar[tuple[str, ...]]
    variants: ClassVar[tuple[Variant, ...]]
    only: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Parameters that some variants alone take, with the names of these; it follows from the variants."""
    targeted: ClassVar[bool] = False
    metrics: ClassVar[tuple[Measure, ...]] = ()
    """What it measures other methods by; one with metrics takes `methods`, and is none of them."""
    photograph: ClassVar[Photograph] = Photograph.REQUIRED
    sets: ClassVar[tuple[SetAsked, ...]] = ()
    """The sets of pictures that its variants look at."""
    Params: ClassVar[type[ExplainerParams]]

    def __init_subclass__(cls) -> None:
        if "variants" in vars(cls):
            cls.only = taken_by_some(cls.variants)

    @abstractmethod
    def explain(self, subject: Subject, params: P) -> Explanation:
        """Raw results for one image. Raises a KerascopeError."""

    def explain_raw(self, subject: Subject, params: P) -> Explanation:
        """The same arrays for an answer that holds nothing else: statistics of them may be left out."""
        return self.explain(subject, params)

    @classmethod
    def why_not(cls, entry: LayerEntry) -> str | None:
        """Why a layer cannot be asked of this method, as half a sentence; None when it can."""
        return "the method takes no layer"

    @classmethod
    def passes(cls, subject: Subject, params: P) -> int:
        """An estimate of how many forward passes of one image take as long, made before any work; a backward pass
        counts as two, and a part of a pass as its share."""
        return 1

    @classmethod
    def stated_arrays(cls, params: P) -> int:
        """How many arrays of equal standing the parameters ask for, such as a map a target; 1 where only the model
        tells."""
        return stated_targets(getattr(params, "target", "")) if cls.targeted else 1

    @classmethod
    def arrays_of(cls, subject: Subject, params: P) -> int:
        """How many arrays of equal standing the answer will have."""
        return len(subject.targets.pairs) if cls.targeted else 1

    @classmethod
    def channel_pictures(cls, subject: Subject, params: P) -> int:
        """How many pictures of single channels the answer will have."""
        return 0

    @classmethod
    def problem(cls, variant: str, graph: Graph, head: Head) -> str | None:
        """Why a variant is not valid for a model, as a sentence; None when it is."""
        return None

    @classmethod
    def check(cls, subject: Subject, params: P) -> None:
        """Raises every KerascopeError that `explain` would, but those that only its numbers show.

        It is asked before any method of a call computes, and before a job is accepted.
        """
        return None

    @classmethod
    def wants_image(cls, params: P) -> bool:
        """Whether a call with these parameters needs an image."""
        return cls.photograph is Photograph.REQUIRED

    @classmethod
    def sets_of(cls, params: P) -> tuple[SetAsked, ...]:
        """The sets that a call with these parameters looks at."""
        return cls.sets

    @classmethod
    def for_outputs(cls, params: P, outputs: tuple[str, ...]) -> P:
        """The parameters with what it takes to draw `outputs`."""
        return params

    @classmethod
    def takes_cam_layer(cls, params: P) -> bool:
        """Whether the model's CAM layer is taken where the caller names no layer."""
        return False

    @classmethod
    def unused(cls, params: P) -> dict[str, str]:
        """Parameters that are not read beside the others, such as those that the variant does not take, with why."""
        name = cls.variant(params).name
        return {
            parameter: f"{name} does not take it; it is for {', '.join(variants)}"
            for parameter, variants in cls.only.items()
            if name not in variants
        }

    @classmethod
    def variant(cls, params: P) -> Variant:
        """The variant `params` chooses; the only one where there is no choice."""
        return cls.named(getattr(params, "method", cls.variants[0].name))

    @classmethod
    def named(cls, variant: str) -> Variant:
        """The variant of that name."""
        return next(each for each in cls.variants if each.name == variant)
