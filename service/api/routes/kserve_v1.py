"""KServe's V1 protocol: a batch of instances, predicted or explained. Listing and describing are routes of our own."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

from fastapi import Depends, Request, Response

from service.api.answering import inference
from service.api.answering.schemas_inference import InstanceExplanations, InstancePredictions, InstancesRequest
from service.api.answering.services import ModelId, ServicesDep, known_query, visible_model
from service.api.document.operations import json_body, problems
from service.api.guarding.scopes import GuardedRouter
from service.usecases.inference import EVERY_CLASS, PREDICT, requests_of

router = GuardedRouter(
    prefix="/v1/models", tags=["kserve"], dependencies=[Depends(known_query), Depends(visible_model)]
)
STATUSES = (400, 401, 404, 409, 413, 415, 422, 429, 503, 504)


@router.post(
    "/{model_id}:predict",
    operation_id="predict_instances",
    summary="Predict a batch (KServe V1)",
    response_model=InstancePredictions,
    responses=problems(*STATUSES),
    openapi_extra=json_body(InstancesRequest),
)
async def predict_instances(model_id: ModelId, request: Request, services: ServicesDep) -> Response:
    """Every class of each instance. Arrays are the network's input as they are, unless `parameters.preprocess`."""
    sent = await inference.read(InstancesRequest, request)
    inference.only_preprocess(sent.parameters)
    asked = requests_of(model_id, await inference.batch(sent.instances, sent.parameters), PREDICT, EVERY_CLASS)
    return await inference.answered(request, services, asked, inference.predictions)


@router.post(
    "/{model_id}:explain",
    operation_id="explain_instances",
    summary="Explain a batch (KServe V1)",
    response_model=InstanceExplanations,
    responses=problems(*STATUSES),
    openapi_extra=json_body(InstancesRequest),
)
async def explain_instances(model_id: ModelId, request: Request, services: ServicesDep) -> Response:
    """Each instance explained by `parameters.method`, Grad-CAM when absent, with its raw map as nested lists."""
    sent = await inference.read(InstancesRequest, request)
    call, options = await asyncio.to_thread(inference.explanation_call, sent.parameters)
    instances = await inference.batch(sent.instances, sent.parameters)
    asked = requests_of(model_id, instances, call, replace(options, top=EVERY_CLASS.top))
    return await inference.answered(request, services, asked, partial(inference.explanations, options=options))
