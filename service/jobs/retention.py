"""What is thrown away when: results, the rows of old jobs, and what nobody owns."""

from __future__ import annotations

from dbos import WorkflowStatus

from service.jobs.blobs import Blobs
from service.jobs.progress import PROGRESS
from service.jobs.queue import STATES, Queue

ORPHAN_AFTER_S = 3600.0
TOMBSTONE_TTLS = 5
PAGE = 500


class Retention:
    """A job's blobs go one `result_ttl_s` after its end, the job itself after five: until then it counts as expired.

    Blobs without a job go after an hour.
    """

    def __init__(self, queue: Queue, blobs: Blobs, result_ttl_s: float) -> None:
        self._queue = queue
        self._blobs = blobs
        self._ttl_s = result_ttl_s

    def sweep(self, now: float) -> int:
        """How many jobs lost their blobs or went altogether; `now` is the database's clock. Raises JobsUnavailable."""
        removed = self._sweep_blobs(now) + self._sweep_jobs(now)
        self._blobs.delete_stray_files(ORPHAN_AFTER_S)
        return removed

    def _sweep_blobs(self, now: float) -> int:
        removed = 0
        after = ""
        unchanged_since = now - min(self._ttl_s, ORPHAN_AFTER_S)
        while found := self._blobs.jobs_unchanged_since(unchanged_since, other_than=PROGRESS, after=after, limit=PAGE):
            after = max(found)
            rows = {row.workflow_id: row for row in self._queue.find_all(found)}
            for job, written_at in found.items():
                row = rows.get(job)
                if row is None and written_at <= now - ORPHAN_AFTER_S:
                    self._blobs.delete(job)
                    removed += 1
                elif row and self._is_due(row, now):
                    self._blobs.delete(job, keep=[PROGRESS])
                    removed += 1
        return removed

    def _is_due(self, row: WorkflowStatus, now: float) -> bool:
        """Whether it ended so long ago; one in a state of a newer service may not have ended at all."""
        ended = row.status in STATES and STATES[row.status].final
        return ended and (row.completed_at or 0) / 1000 <= now - self._ttl_s

    def _sweep_jobs(self, now: float) -> int:
        removed = 0
        while rows := self._queue.finished_before(now - TOMBSTONE_TTLS * self._ttl_s, PAGE):
            jobs = [row.workflow_id for row in rows]
            # The blobs first: when this process dies in between, the row is still there to find them by.
            for job in jobs:
                self._blobs.delete(job)
            self._queue.delete(jobs)
            removed += len(jobs)
        return removed
