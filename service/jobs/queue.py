"""The durable queue that DBOS keeps in the jobs database, through its public client alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import sqlalchemy as sa
import structlog
from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer, EnqueueOptions, WorkflowStatus
from dbos import error as dbos_error

from service.errors import JobsUnavailable, KerascopeError, StorageFull
from service.jobs.config import JobsConfig
from service.jobs.database import Database, unavailable
from service.jobs.job import JobState
from service.json_types import Json, JsonObject

log = structlog.get_logger(__name__)

APPLICATION = "kerascope"
QUEUE = "jobs"
WORKFLOW = "job"
# Constant: jobs have one step, so a newer service may go on with an older one's.
VERSION = "jobs-1"
RETRY_CONNECT_S = 1.0

STATES = {
    "ENQUEUED": JobState.QUEUED,
    "DELAYED": JobState.QUEUED,
    "PENDING": JobState.RUNNING,
    "SUCCESS": JobState.SUCCEEDED,
    "ERROR": JobState.FAILED,
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": JobState.FAILED,
    "CANCELLED": JobState.CANCELLED,
}


def state_of(status: str) -> JobState:
    """A state that only a newer service knows is that of a job which this one cannot go on with."""
    return STATES.get(status, JobState.FAILED)


ACTIVE = (JobState.QUEUED, JobState.RUNNING)
FINAL = tuple(state for state in JobState if state.final)


class Queue:
    """Connects when first used, once for all threads. Every method raises JobsUnavailable while it cannot."""

    def __init__(self, config: JobsConfig, database: Database) -> None:
        self._poll_s = config.poll_s
        self._database = database
        self._lock = threading.Lock()
        self._client: DBOSClient | None = None
        self._retry_at = 0.0
        self._error: KerascopeError | None = None

    def connect(self) -> None:
        """Makes the tables and the queue where they are missing."""
        with self._lock:
            if self._client:
                return
            if time.monotonic() < self._retry_at:
                raise self._error.again() if self._error else unavailable()
            self._database.renew()
            try:
                with self._database.reachable():
                    self._client = self._open()
                self._database.opened()
            except (JobsUnavailable, StorageFull) as error:
                self._failed(error)
                raise
            except Exception as error:
                log.exception("jobs database cannot be opened")
                failure = unavailable()
                self._failed(failure)
                raise failure from error
            self._error = None

    @property
    def problem(self) -> str | None:
        """Why the last use of the database failed; None when it did not."""
        return self._error.detail if self._error else None

    def _failed(self, error: KerascopeError) -> None:
        self._retry_at = time.monotonic() + RETRY_CONNECT_S
        if self.problem != error.detail:
            log.warning("jobs database cannot be used", reason=error.detail, error=repr(error.__cause__))
        self._error = error.again()

    def close(self) -> None:
        with self._lock:
            if self._client:
                self._client.destroy()
                self._client = None

    def find(self, job_id: str, *, with_error: bool = False) -> WorkflowStatus | None:
        rows = self.find_all([job_id], with_error=with_error)
        return rows[0] if rows else None

    def find_all(self, job_ids: Collection[str], *, with_error: bool = False) -> list[WorkflowStatus]:
        return self._list(workflow_ids=list(job_ids), load_output=with_error) if job_ids else []

    def page(self, owner: str | None, states: Collection[JobState], limit: int, offset: int) -> list[WorkflowStatus]:
        """Newest first; no states means all."""
        return self._list(user=owner, status=_statuses(states) or None, limit=limit, offset=offset, sort_desc=True)

    def active(self) -> list[WorkflowStatus]:
        return self._list(status=_statuses(ACTIVE))

    def running(self) -> list[WorkflowStatus]:
        return self._list(status=_statuses([JobState.RUNNING]))

    def finished_before(self, moment: float, limit: int) -> list[WorkflowStatus]:
        """Jobs that ended before `moment`, in s since 1970."""
        before = datetime.fromtimestamp(moment, UTC).isoformat()
        return self._list(status=_statuses(FINAL), completed_before=before, limit=limit)

    def count(self) -> dict[JobState, int]:
        table = sa.table(
            "workflow_status",
            sa.column("status", sa.Text),
            sa.column("name", sa.Text),
            schema=None if self._database.is_sqlite else "dbos",
        )
        query = sa.select(table.c.status, sa.func.count()).where(table.c.name == WORKFLOW).group_by(table.c.status)
        counts = dict.fromkeys(JobState, 0)
        with self._connected(), self._database.begin() as connection:
            for status, count in connection.execute(query):
                counts[state_of(status)] += count
        return counts

    def enqueue(
        self,
        connection: sa.Connection,
        job_id: str,
        owner: str,
        priority: int,
        attributes: JsonObject,
        arguments: Sequence[Json],
    ) -> None:
        """Part of the caller's transaction. Raises dbos' DBOSWorkflowIDInUseError for a known ID."""
        options: EnqueueOptions = {
            "workflow_name": WORKFLOW,
            "queue_name": QUEUE,
            "workflow_id": job_id,
            "workflow_id_reuse_policy": "reject",
            "app_version": VERSION,
            "priority": priority,
            "authenticated_user": owner,
            "attributes": attributes,
        }
        with self._connected() as client:
            client.enqueue_in_transaction(connection, options, *arguments)

    def cancel(self, job_id: str) -> None:
        with self._connected() as client:
            client.cancel_workflow(job_id)

    def put_back(self, job_id: str) -> None:
        """Hands a running job to whichever worker is free; its present one may write no more."""
        with self._connected() as client:
            client.resume_workflow(job_id, queue_name=QUEUE)

    def delete(self, job_ids: Collection[str]) -> None:
        with self._connected() as client:
            client.delete_workflows(list(job_ids))

    def _list(self, *, load_output: bool = False, **filters: Json) -> list[WorkflowStatus]:
        with self._connected() as client:
            return client.list_workflows(name=WORKFLOW, load_input=False, load_output=load_output, **filters)

    @contextmanager
    def _connected(self) -> Iterator[DBOSClient]:
        client = self._client
        if client is not None and self._database.renew():
            self._forget(client)
            client = None
        if client is None:
            self.connect()
            client = self._client
        if client is None:
            raise unavailable()
        try:
            with self._database.reachable():
                yield client
        except dbos_error.DBOSQueryTimeoutError as error:
            raise unavailable() from error
        except JobsUnavailable as error:
            self._error = error.again()
            if self._database.is_sqlite:
                # The file may be another when it can be used again, and lack the tables.
                self._forget(client)
            raise
        else:
            self._error = None

    def _forget(self, client: DBOSClient) -> None:
        with self._lock:
            if self._client is client:
                self._client = None

    def _open(self) -> DBOSClient:
        with self._database.engine.connect():
            # Before anything else: makes SQLite's file, with the mode and journal it is to have.
            pass
        DBOS.migrate(self._database.url)
        self._database.create_tables()
        client = DBOSClient(
            system_database_engine=self._database.engine,
            application_name=APPLICATION,
            serializer=DBOSPortableJSONSerializer(),
            lazy=True,
            retry_connection_errors=False,
        )
        client.register_queue(QUEUE, worker_concurrency=1, polling_interval_sec=self._poll_s)
        return client


def _statuses(states: Collection[JobState]) -> list[str]:
    return [status for status, state in STATES.items() if state in states]
