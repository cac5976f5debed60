"""A job as callers see it, and what they hear of it while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from service.json_types import JsonObject


class JobState(StrEnum):
    """queued → running → succeeded, failed or cancelled; running → queued when a worker hands over or dies."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self not in (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True)
class JobFailure:
    """Why a job failed: `kind` is the name of a KerascopeError, `detail` its sentence."""

    kind: str
    detail: str


@dataclass(frozen=True)
class Job:
    """Times are in UTC; `loss` is that of `step`, of `total` steps; `preview_version` is 0 before the first preview."""

    id: str
    kind: str
    owner: str
    state: JobState
    priority: int
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    step: int | None
    total: int | None
    loss: float | None
    preview_version: int
    seconds_left: float | None
    error: JobFailure | None
    label: JsonObject
    worker: str | None
    expired: bool


@dataclass(frozen=True)
class JobEvent:
    """`id` differs whenever what the job shows differs."""

    id: str
    name: Literal["progress", "succeeded", "failed", "cancelled"]
    job: Job

    @classmethod
    def of(cls, job: Job) -> JobEvent:
        name: Literal["progress", "succeeded", "failed", "cancelled"] = "progress"
        match job.state:
            case JobState.SUCCEEDED:
                name = "succeeded"
            case JobState.FAILED:
                name = "failed"
            case JobState.CANCELLED:
                name = "cancelled"
        step = -1 if job.step is None else job.step
        return cls(f"{job.attempts}.{step}.{job.preview_version}.{job.state}", name, job)
