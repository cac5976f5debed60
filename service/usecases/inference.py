"""A batch of images, each explained as if it had come alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from service.contract.options import AnswerOptions
from service.engine.host.pool import Place
from service.explainers import BY_NAME
from service.usecases.answer import Answer
from service.usecases.explain import Explain
from service.usecases.instances import Instance, numbered
from service.usecases.request import ExplainRequest, MethodCall

# So many of one batch are on their way at a time: what waits for the device together runs as one.
AT_A_TIME = 8
PREDICT = MethodCall("predict", BY_NAME["predict"], BY_NAME["predict"].Params())
EVERY_CLASS = AnswerOptions(top=2**31 - 1)


def requests_of(
    model_id: str, instances: Sequence[Instance], call: MethodCall, options: AnswerOptions
) -> list[ExplainRequest]:
    """One request an instance; each knows of how many, for together they may cost no more than one call."""
    return [
        ExplainRequest(model_id, (call,), item.image, options, item.preprocess, instances=len(instances))
        for item in instances
    ]


async def explain_each(explain: Explain, requests: Sequence[ExplainRequest], place: Place) -> list[Answer]:
    """Their answers in order. The first error ends the others."""
    turn = asyncio.Semaphore(AT_A_TIME)

    async def one(number: int, request: ExplainRequest) -> Answer:
        async with turn:
            with numbered(number, len(requests)):
                return await explain(request, place)

    tasks = [asyncio.create_task(one(number, request)) for number, request in enumerate(requests)]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def class_vector(answer: Answer, name: str) -> list[float] | None:
    """`probability`, `logit` or `score` of every class in the order of their indices; None where there is none."""
    (result,) = answer.results
    rows = sorted(result.said.predictions, key=lambda row: row.class_index)
    values = [getattr(row, name) for row in rows]
    return None if None in values else values


def own_output(answer: Answer) -> list[float]:
    """Probabilities of every class; the plain values of a model whose output is none."""
    return class_vector(answer, "probability") or class_vector(answer, "score") or []
