"""The shapes of background jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from service.api.problems import STATUS, problem_type
from service.contract.message import Message
from service.errors.naming import error_named
from service.jobs.job import Job
from service.json_types import JsonObject


class JobError(Message):
    """Why a job failed, in the words a direct call would have answered."""

    type: str
    title: str
    status: int
    detail: str


class JobLinks(Message):
    """The addresses of a job's parts."""

    self: str
    events: str
    preview: str
    result: str


class JobOut(Message):
    """A background job. `progress` is from 0 to 1; `loss` is what an ascent maximises, at the last step told."""

    id: str
    method: str
    model: str
    parameters: JsonObject | None = Field(
        description="Of a job of one method: its parameters as they were submitted. Null where they are too long to be "
        "told with every job; the result tells them."
    )
    state: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    priority: int
    attempts: int = Field(description="How often a worker has begun it.")
    step: int | None
    total: int | None
    progress: float | None
    loss: float | None
    seconds_left: float | None = Field(description="An estimate, from the steps that were told so far.")
    preview_version: int = Field(description="Counts the previews drawn so far; 0 for none.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None = Field(description="When the result is deleted.")
    expired: bool
    error: JobError | None
    links: JobLinks


class JobList(Message):
    """Jobs, the newest first."""

    jobs: list[JobOut]


def job_out(job: Job) -> JobOut:
    """A job as callers see it."""
    path = f"/v1/jobs/{job.id}"
    error = None
    if job.error is not None:
        kind = error_named(job.error.kind)
        error = JobError(type=problem_type(kind), title=kind.title(), status=STATUS[kind], detail=job.error.detail)
    return JobOut(
        id=job.id,
        method=job.kind,
        model=str(job.label.get("model", "")),
        parameters=job.label.get("parameters"),
        state=job.state.value,
        priority=job.priority,
        attempts=job.attempts,
        step=job.step,
        total=job.total,
        progress=job.step / job.total if job.step is not None and job.total else None,
        loss=job.loss,
        seconds_left=job.seconds_left,
        preview_version=job.preview_version,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        expires_at=job.expires_at,
        expired=job.expired,
        error=error,
        links=JobLinks(self=path, events=f"{path}/events", preview=f"{path}/preview", result=f"{path}/result"),
    )
