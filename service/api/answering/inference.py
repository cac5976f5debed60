"""From the bodies of inference protocols to requests, and from answers back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

import orjson
from fastapi import Request, Response
from pydantic import BaseModel, ValidationError

from service.api.answering.explained import CLIENT_CLOSED
from service.api.answering.negotiate import result_out
from service.api.answering.schemas_inference import InferenceRequest
from service.api.answering.services import Services
from service.api.guarding.deadlines import CallerGone, place_of, unless_gone
from service.api.reading import body
from service.api.reading.parameters import RequestOptions, parse_many
from service.contract.models import ModelDetails
from service.contract.options import AnswerOptions
from service.errors import InvalidParameter, nearest
from service.errors.validation import field_errors, in_one
from service.json_types import Fields, Json, JsonObject
from service.models.files.uploads.record import split_id
from service.usecases.answer import Answer
from service.usecases.inference import class_vector, explain_each, own_output
from service.usecases.instances import Instance, instances_of, instances_of_tensor
from service.usecases.request import ARRAY_RANGE, ExplainRequest, MethodCall

INPUT = "image"
OUTPUTS = {"probabilities": "probability", "logits": "logit", "values": "score"}
# Which of these a model has, by the kind of its head.
OUTPUTS_OF = {"probabilities": ("probabilities",), "values": ("values",)}
WITH_LOGITS = ("probabilities", "logits")
USUAL_METHOD = "gradcam"
Kind = TypeVar("Kind", bound=BaseModel)


async def read(kind: type[Kind], request: Request) -> Kind:
    """The body. Raises MalformedBody, UnsupportedMediaType or InvalidParameter."""
    try:
        return kind.model_validate(await body.json_body(request))
    except ValidationError as error:
        found = field_errors(error.errors(), kind)
        raise InvalidParameter(in_one(found), errors=found) from None


async def batch(values: Sequence[Json], parameters: Fields) -> list[Instance]:
    """The instances of V1. Raises InvalidParameter or UndecodableImage."""
    return await asyncio.to_thread(instances_of, values, _preprocess(parameters))


async def tensor_batch(sent: InferenceRequest) -> list[Instance]:
    """The instances of V2's input. Raises InvalidParameter or UndecodableImage."""
    (tensor,) = sent.inputs
    if tensor.name != INPUT:
        raise InvalidParameter(f"there is no input {tensor.name!r}; it is {INPUT!r}")
    for output in sent.outputs or ():
        if output.name not in OUTPUTS:
            near = nearest(output.name, OUTPUTS) or f"; there are {', '.join(OUTPUTS)}"
            raise InvalidParameter(f"there is no output {output.name!r}{near}")
    preprocess = _preprocess(sent.parameters)
    given = (tensor.name, tensor.shape, tensor.datatype, tensor.data)
    return await asyncio.to_thread(instances_of_tensor, *given, preprocess)


def only_preprocess(parameters: Fields) -> None:
    """Raises InvalidParameter for any other parameter."""
    for name in parameters:
        if name != "preprocess":
            raise InvalidParameter(f"{name}: unknown parameter{nearest(name, ['preprocess']) or '; it is preprocess'}")


def explanation_call(parameters: Fields) -> tuple[MethodCall, AnswerOptions]:
    """V1's `parameters`: a method with its own parameters, and how the answer is given. Raises InvalidParameter."""
    options = {name: value for name, value in parameters.items() if name in RequestOptions.model_fields}
    own = {name: value for name, value in parameters.items() if name not in options}
    given = {"arrays": "list", "outputs": "", **options, "methods": [{"method": USUAL_METHOD, **own}]}
    (call,), wishes = parse_many(given)
    if wishes.format not in (None, "json"):
        raise InvalidParameter(f"format: the answer of this protocol is json, not {wishes.format!r}")
    return call, wishes.answer("json")


