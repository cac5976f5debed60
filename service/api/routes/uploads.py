"""Uploaded models: add a version, change which one is the default, delete."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, Request, Response

from service.api.answering import inference
from service.api.answering.schemas_uploads import ModelChange, UploadedModel, uploaded_out
from service.api.answering.services import ModelId, ServicesDep, known_query, own_model
from service.api.document.operations import json_body, problems, upload_operation
from service.api.guarding.keys import NOBODY, owner_of, seen_by
from service.api.guarding.scopes import GuardedRouter
from service.api.reading import upload as upload_body

router = GuardedRouter(prefix="/v1/models", tags=["uploads"], dependencies=[Depends(known_query)])


@router.post(
    "",
    operation_id="upload_model",
    summary="Upload a model",
    status_code=201,
    response_model=UploadedModel,
    responses=problems(400, 401, 403, 408, 409, 413, 415, 422, 429, 503, 507),
    openapi_extra=upload_operation(),
)
async def upload_model(request: Request, response: Response, services: ServicesDep) -> Any:
    """A `.keras` or HDF5 file, or an architecture with weights. It is read in a sandbox and rewritten; custom layers
    and code are refused. The new version becomes the default of its ID."""
    owner = owner_of(request)
    async with services.uploads.receiving(owner, shared=owner != NOBODY) as folder:
        wanted = await upload_body.received(request, folder, services.settings.upload_timeout_s)
        record = await services.uploads.add(folder, wanted, owner)
    response.headers["Location"] = f"/v1/models/{record.id}"
    return uploaded_out(record)


@router.get(
    "/{model_id}/versions",
    operation_id="list_versions",
    summary="Versions of an uploaded model",
    response_model=UploadedModel,
    responses=problems(401, 404, 422, 503),
)
async def model_versions(model_id: ModelId, request: Request, services: ServicesDep) -> Any:
    """Its versions with digests and sizes; `name@2` asks for one of them on every other route."""
    return uploaded_out(services.uploads.known(model_id, seen_by(request)))


@router.patch(
    "/{model_id}",
    operation_id="change_model",
    summary="Change an uploaded model",
    response_model=UploadedModel,
    responses=problems(400, 401, 403, 404, 408, 413, 415, 422, 503),
    openapi_extra=json_body(ModelChange),
    dependencies=[Depends(own_model)],
)
async def change_model(model_id: ModelId, request: Request, services: ServicesDep) -> Any:
    """Another default version, or who may see it."""
    change = await inference.read(ModelChange, request)
    return uploaded_out(await services.uploads.change(model_id, change.default, change.visibility))


@router.delete(
    "/{model_id}",
    operation_id="delete_model",
    summary="Delete an uploaded model",
    status_code=204,
    responses=problems(401, 403, 404, 422, 503),
    dependencies=[Depends(own_model)],
)
async def delete_model(model_id: ModelId, services: ServicesDep) -> None:
    """`name@2`, or every version of `name`. Calls that it is computed for are still answered."""
    await services.uploads.remove(model_id)
