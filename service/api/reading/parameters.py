"""One flat set of names in a request → the method's parameters and the caller's wishes for the answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from service.api.reading.planes import PART_NAMES, with_planes
from service.contract.options import ANIMATED, PICTURES, AnswerOptions, ArrayEncoding, Format, PictureFormat
from service.errors import FieldError, InvalidParameter, UnknownMethod, nearest
from service.errors.validation import MOST_TOLD, field_errors, in_one, short
from service.explainers import BY_NAME, FAMILY_OF
from service.explainers.base import Explainer, Photograph
from service.explainers.params import ExplainerParams, TargetParams
from service.explainers.variants import choices_of
from service.json_types import Fields, Json
from service.usecases.draw import split_names
from service.usecases.forms import ANIMATION, moves
from service.usecases.request import MethodCall

_FORMAT = "Form of the answer; goes before the `Accept` header."
STILL: tuple[Format, ...] = ("json", "png", "jpeg", "webp", "npy", "npz")
FORMS_OF_MANY: tuple[Format, ...] = ("json", "npz")


class ResultOptions(BaseModel):
    """How an answer is given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Format | None = Field(None, description=_FORMAT)
    outputs: Annotated[tuple[str, ...] | None, BeforeValidator(split_names)] = Field(
        None, description="Pictures to draw, comma-separated; all when absent."
    )
    arrays: ArrayEncoding = Field(
        "none", description="Raw arrays in a JSON answer: none, base64 of their bytes, or lists."
    )
    picture: PictureFormat | None = Field(
        None, description="What the pictures of a JSON answer are: png, jpeg or webp; png when absent."
    )
    quality: int | None = Field(
        None, ge=1, le=100, description="Of JPEG and WebP: 100 keeps most; 90 for JPEG and 85 for WebP when absent."
    )
    max_side: int | None = Field(
        None, ge=16, le=65_535, description="Most pixels of a side of each picture: larger ones are drawn smaller."
    )


class AnimatedOptions(ResultOptions):
    """What a method that can move takes."""

    top: int = Field(5, ge=1, le=1000, description="How many predictions to report.")
    preprocess: bool = Field(True, description="`false` feeds an npy array to the network as it is.")
    priority: int = Field(5, ge=1, le=9, description="Of a background job: 1 goes first, 9 last.")

    def answer(self, form: Format) -> AnswerOptions:
        return AnswerOptions(form, self.outputs, self.arrays, self.top, self.picture, self.quality, self.max_side)


class RequestOptions(AnimatedOptions):
    """What every other method takes."""

    format: Literal["json", "png", "jpeg", "webp", "npy", "npz"] | None = Field(None, description=_FORMAT)


def options_of(explainer: Explainer) -> type[AnimatedOptions]:
    """The options a method takes."""
    return AnimatedOptions if "animation" in explainer.outputs else RequestOptions


def forms_of(explainer: Explainer) -> tuple[Format, ...]:
    """The forms a method's answer can have."""
    if "animation" in explainer.outputs:
        return (*(form for form in STILL if form not in ANIMATED), *ANIMATED)
    return STILL if explainer.outputs else tuple(form for form in STILL if form not in PICTURES)


# More than there are, so that a call may ask for all.
MAX_METHODS = 48
# A plane is decoded for each, which takes a third of a second where it is as large as one may be.
MOST_WITH_PLANES = 4
# What answers and the catalogue call a method's definition.
VARIANT = "variant"


class SharedParams(TargetParams):
    """What stands beside `methods`; target and output are for each method that names none of its own."""

    methods: Json = None


