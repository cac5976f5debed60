"""Named bytes of a job: up to 20 MB in the database, larger ones in the result store, the row saying where."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from service.errors import JobsUnavailable
from service.jobs.database import BLOBS, Database
from service.jobs.store import Store

LARGE = 20 * 2**20
RUN = "run"


class RunOver(Exception):
    """Another execution of the job has begun since: this one may write no more."""


@dataclass(frozen=True)
class Staged:
    """A blob on its way in: exactly one of `data` and `location` is there."""

    name: str
    data: bytes | None
    location: str | None


class Blobs:
    """Readers see a blob as it was before or after a put, never half.

    Methods raise JobsUnavailable; those that write raise StorageFull too.
    """

    def __init__(self, database: Database, store: Store) -> None:
        self._database = database
        self._store = store

    def put(
        self, job: str, name: str, data: bytes, *, run: str | None = None, instead_of: Collection[str] = ()
    ) -> None:
        """Writes the new blob and deletes those named in `instead_of`, in one commit.

        With a `run`, raises RunOver unless the job's blob `run` holds just that.
        """
        staged = self.stage(job, name, data)
        try:
            with self._database.begin() as connection:
                if run is not None and not self._is_run(connection, job, run):
                    raise RunOver(job)
                replaced = self.save(connection, job, [staged])
                replaced += self._remove(connection, job, instead_of) if instead_of else []
        except JobsUnavailable:
            # The commit may have come through: if not, a sweep finds the file.
            raise
        except BaseException:
            self.discard([staged])
            raise
        self._delete_files(replaced)

    def stage(self, job: str, name: str, data: bytes) -> Staged:
        """Takes a large blob to the store; `save` makes it visible, `discard` takes it back."""
        if len(data) > LARGE:
            return Staged(name, None, self._store.put(job, name, data))
        self._database.require_room(len(data))
        return Staged(name, data, None)

    def save(self, connection: sa.Connection, job: str, blobs: Iterable[Staged]) -> list[str]:
        """Returns the files it replaced, to be deleted after the commit."""
        replaced: list[str] = []
        for blob in blobs:
            old = sa.select(BLOBS.c.location).where(_named(job, [blob.name]), BLOBS.c.location.is_not(None))
            replaced += connection.execute(old).scalars()
            values = {"job": job, "name": blob.name, "data": blob.data, "location": blob.location}
            self._database.upsert(connection, BLOBS, {**values, "updated": self._database.now})
        return replaced

    def discard(self, blobs: Iterable[Staged]) -> None:
        self._delete_files([blob.location for blob in blobs if blob.location])

    def get(self, job: str, name: str) -> bytes | None:
        seen = None
        while True:
            with self._database.begin() as connection:
                query = sa.select(BLOBS.c.data, BLOBS.c.location).where(_named(job, [name]))
                row = connection.execute(query).one_or_none()
            if row is None or row.location is None:
                return None if row is None else bytes(row.data)
            data = self._store.get(row.location)
            # The file is gone when a put came between: then the row says where the new one is.
            if data is not None or row.location == seen:
                return data
            seen = row.location

    def of_jobs(self, jobs: Collection[str], name: str) -> dict[str, bytes]:
        """The small blob `name` of each of these jobs that has it."""
        query = sa.select(BLOBS.c.job, BLOBS.c.data).where(BLOBS.c.job.in_(jobs), BLOBS.c.name == name)
        with self._database.begin() as connection:
            return {row.job: bytes(row.data) for row in connection.execute(query) if row.data is not None}

    def written_at(self, job: str, name: str) -> float | None:
        """Gives the time in s since 1970 by the database's clock; None when there is no such blob."""
        with self._database.begin() as connection:
            return connection.execute(sa.select(BLOBS.c.updated).where(_named(job, [name]))).scalar_one_or_none()

    def exists(self, job: str, name: str) -> bool:
        return self.written_at(job, name) is not None

    def delete(self, job: str, names: Collection[str] | None = None, *, keep: Collection[str] = ()) -> None:
        """All blobs of the job when no names are given, except those to keep."""
        with self._database.begin() as connection:
            removed = self._remove(connection, job, names, keep)
        self._delete_files(removed)

    def jobs_unchanged_since(self, moment: float, *, other_than: str, after: str, limit: int) -> dict[str, float]:
        """Jobs beyond `after`, in order of their IDs, none of whose blobs is newer, and when their newest was written.

        Times are in s since 1970; blobs with the name `other_than` do not count.
        """
        newest = sa.func.max(BLOBS.c.updated)
        query = (
            sa.select(BLOBS.c.job, newest)
            .where(BLOBS.c.name != other_than, BLOBS.c.job > after)
            .group_by(BLOBS.c.job)
            .having(newest <= moment)
            .order_by(BLOBS.c.job)
            .limit(limit)
        )
        with self._database.begin() as connection:
            return {job: float(written) for job, written in connection.execute(query)}

    def delete_stray_files(self, age_s: float) -> None:
        """Files of the store that are at least so old and that no row names."""
        old = self._store.older_than(age_s)
        with self._database.begin() as connection:
            known = set(connection.execute(sa.select(BLOBS.c.location).where(BLOBS.c.location.is_not(None))).scalars())
        self._delete_files([location for location in old if location not in known])

    def _is_run(self, connection: sa.Connection, job: str, run: str) -> bool:
        """Locks the row until the commit, so that no other execution can begin in between."""
        touch = sa.update(BLOBS).where(_named(job, [RUN]), BLOBS.c.data == run.encode())
        return connection.execute(touch.values(updated=BLOBS.c.updated)).rowcount == 1

    def _remove(
        self, connection: sa.Connection, job: str, names: Collection[str] | None, keep: Collection[str] = ()
    ) -> list[str]:
        chosen = sa.and_(_named(job, names), BLOBS.c.name.not_in(keep))
        locations = connection.execute(sa.select(BLOBS.c.location).where(chosen, BLOBS.c.location.is_not(None)))
        removed = list(locations.scalars())
        connection.execute(sa.delete(BLOBS).where(chosen))
        return removed

    def _delete_files(self, locations: Iterable[str]) -> None:
        for location in locations:
            self._store.delete(location)


def _named(job: str, names: Collection[str] | None) -> sa.ColumnElement[bool]:
    here = BLOBS.c.job == job
    return here if names is None else sa.and_(here, BLOBS.c.name.in_(names))
