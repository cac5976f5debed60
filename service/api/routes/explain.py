"""One POST for each method of the catalogue that takes an image."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request, Response

from service.api import body, negotiate
from service.api.deps import ModelId, ServicesDep
from service.api.openapi import explain_operation, picture_responses, problems
from service.api.parameters import parse
from service.api.schemas import ExplanationOut
from service.errors import MalformedBody
from service.explainers import EXPLAINERS
from service.explainers.base import Explainer
from service.usecases.explain import ExplainRequest

router = APIRouter(prefix="/v1/models/{model_id}", tags=["methods"])


def _endpoint(explainer: Explainer) -> Callable[..., Awaitable[Response]]:
    async def explain(model_id: ModelId, request: Request, services: ServicesDep) -> Response:
        sent = await body.read(request, services.settings.max_body_bytes)
        if sent.image is None:
            raise MalformedBody("there is no image in the body; send it as 'image'")
        params, options = parse(explainer, sent.params)
        wishes = options.answer(negotiate.choose(options.format, request.headers.get("accept")))
        image = type(sent.image)(sent.image.data, sent.image.npy, options.preprocess)
        answer = await services.explain(ExplainRequest(model_id, explainer, params, image, wishes))
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
            responses=picture_responses() | problems(400, 401, 404, 406, 409, 413, 415, 422, 503, 504),
            openapi_extra=explain_operation(_explainer),
        )(_endpoint(_explainer))