def parse(explainer: Explainer, given: Fields, **fixed: str) -> tuple[ExplainerParams, AnimatedOptions]:
    """`fixed` are parameters that the path has given already.

    Raises InvalidParameter naming every unknown name with the closest valid one, every invalid value, and every
    parameter that the chosen variant does not take.
    """
    given = with_planes(explainer.Params, given)
    if explainer.metrics and given.get("methods") is not None:
        given = {**given, "methods": _as_compared(given["methods"])}
    params, options = _parsed(explainer.Params, options_of(explainer), given, fixed)
    problems = [FieldError((name,), why) for name, why in explainer.unused(params).items() if name in given]
    if problems:
        raise InvalidParameter(in_one(problems), errors=problems)
    drawn = (ANIMATION,) if options.format and moves(explainer, options.format) else options.outputs or ()
    return explainer.for_outputs(params, drawn), options


def parse_result(given: Fields) -> ResultOptions:
    """How a job's result is to be given. Raises InvalidParameter."""
    return _parsed(ExplainerParams, ResultOptions, given, {})[1]


Options = TypeVar("Options", bound=ResultOptions)


def _parsed(
    kind_of_params: type[ExplainerParams],
    kind_of_options: type[Options],
    given: Fields,
    fixed: Mapping[str, str],
) -> tuple[ExplainerParams, Options]:
    known = [name for name in names_of(kind_of_params) if name not in fixed]
    options_given = {name: value for name, value in given.items() if name in kind_of_options.model_fields}
    params_given = {name: value for name, value in given.items() if name in known} | dict(fixed)
    valid = dict.fromkeys([*known, *kind_of_options.model_fields])
    unknown = [name for name in given if name not in valid]
    problems = [
        FieldError(
            (short(name),), f"unknown parameter{_meant(name, given[name], kind_of_params) or _known(name, valid)}"
        )
        for name in unknown[:MOST_TOLD]
    ]
    if len(unknown) > MOST_TOLD:
        problems.append(FieldError((), f"{len(unknown) - MOST_TOLD} more parameters are unknown"))
    parsed: list[BaseModel] = []
    for kind, values in ((kind_of_params, params_given), (kind_of_options, options_given)):
        try:
            parsed.append(kind.model_validate(values))
        except ValidationError as error:
            problems += field_errors(error.errors(), kind)
    if problems:
        raise InvalidParameter(in_one(problems), errors=problems)
    params, options = parsed
    if not isinstance(params, ExplainerParams) or not isinstance(options, kind_of_options):
        raise TypeError("the parameters were parsed into another class")
    return params, options


def parse_many(given: Fields) -> tuple[tuple[MethodCall, ...], RequestOptions]:
    """`methods` as names or as objects with parameters of their own; `target` and `output` beside it are for all that
    name none.

    A name is a method's or a variant's; where the two are the same, as `cam`, an object's `variant` tells them apart.
    Raises InvalidParameter and UnknownMethod.
    """
    shared, options = _parsed(SharedParams, RequestOptions, given, {})
    entries = _method_entries(given.get("methods"))
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_METHODS:
        raise InvalidParameter(f"'methods' must be a list of 1 to {MAX_METHODS} names, or of objects with a 'method'")
    for_all = shared.model_dump(include=shared.model_fields_set - {"methods"})
    return tuple(_method_calls(entries, for_all)), options


def _as_compared(value: Json) -> Json:
    """`methods` of an evaluation as its parameters hold them: each entry parsed as one of several methods is."""
    entries = _method_entries(value)
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_METHODS:
        raise InvalidParameter("'methods' must be a list of 1 to 24 names, or of objects with a 'method'")
    return [
        {
            "called": call.name,
            "name": call.explainer.name,
            "params": call.params.model_dump(mode="json", exclude_unset=True),
        }
        for call in _method_calls(entries, {})
    ]


def _method_calls(entries: list[Json], for_all: Fields) -> list[MethodCall]:
    """Each as its own call; a name that is there twice is followed by its place."""
    with_files = sum(isinstance(entry, dict) and not entry.keys().isdisjoint(PART_NAMES) for entry in entries)
    if with_files > MOST_WITH_PLANES:
        raise InvalidParameter(
            f"{with_files} of 'methods' have a plane of their own, and {MOST_WITH_PLANES} of one call may"
        )
    calls: list[MethodCall] = []
    known: set[str] = set()
    for place, entry in enumerate(entries):
        call = _method_call(place, {"method": entry} if isinstance(entry, str) else entry, for_all)
        calls.append(replace(call, name=f"{call.name}#{place + 1}") if call.name in known else call)
        known.add(calls[-1].name)
    return calls


