"""One execution of a job: all it writes is refused once another worker has begun one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TypeVar
from uuid import uuid4

from dbos import DBOS

from service.errors import JobsUnavailable, KerascopeError
from service.jobs.blobs import RUN, Blobs, RunOver
from service.jobs.progress import PROGRESS, ProgressNote

MAX_STARTS = 3
ATTEMPTS = 60
PAUSE_S = 0.5

CHECKPOINT = "checkpoint"

T = TypeVar("T")


class Handover(BaseException):
    """The worker is stopping: another goes on with the job. Not for handlers to catch."""


class Run:
    """Lives in the thread that runs the job; waits while the database is away.

    Two fences: DBOS knows which execution owns the job, but guards only its own tables; the blob `run` names the
    execution in the same transaction that writes.
    """

    def __init__(self, job: str, blobs: Blobs, stopping: threading.Event) -> None:
        self.job = job
        self._blobs = blobs
        self._stopping = stopping
        self._token = uuid4().hex

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def begin(self) -> ProgressNote:
        """Makes this the execution of the job, and counts it.

        Raises KerascopeError when the job has been started too often without getting further.
        """
        self.fence()
        previous = self.progress()
        checkpoint = self.patiently(lambda: self._blobs.written_at(self.job, CHECKPOINT))
        self._claim()
        if previous.starts >= MAX_STARTS and previous.checkpoint == checkpoint:
            raise KerascopeError(f"the worker died {previous.starts} times at step {previous.step or 0} of this job")
        progress = replace(
            previous,
            attempts=previous.attempts + 1,
            starts=previous.starts + 1 if previous.checkpoint == checkpoint else 1,
            checkpoint=checkpoint,
            started_at=previous.started_at or time.time(),
            seconds_left=None,
        )
        self.publish(progress)
        return progress

    def fence(self) -> None:
        """Raises what ends this execution, past any handler, when the job was cancelled or given to another."""
        DBOS.set_event("alive", time.time())

    def progress(self) -> ProgressNote:
        return ProgressNote.decode(self.get(PROGRESS))

    def publish(self, progress: ProgressNote) -> None:
        self.put(PROGRESS, progress.encode())

    def get(self, name: str) -> bytes | None:
        return self.patiently(lambda: self._blobs.get(self.job, name))

    def put(self, name: str, data: bytes, instead_of: Collection[str] = ()) -> None:
        """Raises StorageFull."""

        def write() -> None:
            try:
                self._blobs.put(self.job, name, data, run=self._token, instead_of=instead_of)
            except RunOver:
                # Either the job is another's, or another that has lost it has just tried to begin.
                self.fence()
                self._claim()
                self._blobs.put(self.job, name, data, run=self._token, instead_of=instead_of)

        self.patiently(write)

    def patiently(self, call: Callable[[], T]) -> T:
        """The call's answer, however long the database is away; a store that fails for 30 s is given up."""
        for attempt in range(ATTEMPTS):
            try:
                return call()
            except JobsUnavailable:
                if self.stopping:
                    raise Handover from None
                if attempt == ATTEMPTS - 1:
                    raise
            self._stopping.wait(PAUSE_S)
            self.fence()
        raise AssertionError

    def _claim(self) -> None:
        self._blobs.put(self.job, RUN, self._token.encode())