async def answered(
    request: Request, services: Services, asked: Sequence[ExplainRequest], said: Callable[[list[Answer]], JsonObject]
) -> Response:
    """200 with what is `said` of the answers."""
    try:
        place = place_of(request, services.settings.call_deadline_s)
        answers = await unless_gone(request, explain_each(services.explain, asked, place))
    except CallerGone:
        return Response(status_code=CLIENT_CLOSED)
    for one, answer in zip(asked, answers, strict=True):
        services.metrics.explained(one.kind, answer.timing_ms)
    content = await asyncio.to_thread(lambda: orjson.dumps(said(answers), option=orjson.OPT_SERIALIZE_NUMPY))
    return Response(content, media_type="application/json")


def predictions(answers: Sequence[Answer]) -> JsonObject:
    """V1's answer."""
    return {"predictions": [own_output(answer) for answer in answers]}


def explanations(answers: Sequence[Answer], options: AnswerOptions) -> JsonObject:
    """V1's answer: the predictions, and what the method found with as many of them as are asked for."""
    found = [dict(result_out(answer.results[-1], options)) for answer in answers]
    for item in found:
        item["predictions"] = item["predictions"][: options.top]
    return predictions(answers) | {"explanations": found}


def tensors(model_id: str, sent: InferenceRequest, answers: Sequence[Answer]) -> JsonObject:
    """V2's answer."""
    name, version = split_id(model_id)
    given = _outputs_of(answers)
    outputs = []
    for output in [output.name for output in sent.outputs] if sent.outputs else given:
        if output not in given:
            raise InvalidParameter(f"the model {name!r} gives no {output}; ask for {' or '.join(given)}")
        rows = [class_vector(answer, OUTPUTS[output]) or [] for answer in answers]
        flat = [value for row in rows for value in row]
        outputs.append({"name": output, "shape": [len(rows), len(rows[0])], "datatype": "FP32", "data": flat})
    said = {
        "model_name": name,
        "model_version": version and str(version),
        "id": sent.id,
        "parameters": _about_ranges(answers),
    }
    return {key: value for key, value in said.items() if value is not None} | {"outputs": outputs}


def _outputs_of(answers: Sequence[Answer]) -> list[str]:
    """What the model that answered has of `OUTPUTS`; `values` only where it has nothing else."""
    found = [name for name in WITH_LOGITS if answers and class_vector(answers[0], OUTPUTS[name]) is not None]
    return found or ["values"]


def _about_ranges(answers: Sequence[Answer]) -> dict[str, str] | None:
    """Names the instances that hold numbers which can hardly be levels, as V2's parameters; None when none does."""
    found = [
        f"instance {number}: {warning.detail}"
        for number, answer in enumerate(answers)
        for result in answer.results
        for warning in result.said.warnings
        if warning.code == ARRAY_RANGE
    ]
    return {ARRAY_RANGE: "; ".join(found)} if found else None


def _preprocess(parameters: Fields) -> bool:
    value = parameters.get("preprocess", False)
    if not isinstance(value, bool):
        raise InvalidParameter(f"preprocess: it must be true or false, got {value!r:.40}")
    return value


def metadata(details: ModelDetails, versions: Sequence[int]) -> JsonObject:
    """V2's description of a model."""
    shape, head = details.input, details.head
    outputs = OUTPUTS_OF.get(head.kind, WITH_LOGITS) if head and head.classes else ()
    return {
        "name": details.id,
        "versions": [str(number) for number in versions] or None,
        "platform": "keras",
        "inputs": [{"name": INPUT, "datatype": "FP32", "shape": [-1, shape.height, shape.width, shape.channels]}]
        if shape
        else [
            {"name": each.name, "datatype": "FP32", "shape": [-1, *(size or -1 for size in each.shape)]}
            for each in details.inputs or ()
        ],
        "outputs": [
            {"name": name, "datatype": "FP32", "shape": [-1, head.classes if head else None]} for name in outputs
        ],
    }
