"""A job put together from its row in the queue and the progress beside it."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

import structlog
from dbos import PortableWorkflowError, WorkflowStatus

from service.jobs.job import Job, JobFailure, JobState
from service.jobs.progress import ProgressNote
from service.jobs.queue import STATES, state_of
from service.json_types import Json, JsonObject

log = structlog.get_logger(__name__)

UNKNOWN = "unknown"


def job_of(row: WorkflowStatus, progress: ProgressNote, result_ttl_s: float) -> Job:
    """`row` of a failed job must have been read with its error.

    One that was damaged, or written by another version of the service, hides neither itself nor the others.
    """
    try:
        return _job_of(row, progress, result_ttl_s)
    except (ValueError, TypeError, OverflowError, AttributeError, OSError):
        log.exception("row of a job not readable", job=row.workflow_id)
        owner = row.authenticated_user or ""
        bare = new_job(row.workflow_id, UNKNOWN, owner, 0, {}, 0.0)
        return replace(bare, state=state_of(row.status), error=_failure(row) if row.status not in STATES else None)


def _job_of(row: WorkflowStatus, progress: ProgressNote, result_ttl_s: float) -> Job:
    state = state_of(row.status)
    attributes = row.attributes if isinstance(row.attributes, dict) else {}
    created = attributes.get("created_at") or _seconds(row.created_at) or 0.0
    started = progress.started_at or _seconds(row.dequeued_at)
    # The queue's own times are whole seconds in SQLite, cut off.
    ended = max(_seconds(row.completed_at) or 0.0, started or created)
    finished = (progress.ended_at or ended) if state.final else None
    expires = finished + result_ttl_s if finished is not None else None
    return Job(
        id=row.workflow_id,
        kind=str(attributes.get("kind") or UNKNOWN),
        owner=row.authenticated_user or "",
        state=state,
        priority=int(row.priority or 0),
        attempts=progress.attempts,
        created_at=_moment(created),
        started_at=_moment(started) if started is not None else None,
        finished_at=_moment(finished) if finished is not None else None,
        expires_at=_moment(expires) if expires is not None else None,
        step=progress.step,
        total=progress.total,
        loss=progress.loss,
        preview_version=progress.preview_version,
        seconds_left=progress.seconds_left if state is JobState.RUNNING else None,
        error=_failure(row) if state is JobState.FAILED else None,
        label=_label(attributes.get("label")),
        worker=row.executor_id if state is not JobState.QUEUED else None,
        expired=expires is not None and time.time() >= expires,
    )


def new_job(job_id: str, kind: str, owner: str, priority: int, label: JsonObject, created_at: float) -> Job:
    """The job as it has just been submitted; `created_at` is in s since 1970."""
    return Job(
        id=job_id,
        kind=kind,
        owner=owner,
        state=JobState.QUEUED,
        priority=priority,
        attempts=0,
        created_at=_moment(created_at),
        started_at=None,
        finished_at=None,
        expires_at=None,
        step=None,
        total=None,
        loss=None,
        preview_version=0,
        seconds_left=None,
        error=None,
        label=label,
        worker=None,
        expired=False,
    )


def _label(said: Json) -> JsonObject:
    label = said if isinstance(said, dict) else {}
    return label if isinstance(label.get("parameters", {}), dict | None) else {**label, "parameters": None}


def _failure(row: WorkflowStatus) -> JobFailure:
    if row.status not in STATES:
        return JobFailure("KerascopeError", f"its state {row.status!r} is of another version of the service")
    if isinstance(row.error, PortableWorkflowError):
        return JobFailure(row.error.name, row.error.message)
    return JobFailure("KerascopeError", "the workers that ran this job died too often")


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
