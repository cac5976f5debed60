"""Callers of the running service: every call sends a photograph that was never sent before."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.pictures import Pictures
from tests.benchmarks.rows import Row, at_most
from tests.benchmarks.timing import Timed

PNG = {"Content-Type": "image/png"}
NPY = {"Content-Type": "application/x-npy"}
CALLERS = 32
JOB_POLL_S = 0.1
JOB_LIMIT_S = 600
Arrays = dict[str, NDArray[Any]]


class NotAvailable(Exception):
    """What the service, or this installation, does not offer; the sentence goes into the table."""


@dataclass(frozen=True)
class Caller:
    """One client of one service."""

    client: httpx.Client
    pictures: Pictures

    def post(self, model: str, method: str, content: bytes | None = None, /, **query: Any) -> httpx.Response:
        """The answer to one call; by default on the next photograph. Raises NotAvailable for 422, else HTTPError."""
        body = self.pictures.png() if content is None else content
        answer = self.client.post(f"/v1/models/{model}/{method}", content=body, headers=PNG, params=query)
        return checked(answer)

    def timed(
        self,
        model: str,
        method: str,
        picture: Callable[[], bytes] | None = None,
        media: str = "image/png",
        /,
        **query: Any,
    ) -> Timed:
        """One call in JSON with its pictures, or as `query` says; making the photograph is not counted.

        The answer is read to its end and dropped: what a client makes of it is no work of the service.
        """
        path = f"/v1/models/{model}/{method}"

        def run() -> float:
            content = self.pictures.png() if picture is None else picture()
            started = time.perf_counter()
            headers = {"Content-Type": media}
            with self.client.stream("POST", path, content=content, headers=headers, params=query) as answer:
                if answer.is_error:
                    answer.read()
                checked(answer)
                for _ in answer.iter_raw():
                    pass
            return time.perf_counter() - started

        return run

    def arrays(self, model: str, method: str, batch: NDArray[np.float32] | None = None, /, **query: Any) -> Arrays:
        """Every raw array of an answer, for the network's input (h, w, c) where one is given."""
        if batch is None:
            return npz(self.post(model, method, format="npz", **query).content)
        query |= {"preprocess": "false"}
        return npz(self.on_array(model, method, batch, format="npz", **query).content)

    def on_array(self, model: str, method: str, array: NDArray[Any], /, **query: Any) -> httpx.Response:
        """The answer to a call with an array (h, w, c)."""
        stream = io.BytesIO()
        np.save(stream, array)
        path = f"/v1/models/{model}/{method}"
        return checked(self.client.post(path, content=stream.getvalue(), headers=NPY, params=query))

    def one_after_another(self, count: int, model: str, method: str) -> float:
        """Seconds of `count` calls by one caller."""
        contents = [self.pictures.png() for _ in range(count)]
        started = time.perf_counter()
        for content in contents:
            self.post(model, method, content)
        return time.perf_counter() - started

    def at_once(self, count: int, model: str, method: str) -> float:
        """Seconds of `count` calls by 32 callers."""
        contents = [self.pictures.png() for _ in range(count)]
        with ThreadPoolExecutor(CALLERS) as pool:
            started = time.perf_counter()
            list(pool.map(lambda content: self.post(model, method, content), contents))
            return time.perf_counter() - started

    def job(
        self, model: str, method: str, content: NDArray[Any] | None = None, /, **query: Any
    ) -> tuple[float, Arrays]:
        """Seconds from the submission of a background job to its end, and its arrays."""
        path, wish = f"/v1/models/{model}/{method}", {"Prefer": "respond-async"}
        started = time.perf_counter()
        if content is None:
            submitted = self.client.post(path, headers=wish, params=query)
        else:
            stream = io.BytesIO()
            np.save(stream, content)
            submitted = self.client.post(path, headers=wish | NPY, content=stream.getvalue(), params=query)
        job = checked(submitted).json()
        while job["state"] in ("queued", "running") and time.perf_counter() - started < JOB_LIMIT_S:
            time.sleep(JOB_POLL_S)
            job = checked(self.client.get(f"/v1/jobs/{job['id']}")).json()
        seconds = time.perf_counter() - started
        if job["state"] != "succeeded":
            raise NotAvailable(f"the job is {job['state']} after {seconds:.0f} s: {job['error']}")
        return seconds, npz(checked(self.client.get(f"/v1/jobs/{job['id']}/result?format=npz")).content)

    def traces(self, model: str | None = None) -> int | None:
        """Compiled functions of one warm model, or of all; None where the service does not tell."""
        rows = self.client.get("/v1/models").raise_for_status().json()["models"]
        found = [row.get("traces") for row in rows if row["state"] == "warm" and model in (None, row["id"])]
        return None if None in found else sum(found)


def traces_row(key: str, what: str, before: int | None, after: int | None) -> Row:
    """How many functions were traced in between; there must be none."""
    told = before is not None and after is not None
    note = "" if told else "not available: the service does not tell its traces"
    return Row(key, what, after - before if told else None, at_most(0), unit="traces", note=note)


def checked(answer: httpx.Response) -> httpx.Response:
    """The answer of a call that went well. Raises NotAvailable for 422, HTTPStatusError for other problems."""
    if answer.status_code == 422:
        raise NotAvailable(f"not available: the service answers 422, {answer.json()['detail']}")
    return answer.raise_for_status()


def npz(content: bytes) -> Arrays:
    with np.load(io.BytesIO(content)) as file:
        return dict(file)
