"""One flat set of names in a request → the method's parameters and the caller's wishes for the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from service.errors import FieldError, InvalidParameter, UnknownMethod, nearest
from service.explainers import BY_NAME, FAMILY_OF
from service.explainers.base import Explainer
from service.explainers.params import ExplainerParams
from service.usecases.answer import AnswerOptions, ArrayEncoding
from service.usecases.draw import split_names
from service.usecases.explain import MethodCall

MAX_METHODS = 24


class RequestOptions(BaseModel):
    """What every method takes beside its own parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["json", "png", "npy", "npz"] | None = Field(
        None, description="Form of the answer; goes before the `Accept` header."
    )
    outputs: Annotated[tuple[str, ...] | None, BeforeValidator(split_names)] = Field(
        None, description="Pictures to draw, comma-separated; all when absent."
    )
    arrays: ArrayEncoding = Field(
        "none", description="Raw arrays in a JSON answer: none, base64 of their bytes, or lists."
    )
    top: int = Field(5, ge=1, le=1000, description="How many predictions to report.")
    preprocess: bool = Field(True, description="`false` feeds an npy array to the network as it is.")

    def answer(self, form: Literal["json", "png", "npy", "npz"]) -> AnswerOptions:
        return AnswerOptions(format=form, outputs=self.outputs, arrays=self.arrays, top=self.top)


def parse(explainer: Explainer, given: Mapping[str, Any], **fixed: str) -> tuple[ExplainerParams, RequestOptions]:
    """`fixed` are parameters that the path has given already.

    Raises InvalidParameter naming every unknown name with the closest valid one, and every invalid value.
    """
    known = [name for name in names_of(explainer.Params) if name not in fixed]
    options_given = {name: value for name, value in given.items() if name in RequestOptions.model_fields}
    params_given = {name: value for name, value in given.items() if name in known} | fixed
    valid = [*known, *RequestOptions.model_fields]
    problems = [
        FieldError((name,), f"unknown parameter{nearest(name, valid) or '; there are ' + ', '.join(valid)}")
        for name in given
        if name not in valid
    ]
    parsed: list[BaseModel] = []
    for kind, values in ((explainer.Params, params_given), (RequestOptions, options_given)):
        try:
            parsed.append(kind.model_validate(values))
        except ValidationError as error:
            problems += [_field_error(item, values) for item in error.errors()]
    if problems:
        detail = "; ".join(f"{'.'.join(problem.loc)}: {problem.msg}" for problem in problems)
        raise InvalidParameter(detail, errors=problems)
    params, options = parsed
    if not isinstance(params, ExplainerParams) or not isinstance(options, RequestOptions):
        raise TypeError("the parameters were parsed into another class")
    return params, options


def parse_many(given: Mapping[str, Any]) -> tuple[tuple[MethodCall, ...], RequestOptions]:
    """`methods` as names or as objects with parameters of their own; a `target` beside it is for all that name none.

    A name is a method's or a variant's; where the two are the same, as `cam`, an object's `variant` tells them apart.
    Raises InvalidParameter and UnknownMethod.
    """
    entries = split_names(given.get("methods"))
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_METHODS:
        raise InvalidParameter(f"'methods' must be a list of 1 to {MAX_METHODS} names, or of objects with a 'method'")
    target = {"target": given["target"]} if "target" in given else {}
    rest = {name: value for name, value in given.items() if name not in ("methods", "target")}
    _, options = parse(BY_NAME["predict"], rest)
    calls: list[MethodCall] = []
    for entry in entries:
        values = {"method": entry} if isinstance(entry, str) else entry
        if not isinstance(values, dict) or not isinstance(values.get("method"), str):
            raise InvalidParameter("each of 'methods' must be a name, or an object with a 'method' and its parameters")
        name = values["method"]
        if name not in callable_names():
            raise UnknownMethod(f"there is no method {name!r}{nearest(name, callable_names())}")
        misplaced = sorted(set(values) & set(RequestOptions.model_fields))
        if misplaced:
            raise InvalidParameter(f"{misplaced[0]!r} is for the whole answer: write it beside 'methods', not inside")
        explainer = FAMILY_OF.get(name) or BY_NAME[name]
        own = {key: value for key, value in values.items() if key not in ("method", "variant")}
        if explainer.targeted:
            own = target | own
        if name not in BY_NAME or "variant" in values:
            own["method"] = values.get("variant", name)
        params, _ = parse(explainer, own)
        label = name if name not in [call.name for call in calls] else f"{name}#{len(calls) + 1}"
        calls.append(MethodCall(label, explainer, params))
    return tuple(calls), options


def callable_names() -> list[str]:
    """Every method that takes an image, and every variant, by name."""
    return [name for name, explainer in {**FAMILY_OF, **BY_NAME}.items() if explainer.needs_image]


def names_of(params: type[ExplainerParams]) -> list[str]:
    """The names callers write: a field's alias where it has one."""
    return [info.alias or name for name, info in params.model_fields.items()]


def _field_error(item: Any, values: Mapping[str, Any]) -> FieldError:
    loc = tuple(str(part) for part in item["loc"])
    value = repr(values.get(loc[0])) if loc and loc[0] in values else ""
    message = str(item["msg"]).removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    return FieldError(loc, f"{message}, got {value[:100]}" if value else message)
