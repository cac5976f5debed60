"""Runs jobs, one at a time, in a thread of the process that has the models."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator

import structlog
from dbos import DBOS, DBOSPortableJSONSerializer
from dbos import error as dbos_error

from service.errors import JobsUnavailable, KerascopeError, StorageFull
from service.jobs.blobs import Blobs
from service.jobs.config import JobsConfig
from service.jobs.context import RESULT, JobContext
from service.jobs.database import Database
from service.jobs.keeper import Keeper
from service.jobs.lease import Lease
from service.jobs.lock import acquire
from service.jobs.queue import APPLICATION, QUEUE, VERSION, WORKFLOW, Queue
from service.jobs.retention import Retention
from service.jobs.run import Handover, Run
from service.jobs.store import Store
from service.json_types import JsonObject

log = structlog.get_logger(__name__)

Handler = Callable[[str, JsonObject, JobContext], None]

CONNECTIONS = 10
MAX_DISPATCHES = 50
RETRY_S = 0.5
RELAUNCH_S = 5.0
PREDECESSOR_S = 2.0
MOST_OF_A_NAME = 100
FAILED = "the worker failed; the log of the service says why"
LOOK_S = 1.0
CLOSING_S = 2.0
SWEEP_S = 3600.0


class Worker:
    """`handler` gets the kind, the request and the context of each job.

    A KerascopeError it raises becomes the job's failure; any other exception is logged, and the job fails with a
    sentence that tells nothing internal. `on_stuck` is called when a job that was cancelled 4 s ago still runs.
    """

    def __init__(
        self,
        config: JobsConfig,
        executor: str,
        handler: Handler,
        *,
        on_stuck: Callable[[], None] = lambda: os._exit(3),
    ) -> None:
        self._config = config
        self._own_name = executor
        self._handler = handler
        self._database = Database(config.database_url, connections=CONNECTIONS)
        self._queue = Queue(config, self._database)
        self._blobs = Blobs(self._database, Store(config.result_store))
        self._on_stuck = on_stuck
        self._named(executor)
        self._running: set[str] = set()
        self._stopping = threading.Event()
        self._sweeper: threading.Thread | None = None
        self._deadline = float("inf")
        self._problem: str | None = None
        self._thread = threading.Thread(target=self._live, name="jobs-worker", daemon=True)
        self.ready = threading.Event()

    def start(self) -> None:
        """Returns at once; `ready` is set when jobs are taken, which waits for the database."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """The running job is saved at its next tick and goes back to the queue, from which another worker takes it."""
        self._deadline = time.monotonic() + timeout_s
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    @property
    def problem(self) -> str | None:
        """Why no jobs are run at the moment; None when they are."""
        return self._problem

    def _named(self, executor: str) -> None:
        """Has the worker go by that name from now on."""
        config, self._executor = self._config, executor
        self._lease = Lease(self._database, executor, config.lease_s)
        self._keeper = Keeper(self._queue, self._lease, executor, config.lease_s, self._mine, self._on_stuck)

    def _mine(self) -> set[str]:
        return set(self._running)

    def _live(self) -> None:
        """Whatever goes wrong is told by `problem`, and tried again: an accepted job waits for nothing else."""
        while not self._stopping.is_set():
            try:
                self._work()
            except Exception:
                log.exception("jobs worker failed, and is started again")
                self._problem = FAILED
                with contextlib.suppress(Exception):
                    DBOS.destroy(destroy_registry=True)
                self._stopping.wait(RELAUNCH_S)

    def _work(self) -> None:
        with contextlib.ExitStack() as stack:
            if not self._lock(stack):
                return
            stack.callback(self._database.close)
            stack.callback(self._queue.close)
            while self._launch():
                if self._sweeper is None:
                    self._sweeper = threading.Thread(target=self._sweep, name="jobs-sweep", daemon=True)
                    self._sweeper.start()
                if self._keep():
                    return self._leave()
                DBOS.destroy(destroy_registry=True)
                self._queue.close()
                self._database.close()

    def _lock(self, stack: contextlib.ExitStack) -> bool:
        """Takes a name that no other process works under: two of one name would take each other's jobs.

        Its own first, by which it finds again what it ran before; a predecessor may need a moment to let go of it.
        """
        patient_until = time.monotonic() + PREDECESSOR_S
        while not self._stopping.is_set():
            try:
                for name in self._names() if time.monotonic() > patient_until else [self._own_name]:
                    if held := acquire(self._config.data_dir, name):
                        stack.enter_context(held)
                        self._named(name)
                        return True
            except OSError as error:
                if not self._database.is_sqlite:
                    # Its jobs are elsewhere, and a name of this process alone does as well.
                    self._named(f"{self._own_name}+pid{os.getpid()}")
                    return True
                self._problem = f"the worker's lock cannot be made: {error.strerror}"
            self._stopping.wait(RETRY_S)
        return False

    def _names(self) -> Iterator[str]:
        yield self._own_name
        yield from (f"{self._own_name}+{number}" for number in range(1, MOST_OF_A_NAME))

    def _launch(self) -> bool:
        while not self._stopping.is_set():
            try:
                self._queue.connect()
                self._lease.beat()
                with self._database.reachable():
                    self._start_dbos()
            except Exception as error:
                if not isinstance(error, KerascopeError):
                    log.exception("jobs worker cannot start")
                self._problem = error.detail if isinstance(error, KerascopeError) else FAILED
                DBOS.destroy(destroy_registry=True)
                self._stopping.wait(RETRY_S)
            else:
                self._problem = None
                self.ready.set()
                log.info("jobs worker started", executor=self._executor)
                return True
        return False

    def _start_dbos(self) -> None:
        logger = logging.getLogger("dbos")
        # With a handler of ours, DBOS adds none: its lines go the way of all others.
        logger.addHandler(logging.NullHandler())
        logger.addFilter(_is_news)
        DBOS(
            config={
                "name": APPLICATION,
                "system_database_engine": self._database.engine,
                "executor_id": self._executor,
                "application_version": VERSION,
                "serializer": DBOSPortableJSONSerializer(),
                "log_level": "WARNING",
                "max_executor_threads": 32,
            }
        )

        @DBOS.step(name="run")
        def run(kind: str, request: JsonObject, logged: dict[str, str]) -> None:
            with structlog.contextvars.bound_contextvars(job=DBOS.workflow_id, **logged):
                self._run(kind, request)

        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=MAX_DISPATCHES)
        def job(kind: str, request: JsonObject, logged: dict[str, str] | None = None) -> None:
            with self._counted(DBOS.workflow_id or ""):
                run(kind, request, logged or {})

        DBOS.listen_queues([QUEUE])
        DBOS.launch()
        DBOS.set_latest_application_version(VERSION)

    @contextlib.contextmanager
    def _counted(self, job: str) -> Iterator[None]:
        self._running.add(job)
        try:
            yield
        finally:
            self._running.discard(job)

    def _run(self, kind: str, request: JsonObject) -> None:
        run = Run(DBOS.workflow_id or "", self._blobs, self._stopping)
        if run.stopping:
            raise Handover
        try:
            progress = run.begin()
            log.info("job started", kind=kind, attempt=progress.attempts, after_step=progress.step)
            context = JobContext(run, progress, self._config.checkpoint_s)
            # A worker that died between a job's result and its end leaves a result.
            if run.get(RESULT) is None:
                self._handler(kind, request, context)
                if not context.finished:
                    raise RuntimeError(f"the handler of {kind!r} ended without a result")
            log.info("job succeeded", kind=kind)
        except KerascopeError as error:
            log.info("job failed", error=type(error).__name__, detail=error.detail)
            raise
        except Exception:
            log.exception("job failed")
            raise KerascopeError("something went wrong while the job ran") from None

    def _keep(self) -> bool:
        """Looks after its jobs until it is stopped. False where it must be launched anew: a file of SQLite that could
        not be used for a while may be another now, of which the queue's threads know nothing."""
        look_at, good_at = 0.0, time.monotonic()
        while not self._stopping.is_set() or (self._running and time.monotonic() < self._deadline - CLOSING_S):
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + min(LOOK_S, self._config.lease_s / 4)
                try:
                    self._keeper.look()
                except (JobsUnavailable, StorageFull) as error:
                    log.warning("jobs worker cannot look after its jobs", reason=error.detail)
                    self._problem = error.detail
                except Exception:
                    log.exception("jobs worker could not look after its jobs")
                    self._problem = FAILED
                else:
                    self._problem, good_at = None, time.monotonic()
                if self._database.is_sqlite and not self._running and time.monotonic() - good_at > RELAUNCH_S:
                    return False
            if self._stopping.is_set():
                time.sleep(0.01)
            else:
                self._stopping.wait(look_at - time.monotonic())
        return True

    def _leave(self) -> None:
        """Puts back what is left, once nothing is taken from the queue any more."""
        DBOS.destroy(destroy_registry=True)
        while True:
            try:
                for row in self._queue.running():
                    if row.executor_id == self._executor:
                        self._queue.put_back(row.workflow_id)
                self._lease.leave()
                return
            except JobsUnavailable:
                if time.monotonic() >= self._deadline:
                    return
            time.sleep(RETRY_S)

    def _sweep(self) -> None:
        retention = Retention(self._queue, self._blobs, self._config.result_ttl_s)
        while not self._stopping.is_set():
            try:
                retention.sweep(self._database.clock())
            except JobsUnavailable:
                log.warning("old jobs not swept: the jobs database cannot be reached")
            except Exception:
                log.exception("old jobs could not be swept")
            self._stopping.wait(SWEEP_S)


def _is_news(record: logging.LogRecord) -> bool:
    """Not that a job was cancelled or failed: that is no error of the worker, and logged in our own words."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, dbos_error.DBOSAwaitedWorkflowCancelledError | KerascopeError)
