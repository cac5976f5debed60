"""The callers of the day: several at once, who come again where they are told to."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx

from tests.benchmarks.day.call import Call
from tests.benchmarks.pictures import Pictures

JOB_POLL_S = 0.5
# What a service that has too much to do answers.
COME_AGAIN = (429, 503)


class Callers:
    """`answered` counts the calls that went well, by their names; `refused` says of the others what was answered.

    `retried` counts those who were told to come again. `jobs` counts the jobs by the state in which they ended.
    """

    def __init__(self, client: httpx.Client, calls: Sequence[Call], callers: int) -> None:
        self.answered: Counter[str] = Counter()
        self.retried: Counter[int] = Counter()
        self.jobs: Counter[str] = Counter()
        self.refused: list[str] = []
        self._client = client
        self._callers = callers
        self._pictures = Pictures()
        self._lock = threading.Lock()
        self._submitted: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._calls: queue.SimpleQueue[Call] = queue.SimpleQueue()
        for call in calls:
            self._calls.put(call)

    @property
    def done(self) -> int:
        """How many calls have been answered in whatever way."""
        with self._lock:
            return self.answered.total() + len(self.refused)

    def run(self) -> None:
        """Makes all calls, and waits for the jobs."""
        with ThreadPoolExecutor(self._callers + 1) as pool:
            collected = pool.submit(self._collect)
            working = [pool.submit(self._work) for _ in range(self._callers)]
            try:
                for each in working:
                    each.result()
            finally:
                self._submitted.put(None)
            collected.result()

    def _work(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._make(self._calls.get_nowait())

    def _make(self, call: Call) -> None:
        content = call.photograph(self._pictures)
        while (answer := self._send(call, content)).status_code in COME_AGAIN:
            with self._lock:
                self.retried[answer.status_code] += 1
            time.sleep(float(answer.headers.get("Retry-After", 1)))
        with self._lock:
            if answer.status_code == (202 if call.job else 200):
                self.answered[f"{call.name} as a job" if call.job else call.name] += 1
            else:
                self.refused.append(f"{call.path} {dict(call.query)}: {answer.status_code} {answer.text[:300]}")
        if call.job and answer.status_code == 202:
            self._submitted.put(answer.json()["id"])

    def _send(self, call: Call, content: bytes | None) -> httpx.Response:
        headers = {"Prefer": "respond-async"} if call.job else {}
        if content is not None:
            headers["Content-Type"] = call.media
        verb = "GET" if call.method == "kernels" else "POST"
        return self._client.request(verb, call.path, content=content, headers=headers, params=call.parameters)

    def _collect(self) -> None:
        """Looks at one job after another until it has ended, and takes its result."""
        while (job_id := self._submitted.get()) is not None:
            while (job := self._client.get(f"/v1/jobs/{job_id}").json())["state"] in ("queued", "running"):
                time.sleep(JOB_POLL_S)
            self.jobs[job["state"]] += 1
            if job["state"] == "succeeded":
                self._client.get(f"/v1/jobs/{job_id}/result").raise_for_status()
