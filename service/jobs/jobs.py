"""The jobs as the api process uses them: submit, look, cancel, fetch. Methods block; call them in threads."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from uuid import uuid4

from dbos import WorkflowStatus
from dbos import error as dbos_error

from service.errors import (
    IdempotencyKeyReused,
    JobsUnavailable,
    JobWithoutResult,
    QueueFull,
    ResultExpired,
    TooManyJobs,
    UnknownJob,
)
from service.jobs.blobs import Blobs
from service.jobs.config import JobsConfig
from service.jobs.database import Database
from service.jobs.job import Job, JobState
from service.jobs.progress import PROGRESS, ProgressNote
from service.jobs.queue import Queue, state_of
from service.jobs.record import job_of, new_job
from service.jobs.retention import Retention
from service.jobs.store import Store
from service.json_types import JsonObject

RETRY_AFTER_S = 10
CONNECTIONS = 8

Page = list[Job]


class Jobs:
    """The job queue, for any number of threads. It connects when first used, and again by itself after an outage.

    Every method raises JobsUnavailable while the database cannot be reached. An `owner` sees its own jobs only; None
    sees all.
    """

    def __init__(self, config: JobsConfig) -> None:
        self._config = config
        self._database = Database(config.database_url, connections=CONNECTIONS)
        self._queue = Queue(config, self._database)
        self._blobs = Blobs(self._database, Store(config.result_store))

    def connect(self) -> None:
        """Makes the tables and the queue; else the first call does."""
        self._queue.connect()

    @property
    def problem(self) -> str | None:
        """Why jobs could not be looked at when it was last tried; None when they could."""
        return self._queue.problem

    def close(self) -> None:
        self._queue.close()
        self._database.close()

    def submit(
        self,
        kind: str,
        request: JsonObject,
        *,
        owner: str,
        blobs: Mapping[str, bytes],
        label: JsonObject,
        priority: int = 5,
        key: str | None = None,
        logged: Mapping[str, str] | None = None,
    ) -> tuple[Job, bool]:
        """The job, and whether it is new: a known idempotency `key` of this owner gives the job it made.

        A smaller `priority` goes first; `logged` is what the worker's log lines about the job have. Raises
        QueueFull, TooManyJobs, IdempotencyKeyReused and StorageFull.
        """
        digest = _digest(kind, request, blobs)
        job_id = uuid4().hex if key is None else hashlib.sha256(f"{owner}\0{key}".encode()).hexdigest()[:32]
        if key is not None and (known := self._queue.find(job_id)):
            return self._same(known, digest), False
        self._check_bounds(owner)
        created_at = time.time()
        attributes = {"kind": kind, "label": label, "digest": digest, "created_at": created_at}
        arguments = [kind, request, dict(logged or {})]
        staged = [self._blobs.stage(job_id, name, data) for name, data in blobs.items()]
        try:
            with self._database.begin() as connection:
                self._queue.enqueue(connection, job_id, owner, priority, attributes, arguments)
                self._blobs.save(connection, job_id, staged)
        except dbos_error.DBOSWorkflowIDInUseError:
            self._blobs.discard(staged)
            return self._same(self._row(job_id, owner), digest), False
        except JobsUnavailable:
            # The commit may have come through: if not, a sweep finds the files.
            raise
        except BaseException:
            self._blobs.discard(staged)
            raise
        return new_job(job_id, kind, owner, priority, label, created_at), True

    def get(self, job_id: str, owner: str | None) -> Job:
        """Raises UnknownJob when there is none of this owner."""
        return self._job(self._row(job_id, owner))

    def cancel(self, job_id: str, owner: str | None) -> Job:
        """A job that has ended stays as it is. Raises UnknownJob."""
        row = self._row(job_id, owner)
        if not state_of(row.status).final:
            self._queue.cancel(job_id)
            row = self._row(job_id, owner)
        return self._job(row)

    def blob(self, job_id: str, name: str, owner: str | None) -> bytes | None:
        """None when there is no such blob, or no longer. Raises UnknownJob."""
        self._row(job_id, owner)
        return self._blobs.get(job_id, name)

    def result(self, job_id: str, owner: str | None) -> bytes:
        """Raises UnknownJob, JobWithoutResult when the job has not succeeded, and ResultExpired."""
        job = self.get(job_id, owner)
        if job.state is not JobState.SUCCEEDED:
            reason = f" because {job.error.detail}" if job.error else ""
            raise JobWithoutResult(f"the job {job_id!r} has no result: it is {job.state}{reason}")
        data = None if job.expired else self._blobs.get(job_id, "result")
        if data is None:
            when = f"{job.expires_at:%Y-%m-%d %H:%M:%S} UTC"
            raise ResultExpired(f"the result of the job {job_id!r} was kept until {when}")
        return data

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state, those whose result has expired included."""
        return self._queue.count()

    def sweep(self) -> int:
        """Throws away what is due; how many jobs lost their blobs or went altogether."""
        return Retention(self._queue, self._blobs, self._config.result_ttl_s).sweep(self._database.clock())

    def list(self, owner: str | None, state: JobState | None = None, *, limit: int = 50, offset: int = 0) -> Page:
        """Newest first; `state` None means any."""
        rows = self._queue.page(owner, [] if state is None else [state], limit, offset)
        failed = [row.workflow_id for row in rows if state_of(row.status) is JobState.FAILED]
        with_error = {row.workflow_id: row for row in self._queue.find_all(failed, with_error=True)}
        progress = self._blobs.of_jobs([row.workflow_id for row in rows], PROGRESS)
        page = [
            job_of(
                with_error.get(row.workflow_id, row),
                ProgressNote.decode(progress.get(row.workflow_id)),
                self._config.result_ttl_s,
            )
            for row in rows
        ]
        return sorted(page, key=lambda job: job.created_at, reverse=True)

    def _row(self, job_id: str, owner: str | None) -> WorkflowStatus:
        row = self._queue.find(job_id)
        if row is None or (owner is not None and row.authenticated_user != owner):
            raise UnknownJob(f"there is no job {job_id!r}, or no longer")
        return row

    def _job(self, row: WorkflowStatus) -> Job:
        if state_of(row.status) is JobState.FAILED:
            row = self._queue.find(row.workflow_id, with_error=True) or row
        return job_of(row, ProgressNote.decode(self._blobs.get(row.workflow_id, PROGRESS)), self._config.result_ttl_s)

    def _same(self, row: WorkflowStatus, digest: str) -> Job:
        if (row.attributes or {}).get("digest") != digest:
            raise IdempotencyKeyReused(
                "this idempotency key came with another request before; send a new key with a new request"
            )
        return self._job(row)

    def _check_bounds(self, owner: str) -> None:
        active = self._queue.active()
        waiting = sum(state_of(row.status) is JobState.QUEUED for row in active)
        if waiting >= self._config.max_queued:
            raise QueueFull(f"{waiting} jobs are waiting, and no more may", retry_after_s=RETRY_AFTER_S)
        own = sum(row.authenticated_user == owner for row in active)
        if own >= self._config.max_per_owner:
            raise TooManyJobs(
                f"{own} of your jobs are waiting or running, and no more may; wait for one or cancel one",
                retry_after_s=RETRY_AFTER_S,
            )


def _digest(kind: str, request: JsonObject, blobs: Mapping[str, bytes]) -> str:
    parts: Sequence[object] = [
        kind,
        request,
        [[name, hashlib.sha256(data).hexdigest()] for name, data in sorted(blobs.items())],
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
