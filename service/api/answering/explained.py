"""A method's answer: at once, or as a background job that the caller may wait for."""

from __future__ import annotations

import asyncio
import time

import orjson
from fastapi import Request, Response

from service.api.answering.negotiate import body_of, length_of, responder
from service.api.answering.schemas_jobs import job_out
from service.api.answering.services import Services
from service.api.guarding.deadlines import CallerGone, place_of, unless_gone
from service.api.guarding.keys import caller_of, owner_of
from service.api.reading import prefer
from service.api.reading.prefer import Prefer
from service.engine.host.pool import Place
from service.errors.naming import error_named
from service.jobs.job import Job, JobState
from service.keys.scope import Scope
from service.usecases.answer import Answer
from service.usecases.cache import question_of, tag_of
from service.usecases.request import ExplainRequest

# What no caller sees; it is for the log.
CLIENT_CLOSED = 499


async def answered(request: Request, services: Services, asked: ExplainRequest, priority: int) -> Response:
    """200 with the answer, or 202 with the job: where the caller prefers it, and always for what always runs as one."""
    wishes = prefer.read(request.headers)
    if wishes.respond_async or any(call.explainer.cost.as_job for call in asked.methods):
        return await _as_job(request, services, asked, priority, wishes)
    return await at_once(request, services, asked)


async def at_once(request: Request, services: Services, asked: ExplainRequest) -> Response:
    """200 with the answer, or 304 to a GET whose caller has it. For a caller who has gone nothing is computed."""
    try:
        return await unless_gone(request, _at_once(request, services, asked))
    except CallerGone:
        return Response(status_code=CLIENT_CLOSED)


async def _at_once(request: Request, services: Services, asked: ExplainRequest) -> Response:
    cache, started = services.cache, time.perf_counter()
    place = place_of(request, services.settings.call_deadline_s)
    if not cache.on:
        return await asyncio.to_thread(responder(asked), await _computed(services, asked, place), asked.options)
    question = question_of(asked)
    # Of a POST the header asks for nothing (RFC 9110, 13.1.2): what was kept is sent again.
    given = request.headers.get("if-none-match", "") if request.method in ("GET", "HEAD") else ""
    # Only who may have the answer already needs to know which model there is now.
    known = given or question in cache
    fingerprint = await services.explain.fingerprint(asked.model_id) if known else None
    kept = cache.get(question, fingerprint)
    if fingerprint:
        tag = tag_of(question, fingerprint)
        # A tag was only ever given with an answer; `*` means any, and there may be none, as for a class that is not.
        if _is_one_of(tag, given) or (kept and given.strip() == "*"):
            return Response(status_code=304, headers={"ETag": tag})
        if kept:
            timing = f"cache;desc=hit;dur={(time.perf_counter() - started) * 1e3:.1f}"
            return Response(kept.content, media_type=kept.media_type, headers={"ETag": tag, "Server-Timing": timing})
    answer = await _computed(services, asked, place)
    response = await asyncio.to_thread(responder(asked), answer, asked.options)
    if cache.takes(length_of(response)):
        cache.put(question, body_of(response), response.media_type or "", answer.fingerprint)
    response.headers["ETag"] = tag_of(question, answer.fingerprint)
    return response


async def _computed(services: Services, asked: ExplainRequest, place: Place) -> Answer:
    answer = await services.explain(asked, place)
    services.metrics.explained(asked.kind, answer.timing_ms)
    return answer


def _is_one_of(tag: str, header: str) -> bool:
    tags = [part.strip().removeprefix("W/") for part in header.split(",")]
    return tag.removeprefix("W/") in tags


async def _as_job(
    request: Request, services: Services, asked: ExplainRequest, priority: int, wishes: Prefer
) -> Response:
    caller_of(request).needs(Scope.JOBS)
    owner = owner_of(request)
    deadline = place_of(request, services.settings.call_deadline_s).deadline
    job = await services.jobs.submit(asked, owner, priority, prefer.idempotency_key(request.headers), deadline)
    if wishes.wait_s:
        job = await services.jobs.finished(job.id, owner, min(wishes.wait_s, services.settings.call_deadline_s))
    if job.error is not None and wishes.wait_s:
        raise error_named(job.error.kind)(job.error.detail)
    if job.state is JobState.SUCCEEDED and wishes.wait_s:
        answer = await services.jobs.answer(await services.jobs.stored(job.id, owner), asked)
        response = await asyncio.to_thread(responder(asked), answer, asked.options)
    else:
        response = accepted(job)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    if applied := wishes.applied(finished=response.status_code == 200):
        response.headers["Preference-Applied"] = applied
    return response


def accepted(job: Job) -> Response:
    """202 with the job as it is now."""
    return Response(orjson.dumps(job_out(job).model_dump(mode="json")), 202, media_type="application/json")
