"""Signs of life of the workers, and who may take over from one that gives none."""

from __future__ import annotations

import time

import sqlalchemy as sa

from service.jobs.database import WORKERS, Database

CLAIM_S = 5.0
FORGET_LEASES = 20


class Lease:
    """A worker counts as alive for `lease_s` after its last beat, by the database's clock.

    Methods raise JobsUnavailable.
    """

    def __init__(self, database: Database, executor: str, lease_s: float) -> None:
        self._database = database
        self._executor = executor
        self._lease_s = lease_s
        self._last_beat = time.monotonic()
        self._steady_since = -lease_s

    def beat(self) -> None:
        """Also forgets workers that have long been dead."""
        now = self._database.now
        with self._database.begin() as connection:
            self._database.upsert(connection, WORKERS, {"executor": self._executor, "beat": now})
            connection.execute(sa.delete(WORKERS).where(WORKERS.c.beat < now - FORGET_LEASES * self._lease_s))
        if time.monotonic() - self._last_beat > self._lease_s / 2:
            self._steady_since = time.monotonic()
        self._last_beat = time.monotonic()

    def leave(self) -> None:
        with self._database.begin() as connection:
            connection.execute(sa.delete(WORKERS).where(WORKERS.c.executor == self._executor))

    @property
    def steady(self) -> bool:
        """Whether this worker has beaten for a whole lease without a gap.

        After an outage of the database, or of this process, the others deserve time to give a sign of life too.
        """
        return time.monotonic() - self._steady_since >= self._lease_s

    def dead(self, executors: set[str]) -> set[str]:
        """Gives those of `executors` that are neither alive nor this worker."""
        alive = sa.select(WORKERS.c.executor).where(WORKERS.c.beat > self._database.now - self._lease_s)
        with self._database.begin() as connection:
            return executors - set(connection.execute(alive).scalars()) - {self._executor}

    def claim(self, executor: str) -> bool:
        """Whether this worker is the one that takes over from the dead `executor`; for 5 s no other is."""
        now = self._database.now
        taken = now - self._lease_s + CLAIM_S
        with self._database.begin() as connection:
            if self._database.insert_new(connection, WORKERS, {"executor": executor, "beat": taken}):
                return True
            stale = (WORKERS.c.executor == executor) & (WORKERS.c.beat <= now - self._lease_s)
            return connection.execute(sa.update(WORKERS).where(stale).values(beat=taken)).rowcount == 1
