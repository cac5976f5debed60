"""The OpenAPI document after FastAPI has made it: what holds for every operation is said here, once."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.api import problems as errors
from service.api.answering.schemas_inference import InferenceRequest, InstancesRequest
from service.api.answering.schemas_uploads import ModelChange
from service.api.document.operations import inference_errors, problems
from service.api.guarding.keys import OPEN_PATHS
from service.api.guarding.scopes import state_scopes
from service.api.problems import PREFIX
from service.json_types import Json, JsonObject

TAGS = [
    {"name": "methods", "description": "What a network sees: every method on an image, alone or several at once."},
    {"name": "models", "description": "Which models there are, what is known about them, and their layers."},
    {"name": "uploads", "description": "Models of your own: upload, versions, who may see them."},
    {"name": "jobs", "description": "Background jobs: follow, cancel, take the result."},
    {"name": "kserve", "description": "KServe's V1 protocol: a batch of instances, predicted or explained."},
    {"name": "open inference", "description": "The Open Inference Protocol, V2 of KServe's."},
    {"name": "health", "description": "Whether the service lives and can answer."},
]
# What the parts around every route answer: names that are not the service's, slow or large bodies, rates, a shutdown.
_EVERY = (400, 429, 503)
_WITH_A_BODY = (408, 413, 415)
# Bodies that routes read themselves.
REQUESTS = (InstancesRequest, InferenceRequest, ModelChange)


def finished(openapi: JsonObject) -> JsonObject:
    """Adds scopes, and the problems of what stands around the routes; a problem has one media type."""
    for path, operations in openapi["paths"].items():
        for operation in operations.values():
            answers = operation["responses"]
            if path not in OPEN_PATHS:
                for status in (*_EVERY, *(_WITH_A_BODY if "requestBody" in operation else ())):
                    answers.setdefault(str(status), _answer(path, status))
            for answer in answers.values():
                content = answer.get("content", {})
                if errors.MEDIA_TYPE in content:
                    content.pop("application/json", None)
            operation["responses"] = dict(sorted(answers.items()))
    requests: list[tuple[type[BaseModel], Literal["validation"]]] = [(model, "validation") for model in REQUESTS]
    _, extra = models_json_schema(requests, ref_template="#/components/schemas/{model}")
    openapi["components"]["schemas"] |= extra["$defs"]
    _name_values(openapi)
    return state_scopes(openapi)


def _name_values(node: Json) -> None:
    """Where two values of an enumeration are the same but for their signs, names for those who generate clients."""
    if isinstance(node, dict):
        values = node.get("enum")
        if isinstance(values, list) and len({re.sub(r"\W", "", str(value)) for value in values}) < len(values):
            node["x-enum-varnames"] = [re.sub(r"\W", "_", value.replace("+", "_PLUS")).upper() for value in values]
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _name_values(part)


def _answer(path: str, status: int) -> JsonObject:
    if path.startswith(PREFIX):
        content: JsonObject = {"application/json": {"schema": {"$ref": "#/components/schemas/InferenceError"}}}
        return {"description": inference_errors(status)[status]["description"], "content": content}
    answer = problems(status)[status]
    del answer["model"]
    return answer
