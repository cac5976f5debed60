"""The Open Inference Protocol, V2 of KServe's: health, metadata and inference."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import Depends, Request, Response

from service import __version__
from service.api.answering import inference
from service.api.answering.schemas_inference import (
    InferenceRequest,
    InferenceResponse,
    ModelMetadata,
    ModelReadiness,
    ServerLiveness,
    ServerMetadata,
    ServerReadiness,
)
from service.api.answering.services import ServedModel, ServicesDep, known_query, visible_served_model
from service.api.document.operations import inference_errors, json_body
from service.api.guarding.keys import owner_of, seen_by
from service.api.guarding.scopes import GuardedRouter
from service.api.routes.health import readiness
from service.usecases.inference import EVERY_CLASS, PREDICT, requests_of

router = GuardedRouter(prefix="/v2", tags=["open inference"], dependencies=[Depends(known_query)])
VISIBLE = [Depends(visible_served_model)]
NOT_READY = {"description": "Not yet, or no longer."}


@router.get("", operation_id="describe_server", summary="Describe the server", responses=inference_errors(401, 422))
async def describe_server() -> ServerMetadata:
    """Name and version; no extensions of the protocol."""
    return ServerMetadata(name="kerascope", version=__version__, extensions=[])


@router.get("/health/live", operation_id="check_server_live", summary="Is the server alive?")
async def check_server_live() -> ServerLiveness:
    """Answers as `/livez` does."""
    return ServerLiveness(live=True)


@router.get(
    "/health/ready",
    operation_id="check_server_ready",
    summary="Is the server ready?",
    responses={503: NOT_READY | {"model": ServerReadiness}},
)
async def check_server_ready(request: Request, services: ServicesDep, response: Response) -> ServerReadiness:
    """Answers as `/readyz` does: 200 when it is, 503 when it is not."""
    ready = await readiness(request, services) is None
    response.status_code = 200 if ready else 503
    return ServerReadiness(live=True, ready=ready)


def _both(path: str) -> tuple[str, str]:
    """A path of a model in its default version, and in one that is named."""
    return f"/models/{{model_id}}{path}", f"/models/{{model_id}}/versions/{{version}}{path}"


async def describe_served_model(model: ServedModel, request: Request, services: ServicesDep) -> Any:
    """Its input and outputs. Loads the model when it is cold. The input takes BYTES, pictures in base64, too."""
    details = await services.models.describe(model, owner_of(request), load=True)
    return inference.metadata(details, services.uploads.numbers(details.id, seen_by(request)))


async def check_model_ready(model: ServedModel, services: ServicesDep, response: Response) -> Any:
    """Whether it is warm: 200, else 503. A cold one is loaded by its first call."""
    name, ready = await services.models.ready(model)
    response.status_code = 200 if ready else 503
    return {"name": name, "ready": ready}


async def infer(model: ServedModel, request: Request, services: ServicesDep) -> Response:
    """Probabilities and logits of every class. Arrays are the network's input as they are, unless
    `parameters.preprocess`."""
    sent = await inference.read(InferenceRequest, request)
    instances = await inference.tensor_batch(sent)
    asked = requests_of(model, instances, PREDICT, EVERY_CLASS)
    return await inference.answered(request, services, asked, partial(inference.tensors, asked[0].model_id, sent))


VERSION = {
    "name": "version",
    "in": "path",
    "required": True,
    "description": "Number of a version, as the model's description lists them.",
    "schema": {"type": "string"},
}
for _path, _name, _of in zip(_both(""), ("served_model", "served_version"), ("a model", "a version"), strict=True):
    _more = {"parameters": [VERSION]} if "{version}" in _path else {}
    router.get(
        _path,
        operation_id=f"describe_{_name}",
        summary=f"Describe {_of}",
        response_model=ModelMetadata,
        response_model_exclude_none=True,
        responses=inference_errors(401, 404, 409, 422, 503, 504),
        openapi_extra=_more,
        dependencies=VISIBLE,
    )(describe_served_model)
    router.get(
        f"{_path}/ready",
        operation_id=f"check_{_name}_ready",
        summary=f"Is {_of} ready?",
        response_model=ModelReadiness,
        responses=inference_errors(401, 404, 409, 422) | {503: NOT_READY | {"model": ModelReadiness}},
        openapi_extra=_more,
        dependencies=VISIBLE,
    )(check_model_ready)
    router.post(
        f"{_path}/infer",
        operation_id=f"infer_{_name}",
        summary=f"Infer with {_of}",
        response_model=InferenceResponse,
        responses=inference_errors(400, 401, 404, 409, 413, 415, 422, 429, 503, 504),
        openapi_extra=json_body(InferenceRequest) | _more,
        dependencies=VISIBLE,
    )(infer)
