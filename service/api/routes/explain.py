"""One POST for each method of the catalogue that takes an image, one for several, and a GET for kernels."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from fastapi import Depends, Request, Response

from service.api.answering import negotiate
from service.api.answering.explained import answered, at_once
from service.api.answering.schemas import ExplanationOut, ExplanationsOut
from service.api.answering.services import LayerPath, ModelId, ServicesDep, visible_model
from service.api.document.operations import (
    BINARY,
    CACHE_HEADERS,
    as_job_responses,
    explain_many_operation,
    explain_operation,
    not_modified,
    picture_responses,
    problems,
    query_parameters,
)
from service.api.guarding.scopes import GuardedRouter, operation_of
from service.api.reading import body
from service.api.reading.parameters import FORMS_OF_MANY, RequestOptions, forms_of, parse, parse_many
from service.api.reading.picture_sets import SetReader
from service.api.reading.planes import PART_NAMES
from service.explainers import BY_NAME, EXPLAINERS
from service.explainers.base import Explainer, Photograph
from service.json_types import Fields
from service.usecases.request import ExplainRequest, MethodCall

T = TypeVar("T")
KERNELS = BY_NAME["kernels"]
NOT_FOR_KERNELS = ("layer", "preprocess", "priority")
EXPLAIN_STATUSES = (400, 401, 404, 406, 408, 409, 413, 415, 422, 429, 503, 504)
router = GuardedRouter(prefix="/v1/models/{model_id}", tags=["methods"], dependencies=[Depends(visible_model)])


async def _off_the_loop(parsed: Callable[[Fields], T], given: Fields) -> T:
    """What `parsed` gives: in a thread where planes are to be decoded or many methods to be read, which would keep all
    other callers waiting."""
    if "methods" in given or not given.keys().isdisjoint(PART_NAMES):
        return await asyncio.to_thread(parsed, given)
    return parsed(given)


def _endpoint(explainer: Explainer) -> Callable[..., Awaitable[Response]]:
    async def explain(model_id: ModelId, request: Request, services: ServicesDep) -> Response:
        sent = await body.read(request, services.fetch, SetReader.of(explainer, services.folders))
        params, options = await _off_the_loop(partial(parse, explainer), sent.params)
        form = negotiate.choose(options.format, request.headers.get("accept"), forms_of(explainer))
        call = MethodCall(explainer.name, explainer, params)
        body.check_image(sent.image, [call])
        asked = ExplainRequest(model_id, (call,), sent.image, options.answer(form), options.preprocess, sets=sent.sets)
        return await answered(request, services, asked, options.priority)

    return explain


for _explainer in EXPLAINERS:
    if _explainer.photograph is not Photograph.NONE:
        router.post(
            f"/{_explainer.name}",
            operation_id=operation_of(_explainer),
            summary=_explainer.title,
            description=_explainer.summary,
            response_model=ExplanationOut,
            responses=picture_responses(_explainer) | as_job_responses() | problems(*EXPLAIN_STATUSES),
            openapi_extra=explain_operation(_explainer),
        )(_endpoint(_explainer))


@router.post(
    "/explain",
    operation_id="explain",
    summary="Several methods at once",
    response_model=ExplanationsOut,
    responses=problems(*EXPLAIN_STATUSES) | as_job_responses() | {200: {"content": {"application/x-npz": BINARY}}},
    openapi_extra=explain_many_operation(),
)
async def explain_many(model_id: ModelId, request: Request, services: ServicesDep) -> Response:
    """Several methods on one image; those that need the same passes share them."""
    sent = await body.read(request, services.fetch)
    calls, options = await _off_the_loop(parse_many, sent.params)
    form = negotiate.choose(options.format, request.headers.get("accept"), FORMS_OF_MANY)
    body.check_image(sent.image, calls)
    asked = ExplainRequest(model_id, calls, sent.image, options.answer(form), options.preprocess, many=True)
    return await answered(request, services, asked, options.priority)


@router.get(
    "/layers/{layer:path}/kernels",
    operation_id=operation_of(KERNELS),
    summary=KERNELS.title,
    response_model=ExplanationOut,
    responses=picture_responses(KERNELS) | not_modified() | problems(401, 404, 406, 409, 413, 422, 503, 504),
    openapi_extra={
        "parameters": query_parameters(KERNELS.Params, RequestOptions, leave_out=NOT_FOR_KERNELS) + CACHE_HEADERS
    },
)
async def kernels(model_id: ModelId, layer: LayerPath, request: Request, services: ServicesDep) -> Response:
    """The kernels of a convolution, as pictures and raw."""
    params, options = parse(KERNELS, body.query(request), layer=layer)
    wishes = options.answer(negotiate.choose(options.format, request.headers.get("accept")))
    asked = ExplainRequest(model_id, (MethodCall(KERNELS.name, KERNELS, params),), None, wishes)
    return await at_once(request, services, asked)