def _method_entries(value: Json) -> Json:
    """`"gradcam, saliency"` as its names. A `+` in a query string arrives as a space: `gradcam++` ends with two."""
    if isinstance(value, str):
        value = [part for part in value.split(",") if part.strip()]
    if not isinstance(value, list):
        return value
    return [re.sub(r"(?<=\S)  $", "++", entry).strip() if isinstance(entry, str) else entry for entry in value]


def _method_call(place: int, values: Json, for_all: Fields) -> MethodCall:
    if not isinstance(values, dict) or not isinstance(values.get("method"), str):
        raise InvalidParameter("each of 'methods' must be a name, or an object with a 'method' and its parameters")
    name = values["method"]
    if name in BY_NAME and name not in callable_names():
        raise UnknownMethod(f"{name!r} cannot be one of several methods; it has a route of its own")
    if name not in callable_names():
        raise UnknownMethod(f"there is no method {name!r}{nearest(name, callable_names())}")
    misplaced = sorted(set(values) & set(RequestOptions.model_fields))
    if misplaced:
        raise InvalidParameter(f"{misplaced[0]!r} is for the whole answer: write it beside 'methods', not inside")
    explainer = FAMILY_OF.get(name) or BY_NAME[name]
    if VARIANT in values and (name not in BY_NAME or len(explainer.variants) == 1):
        families = " and ".join(repr(family.name) for family in dict.fromkeys(FAMILY_OF.values()))
        raise InvalidParameter(f"{name!r} has no variants; 'variant' goes with {families}")
    own = {key: value for key, value in for_all.items() if key in explainer.Params.model_fields}
    own |= {key: value for key, value in values.items() if key not in ("method", VARIANT)}
    if name not in BY_NAME or VARIANT in values:
        own["method"] = values.get(VARIANT, name)
    try:
        params, _ = parse(explainer, own)
    except InvalidParameter as error:
        own_names = [_as_written(item, values) for item in error.errors]
        fields = [FieldError(("methods", str(place), *item.loc), item.msg) for item in own_names]
        raise InvalidParameter(f"{name}: {in_one(own_names) or error.detail}", errors=fields) from None
    return MethodCall(name, explainer, params)


def _as_written(item: FieldError, values: Fields) -> FieldError:
    """A variant is asked for as `variant` or as `method`; the error names it as the caller did."""
    return replace(item, loc=(VARIANT, *item.loc[1:])) if VARIANT in values and item.loc[:1] == ("method",) else item


def callable_names() -> list[str]:
    """Every method that looks at an image, and every variant, by name."""
    looking = {**FAMILY_OF, **BY_NAME}.items()
    return [
        name for name, explainer in looking if explainer.photograph is Photograph.REQUIRED and not explainer.metrics
    ]


def names_of(params: type[ExplainerParams]) -> list[str]:
    """The names callers write: a field's alias where it has one."""
    return [info.alias or name for name, info in params.model_fields.items()]


def _meant(name: str, value: Json, params: type[ExplainerParams]) -> str:
    """Names the parameter that asks for a variant, where another was used for it; empty for any other parameter."""
    if params is SharedParams:
        return f"; 'methods' takes it: methods={value}" if value in callable_names() else ""
    chooser = params.model_fields.get("method")
    variants = choices_of(chooser) if chooser else ()
    if value in variants:
        return f"; 'method' chooses the variant: method={value}"
    return f"; 'method' chooses the variant, one of {', '.join(variants)}" if variants and name == VARIANT else ""


def _known(name: str, valid: Iterable[str]) -> str:
    return nearest(name, valid) or f"; there are {', '.join(valid)}"
