"""All that the code of a job sees of the queue it runs in."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from service.jobs.progress import ProgressNote, finite
from service.jobs.run import CHECKPOINT, Handover, Run

EVENT_S = 0.2
PREVIEW_S = 0.5
PREVIEW = "preview"
RESULT = "result"


class JobContext:
    """What the handler of a job may call, in its own thread alone.

    Any method may end the handler by an exception that is no `Exception`: the job was cancelled, or this worker is to
    stop, or another has taken over. Let it pass.
    """

    def __init__(self, run: Run, progress: ProgressNote, checkpoint_s: float) -> None:
        self._run = run
        self._progress = progress
        self._checkpoint_s = checkpoint_s
        self._event_at = self._preview_at = -PREVIEW_S
        self._checkpoint_at = time.monotonic()
        self._first: tuple[float, int] | None = None
        self.finished = False

    @property
    def job_id(self) -> str:
        return self._run.job

    def blob(self, name: str) -> bytes | None:
        """What the submitter, or `put`, stored under that name."""
        return self._run.get(name)

    def put(self, name: str, data: bytes) -> None:
        """Raises StorageFull."""
        self._run.fence()
        self._run.put(name, data)

    def load(self) -> bytes | None:
        """The last state saved by `tick`, to go on from; None at a first start."""
        return self._run.get(CHECKPOINT)

    def tick(
        self,
        step: int,
        total: int,
        *,
        loss: float | None = None,
        state: Callable[[], bytes] | None = None,
        preview: Callable[[], bytes] | None = None,
    ) -> None:
        """Tells that `done` of `total` steps are computed; it is cheap unless something is due.

        Progress is told 5 times a second, `preview` is asked for a picture twice a second, `state` for what `load`
        is to give, every `checkpoint_s` and when the worker stops. Raises StorageFull.
        """
        now = time.monotonic()
        if self._first is None:
            self._first = now, step
        if self._run.stopping:
            self._hand_over(step, total, loss, state)
        last = step >= total
        if now - self._event_at < EVENT_S and not last:
            return
        self._event_at = now
        self._run.fence()
        self._publish(step, total, loss, now)
        if preview and (last or now - self._preview_at >= PREVIEW_S):
            self._preview_at = now
            self._run.put(PREVIEW, preview())
            # Told only now: who hears of a version finds it.
            self._progress = replace(self._progress, preview_version=self._progress.preview_version + 1)
            self._run.publish(self._progress)
        if state and now - self._checkpoint_at >= self._checkpoint_s:
            self._run.put(CHECKPOINT, state())
            self._checkpoint_at = time.monotonic()

    def finish(self, result: bytes) -> None:
        """The handler's last call. Raises StorageFull."""
        self._run.fence()
        self._run.put(RESULT, result, instead_of=[CHECKPOINT])
        self._run.publish(replace(self._progress, ended_at=time.time()))
        self.finished = True

    def _publish(self, step: int, total: int, loss: float | None, now: float) -> None:
        self._progress = replace(
            self._progress, step=step, total=total, loss=finite(loss), seconds_left=self._seconds_left(step, total, now)
        )
        self._run.publish(self._progress)

    def _seconds_left(self, step: int, total: int, now: float) -> float | None:
        """By the speed since this start's first tick, which leaves out what the first step compiles."""
        if self._first is None or step <= self._first[1]:
            return None
        began, first = self._first
        return round((now - began) / (step - first) * (total - step), 3)

    def _hand_over(self, step: int, total: int, loss: float | None, state: Callable[[], bytes] | None) -> None:
        self._run.fence()
        if state:
            self._run.put(CHECKPOINT, state())
        # Who leaves in an orderly way did not die at this step.
        self._progress = replace(self._progress, starts=0)
        self._publish(step, total, loss, time.monotonic())
        raise Handover
