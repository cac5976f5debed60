"""The catalogue of methods."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from service.api.openapi import problems
from service.api.schemas import MethodList
from service.explainers import EXPLAINERS
from service.explainers.base import Explainer

router = APIRouter(prefix="/v1/methods", tags=["methods"])


@router.get("", operation_id="list_methods", summary="List methods", response_model=MethodList, responses=problems(401))
async def list_methods() -> Any:
    """Every method with its variants, the JSON Schema of its parameters, its cost and papers."""
    return {"methods": [method_row(explainer) for explainer in EXPLAINERS]}


def method_row(explainer: Explainer) -> dict[str, Any]:
    route = f"POST /v1/models/{{model_id}}/{explainer.name}"
    return {
        "name": explainer.name,
        "title": explainer.title,
        "summary": explainer.summary,
        "cost": explainer.cost.value,
        "route": route if explainer.needs_image else f"GET /v1/models/{{model_id}}/layers/{{layer}}/{explainer.name}",
        "outputs": list(explainer.outputs),
        "variants": [
            {"name": variant.name, "summary": variant.summary, "paper": variant.paper or None}
            for variant in explainer.variants
        ],
        "parameters": explainer.Params.model_json_schema(by_alias=True),
    }
