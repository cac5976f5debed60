"""What a worker looks after while it lives: its own beat, jobs of dead workers, jobs that nobody runs."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from service.jobs.lease import Lease
from service.jobs.queue import Queue

log = structlog.get_logger(__name__)

STUCK_AFTER_S = 4.0


class Keeper:
    """`mine` gives the jobs that this process has threads for; `on_stuck` ends a process that cannot let go of one."""

    def __init__(
        self,
        queue: Queue,
        lease: Lease,
        executor: str,
        lease_s: float,
        mine: Callable[[], set[str]],
        on_stuck: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._lease = lease
        self._executor = executor
        self._lease_s = lease_s
        self._mine = mine
        self._on_stuck = on_stuck
        self._beat_at = -lease_s
        self._lost_since: dict[str, float] = {}
        self._idle_since: dict[str, float] = {}

    def look(self) -> None:
        """One round, due every second. Raises JobsUnavailable."""
        now = time.monotonic()
        if now - self._beat_at >= self._lease_s / 4:
            self._lease.beat()
            self._beat_at = now
        mine = self._mine()
        workers = {row.workflow_id: row.executor_id or "" for row in self._queue.running()}
        given = {job for job, worker in workers.items() if worker == self._executor}
        self._end_if_stuck(mine - given, now)
        self._put_back_idle(given - mine - self._mine(), now)
        if self._lease.steady:
            self._take_over(set(workers.values()))

    def _end_if_stuck(self, lost: set[str], now: float) -> None:
        """A cancelled job ends at its next tick; one that has no next tick would block this worker for ever."""
        self._lost_since = {job: self._lost_since.get(job, now) for job in lost & self._mine()}
        for job, since in self._lost_since.items():
            if now - since >= STUCK_AFTER_S:
                log.error("job does not stop, so its process must", job=job)
                self._lost_since[job] = now
                self._on_stuck()

    def _put_back_idle(self, idle: set[str], now: float) -> None:
        """A job may be given to this worker in the very moment the database goes away: then no thread knows of it."""
        self._idle_since = {job: self._idle_since.get(job, now) for job in idle}
        for job, since in self._idle_since.items():
            if now - since >= self._lease_s:
                log.warning("job put back that nobody ran", job=job)
                self._queue.put_back(job)

    def _take_over(self, workers: set[str]) -> None:
        for worker in sorted(self._lease.dead(workers)):
            if not self._lease.claim(worker):
                continue
            # Asked again: what another has put back before the claim is no longer the dead worker's.
            for row in self._queue.running():
                if row.executor_id == worker:
                    log.warning("job taken over", job=row.workflow_id, dead_worker=worker)
                    self._queue.put_back(row.workflow_id)
