"""One POST for each method of the catalogue that takes an image, one for several, and a GET for kernels."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from fastapi import APIRouter, Request, Response

from service.api import body, negotiate
from service.api.deps import LayerPath, ModelId, ServicesDep
from service.api.openapi import (
    BINARY,
    explain_many_operation,
    explain_operation,
    picture_responses,
    problems,
    query_parameters,
)
from service.api.parameters import RequestOptions, parse, parse_many
from service.api.schemas import ExplanationOut, ExplanationsOut
from service.explainers import BY_NAME, EXPLAINERS
from service.explainers.base import Explainer
from service.usecases.explain import ExplainRequest, MethodCall

KERNELS = BY_NAME["kernels"]
EXPLAIN_STATUSES = (400, 401, 404, 406, 409, 413, 415, 422, 503, 504)
router = APIRouter(prefix="/v1/models/{model_id}", tags=["methods"])


def _endpoint(explainer: Explainer) -> Callable[..., Awaitable[Response]]:
    async def explain(model_id: ModelId, request: Request, services: ServicesDep) -> Response:
        sent = await body.read(request, services.settings.max_body_bytes)
        params, options = parse(explainer, sent.params)
        wishes = options.answer(negotiate.choose(options.format, request.headers.get("accept")))
        image = replace(sent.image, preprocess=options.preprocess)
        call = MethodCall(explainer.name, explainer, params)
        answer = await services.explain(ExplainRequest(model_id, (call,), image, wishes))
        return await asyncio.to_thread(negotiate.respond, answer, wishes)

    return explain


for _explainer in EXPLAINERS:
    if _explainer.needs_image:
        router.post(
            f"/{_explainer.name}",
            operation_id=_explainer.name,
            summary=_explainer.title,
            description=_explainer.summary,
            response_model=ExplanationOut,
            responses=picture_responses() | problems(*EXPLAIN_STATUSES),
            openapi_extra=explain_operation(_explainer),
        )(_endpoint(_explainer))


@router.post(
    "/explain",
    operation_id="explain",
    summary="Several methods at once",
    response_model=ExplanationsOut,
    responses=problems(*EXPLAIN_STATUSES) | {200: {"content": {"application/x-npz": BINARY}}},
    openapi_extra=explain_many_operation(),
)
async def explain_many(model_id: ModelId, request: Request, services: ServicesDep) -> Response:
    """Several methods on one image; those that need the same passes share them."""
    sent = await body.read(request, services.settings.max_body_bytes)
    calls, options = parse_many(sent.params)
    wishes = options.answer(negotiate.choose(options.format, request.headers.get("accept"), negotiate.FORMS_OF_MANY))
    image = replace(sent.image, preprocess=options.preprocess)
    answer = await services.explain(ExplainRequest(model_id, calls, image, wishes))
    return await asyncio.to_thread(negotiate.respond_many, answer, wishes)


@router.get(
    "/layers/{layer:path}/kernels",
    operation_id="kernels",
    summary=KERNELS.title,
    response_model=ExplanationOut,
    responses=picture_responses() | problems(401, 404, 406, 409, 413, 422, 503, 504),
    openapi_extra={"parameters": query_parameters(KERNELS.Params, RequestOptions, leave_out=("layer", "preprocess"))},
)
async def kernels(model_id: ModelId, layer: LayerPath, request: Request, services: ServicesDep) -> Response:
    """The kernels of a convolution, as pictures and raw."""
    params, options = parse(KERNELS, body.query(request), layer=layer)
    wishes = options.answer(negotiate.choose(options.format, request.headers.get("accept")))
    answer = await services.explain(
        ExplainRequest(model_id, (MethodCall(KERNELS.name, KERNELS, params),), None, wishes)
    )
    return await asyncio.to_thread(negotiate.respond, answer, wishes)
