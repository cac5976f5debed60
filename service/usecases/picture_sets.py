"""Sets of pictures on their way: looked at when a job is submitted, and read a picture at a time when it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from service.arrays import Array
from service.contract.jobs import SetTaken
from service.errors import FieldError, InvalidParameter, TooLarge
from service.explainers.picture_sets import SetAsked
from service.imaging.decode import DecodeLimits
from service.imaging.picture_zip import OpenZip, pictures_in
from service.usecases.request import ExplainRequest, SentSet


def looked_at(request: ExplainRequest, limits: DecodeLimits) -> ExplainRequest:
    """The request with what is in its sets; all pictures are decoded for that, one after the other.

    Raises InvalidParameter for a set that is missing, that no method looks at, or that has too few pictures or too many
    once bad ones are left out; what `pictures_in` raises, with the set's name.
    """
    asked = {each.name: each for call in request.methods for each in call.explainer.sets_of(call.params)}
    for name in request.sets:
        if name not in asked:
            wanted = f"it looks at {', '.join(map(repr, asked))}" if asked else "it looks at no sets"
            raise InvalidParameter(
                f"{request.kind!r} does not look at {name!r} with these parameters; {wanted}",
                errors=[FieldError((name,), "not looked at")],
            )
    return replace(request, sets={name: _taken(each, request.sets.get(name), limits) for name, each in asked.items()})


def _taken(asked: SetAsked, sent: SentSet | None, limits: DecodeLimits) -> SentSet:
    name = asked.name
    if sent is None:
        raise _invalid(name, f"{name!r} is missing: send {asked.least} to {asked.most} {asked.what}")
    try:
        found = pictures_in(sent.data, limits)
    except TooLarge as error:
        raise TooLarge(f"{name}: {error.detail}") from error
    except InvalidParameter as error:
        raise _invalid(name, f"{name}: {error.detail}") from error
    if not asked.least <= len(found.pictures) <= asked.most:
        bad = f"; {len(found.left_out)} were left out" if found.left_out else ""
        first = f", such as {found.left_out[0][0]!r}: {found.left_out[0][1]}" if found.left_out else ""
        said = f"{name!r} has {_counted(len(found.pictures))}, and takes {asked.least} to {asked.most}{bad}{first}"
        raise _invalid(name, said)
    return replace(sent, taken=SetTaken(pictures=found.pictures, left_out=found.left_out))


def _counted(count: int) -> str:
    return "1 good picture" if count == 1 else f"{count} good pictures"


def _invalid(name: str, detail: str) -> InvalidParameter:
    return InvalidParameter(detail, errors=[FieldError((name,), detail)])


def first_pictures(request: ExplainRequest, limits: DecodeLimits) -> dict[str, Array]:
    """The first picture of each set, as the array that it travels as: what a check needs."""
    return {
        f"{name}/0": OpenZip(sent.data, limits).picture(sent.taken.pictures[0]).pixels
        for name, sent in request.sets.items()
    }


class SetArrays(Mapping[str, Array]):
    """The pictures of a request's sets as arrays named `<set>/<place>`, each decoded when it is asked for and not kept,
    so that one at a time is there at its own size."""

    def __init__(self, request: ExplainRequest, limits: DecodeLimits, before_each: Callable[[], None]) -> None:
        """`before_each` is called before a picture is decoded, and may raise to stop."""
        self._sets = request.sets
        self._zips = {name: OpenZip(sent.data, limits) for name, sent in request.sets.items()}
        self._before_each = before_each
        self._names = [
            f"{name}/{place}" for name, sent in request.sets.items() for place in range(len(sent.taken.pictures))
        ]
        self._known = frozenset(self._names)

    def __getitem__(self, key: str) -> Array:
        if key not in self._known:
            raise KeyError(key)
        self._before_each()
        name, _, place = key.rpartition("/")
        return self._zips[name].picture(self._sets[name].taken.pictures[int(place)]).pixels

    def __contains__(self, key: object) -> bool:
        return key in self._known

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
