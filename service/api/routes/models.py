"""Models and their layers."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request, Response

from service.api.answering.schemas import ModelList
from service.api.answering.services import (
    LayerPath,
    ModelId,
    ServicesDep,
    known_query,
    may_load,
    may_unload,
    visible_model,
)
from service.api.document.operations import problems
from service.api.guarding.keys import NOBODY, owner_of, seen_by
from service.api.guarding.scopes import GuardedRouter
from service.contract.models import LayerFound, LayerList, ModelDetails, Summary, Unloaded
from service.contract.questions import DescribeLayer, ListLayers, Load, Summarize, Unload
from service.usecases.models import SUMMARY_WIDTH

router = GuardedRouter(prefix="/v1/models", tags=["models"], dependencies=[Depends(known_query)])
VISIBLE = [Depends(visible_model)]
LOADS = problems(401, 404, 409, 422, 503, 504)


@router.get(
    "",
    operation_id="list_models",
    summary="List models",
    response_model=ModelList,
    responses=problems(401, 422),
)
async def list_models(request: Request, services: ServicesDep) -> Response:
    """Every model that can be loaded, with its state. Answers while the engine starts."""
    authentication = "open" if owner_of(request) == NOBODY else "keys"
    owner = seen_by(request)
    seen, unreadable = services.uploads.visible(owner), services.uploads.unreadable(owner)
    uploads = services.uploads.why_off or "on"
    rows = await services.models.overview(seen, unreadable)
    listed = ModelList(models=rows, authentication=authentication, uploads=uploads)
    # As it is: FastAPI would take the rows apart and check them again.
    return Response(listed.as_json(), media_type="application/json")


@router.get(
    "/{model_id}",
    operation_id="describe_model",
    summary="Describe a model",
    response_model=ModelDetails,
    responses=LOADS,
    dependencies=VISIBLE,
)
async def describe_model(model_id: ModelId, request: Request, services: ServicesDep) -> ModelDetails:
    """Input, preprocessing, head, labels, default CAM layer and digest. A cold model stays cold: its files are looked
    into once. One whose weights would have to be downloaded is described by its spec, all else being null."""
    return await services.models.describe(model_id, owner_of(request))


@router.post(
    "/{model_id}/load",
    operation_id="load_model",
    summary="Warm a model",
    status_code=204,
    responses=LOADS,
    dependencies=[*VISIBLE, Depends(may_load)],
)
async def load_model(model_id: ModelId, request: Request, services: ServicesDep) -> None:
    """Loads the model now, so that the next call finds it warm; tries again where its weights could not be had.
    One that is in quarantine is loaded anew for `admin`, and for the key that uploaded it."""
    await services.models.ask(Load(model=model_id), owner_of(request))


@router.post(
    "/{model_id}/unload",
    operation_id="unload_model",
    summary="Make a model cold",
    response_model=Unloaded,
    responses=LOADS,
    dependencies=[*VISIBLE, Depends(may_unload)],
)
async def unload_model(model_id: ModelId, request: Request, services: ServicesDep) -> Unloaded:
    """Frees the model's memory; `unloaded` is false when it is in use or was not warm. One that the
    operator keeps warm is unloaded for `admin` alone, an upload for its own key and `admin`."""
    return await services.models.ask(Unload(model=model_id), owner_of(request))


@router.get(
    "/{model_id}/summary",
    operation_id="summarize_model",
    summary="Summary of a model",
    response_model=Summary,
    responses=LOADS | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    dependencies=VISIBLE,
)
async def model_summary(
    model_id: ModelId,
    request: Request,
    services: ServicesDep,
    width: Annotated[
        int | None,
        Query(ge=40, le=400, description=f"Characters in a line of the table. When absent: `{SUMMARY_WIDTH}`."),
    ] = None,
    until: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=300,
            description="Name, path or index of a layer: of the model up to it alone, as "
            "`keras.Model(model.inputs, layer.output).summary()`. Of a layer inside a nested model, from that model's "
            "inputs on.",
        ),
    ] = None,
) -> Summary | Response:
    """`model.summary()` as text, just as the Keras of the model prints it; with `Accept: application/json` its rows as
    well."""
    summary = await services.models.ask(
        Summarize(model=model_id, width=width or SUMMARY_WIDTH, until=until), owner_of(request)
    )
    if "application/json" in request.headers.get("accept", ""):
        return summary
    return Response(summary.text, media_type="text/plain; charset=utf-8")


@router.get(
    "/{model_id}/layers",
    operation_id="list_layers",
    summary="List layers",
    response_model=LayerList,
    responses=LOADS,
    dependencies=VISIBLE,
)
async def list_layers(model_id: ModelId, request: Request, services: ServicesDep) -> LayerList:
    """Every layer in order of execution, those of nested models by path, with the methods it is valid for. Loads the
    model when it is cold."""
    return await services.models.ask(ListLayers(model=model_id), owner_of(request))


@router.get(
    "/{model_id}/layers/{layer:path}",
    operation_id="describe_layer",
    summary="Describe a layer",
    response_model=LayerFound,
    responses=LOADS,
    dependencies=VISIBLE,
)
async def describe_layer(model_id: ModelId, layer: LayerPath, request: Request, services: ServicesDep) -> LayerFound:
    """The layer's config and the statistics of its weights. Loads the model when it is cold."""
    return await services.models.ask(DescribeLayer(model=model_id, layer=layer), owner_of(request))
