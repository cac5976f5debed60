"""A variant is one definition within a method's family, and one object: all that is said of it follows from that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal

from pydantic import GetCoreSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema
from typing_extensions import TypeVar

from service.arrays import Array, Floats
from service.explainers.params import ExplainerParams

if TYPE_CHECKING:
    from service.explainers.subject import Subject
    from service.models.graph.graph import Graph
    from service.models.graph.head import Head

P = TypeVar("P", bound=ExplainerParams, default=Any)
NUMERALS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


@dataclass(frozen=True)
class Warned:
    """Something the caller should know about an otherwise good answer."""

    code: str
    detail: str


@dataclass(frozen=True)
class Maps:
    """What a variant computes: a float32 map a target, not normalised, and the (n,) `scores` of the image itself.

    `parameters` are those that the variant chose itself, for the answer; `extras` are other arrays, one a
    target or one for all, under the name that they have in the answer of one target.
    """

    values: list[Floats]
    scores: Floats
    parameters: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[Warned, ...] = ()
    extras: Mapping[str, Sequence[Array]] = field(default_factory=dict)


@dataclass(frozen=True)
class Variant:
    """One definition: the paper it is taken from, what it costs in words, when not to trust it.

    `takes` names the parameters that it reads and others of its family do not.
    """

    name: str
    summary: str
    paper: str
    passes: str = "1 forward"
    caution: str = ""
    takes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Measure(Variant):
    """A definition of what makes a map good: `better` says which numbers speak for it, `unit` what they are in."""

    better: Literal["lower", "higher", "none"]
    unit: str


def _nothing(*_: object) -> None:
    return None


def _one_pass(*_: object) -> float:
    return 1


@dataclass(frozen=True, kw_only=True)
class MapVariant(Variant, Generic[P]):
    """A definition that gives a map a target, with its computation.

    `compute` makes the maps; `estimate` says, before any work, how many forward passes of one image take as long.
    `check` raises every KerascopeError that `compute` would, but those that only its numbers show. `problem` says why
    the definition is not valid for a model, as a sentence; None when it is. The maps of a `signed` one speak for the
    target and against it; one with `cam_layer` takes the model's CAM layer where the caller names no layer; those of a
    `colourless` one are (h, w), whatever the image's channels.
    """

    compute: Callable[[Subject, P], Maps]
    estimate: Callable[[Subject, P], float] = _one_pass
    check: Callable[[Subject, P], None] = _nothing
    problem: Callable[[Graph, Head], str | None] = _nothing
    signed: bool = False
    cam_layer: bool = False
    colourless: bool = False


def variant(
    name: str,
    summary: str,
    paper: str,
    passes: str,
    caution: str,
    *,
    estimate: Callable[[Subject, P], float] = _one_pass,
    check: Callable[[Subject, P], None] = _nothing,
    problem: Callable[[Graph, Head], str | None] = _nothing,
    takes: tuple[str, ...] = (),
    signed: bool = False,
    cam_layer: bool = False,
    colourless: bool = False,
) -> Callable[[Callable[[Subject, P], Maps]], MapVariant[P]]:
    """A decorator that makes a variant of the function that computes it; see `MapVariant`."""

    def made(compute: Callable[[Subject, P], Maps]) -> MapVariant[P]:
        return MapVariant(
            name, summary, paper, passes, caution, takes,
            compute=compute, estimate=estimate, check=check, problem=problem, signed=signed, cam_layer=cam_layer,
            colourless=colourless,
        )  # fmt: skip

    return made


def in_words(count: int) -> str:
    """A small number as a word, for a summary."""
    return NUMERALS[count] if count < len(NUMERALS) else str(count)


def names_of(variants: Iterable[Variant]) -> tuple[str, ...]:
    """The variants' names, in their order."""
    return tuple(each.name for each in variants)


def taken_by_some(variants: tuple[Variant, ...]) -> dict[str, tuple[str, ...]]:
    """The parameters that some variants alone take, with the names of these."""
    parameters = dict.fromkeys(name for each in variants for name in each.takes)
    return {name: names_of(each for each in variants if name in each.takes) for name in parameters}


def takers(variants: tuple[Variant, ...], parameter: str) -> str:
    """The names of the variants that take a parameter, for its description."""
    return ", ".join(taken_by_some(variants)[parameter])


@dataclass(frozen=True)
class OneOf:
    """Marks a text parameter, `Annotated[str, OneOf(names)]`, that takes one of `names`: they are its enum."""

    names: tuple[str, ...]

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The schema of a `Literal` of the names."""
        return core_schema.literal_schema(list(self.names))


def choices_of(parameter: FieldInfo) -> tuple[str, ...]:
    """The names that a parameter marked with `OneOf` takes; none for any other."""
    return next((mark.names for mark in parameter.metadata if isinstance(mark, OneOf)), ())
