"""The catalogue of methods."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query, Request

from service.api.answering.schemas import MethodList
from service.api.answering.services import ServicesDep, known_query, visible_model
from service.api.document.operations import problems
from service.api.guarding.keys import caller_of, owner_of
from service.api.guarding.scopes import READS, GuardedRouter
from service.contract.questions import AskValidity
from service.explainers import EXPLAINERS
from service.explainers.base import Explainer, Photograph
from service.explainers.variants import Variant
from service.json_types import JsonObject

router = GuardedRouter(prefix="/v1/methods", tags=["methods"], dependencies=[Depends(known_query)])


@router.get(
    "",
    operation_id="list_methods",
    summary="List methods",
    response_model=MethodList,
    responses=problems(401, 404, 409, 422, 503, 504),
)
async def list_methods(
    request: Request,
    services: ServicesDep,
    model: Annotated[
        str | None, Query(description="Add what is valid for this model, and why not.", max_length=128)
    ] = None,
) -> Any:
    """Every method with its variants, the JSON Schema of its parameters, its cost and papers."""
    rows = [method_row(explainer) for explainer in EXPLAINERS]
    if model is not None:
        caller_of(request).needs(*sorted(READS[0]))
        await visible_model(model, request, services)
        validity = await services.models.ask(AskValidity(model=model), owner_of(request))
        rows = [{**row, "validity": validity[row["name"]]} for row in rows]
    return {"methods": rows}


def method_row(explainer: Explainer) -> JsonObject:
    route = f"POST /v1/models/{{model_id}}/{explainer.name}"
    if explainer.photograph is Photograph.NONE:
        route = f"GET /v1/models/{{model_id}}/layers/{{layer}}/{explainer.name}"
    return {
        "name": explainer.name,
        "title": explainer.title,
        "summary": explainer.summary,
        "cost": explainer.cost.value,
        "route": route,
        "outputs": list(explainer.outputs),
        "variants": [_row(variant) for variant in explainer.variants],
        "metrics": [{**_row(metric), "better": metric.better, "unit": metric.unit} for metric in explainer.metrics],
        "parameters": explainer.Params.model_json_schema(by_alias=True),
    }


def _row(variant: Variant) -> JsonObject:
    return {
        "name": variant.name,
        "summary": variant.summary,
        "paper": variant.paper or None,
        "passes": variant.passes,
        "caution": variant.caution,
    }
