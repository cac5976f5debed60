"""Whose turn it is: one at a time, callers before the job, and the job not for ever last."""

from __future__ import annotations

import threading
import time

import pytest

from service.engine import turns
from service.engine.turns import Turns


def in_thread(body: object) -> threading.Thread:
    thread = threading.Thread(target=body, daemon=True)  # type: ignore[arg-type]
    thread.start()
    return thread


def test_one_computes_at_a_time() -> None:
    whose = Turns()
    inside, most = 0, 0

    def work(job: bool) -> None:
        nonlocal inside, most
        for _ in range(20):
            with whose.job() if job else whose.call():
                inside += 1
                most = max(most, inside)
                time.sleep(0.0005)
                inside -= 1

    threads = [in_thread(lambda job=job: work(job)) for job in (True, False, False)]
    for thread in threads:
        thread.join(20)
    assert most == 1


def test_a_caller_goes_before_the_next_chunk() -> None:
    whose = Turns()
    order: list[str] = []
    computing, waiting = threading.Event(), threading.Event()

    def call() -> None:
        computing.wait(5)
        waiting.set()
        with whose.call():
            order.append("call")

    def job() -> None:
        for chunk in range(3):
            with whose.job():
                order.append(f"chunk {chunk}")
                computing.set()
                waiting.wait(5)
                time.sleep(0.05)

    threads = [in_thread(call), in_thread(job)]
    for thread in threads:
        thread.join(10)
    assert order == ["chunk 0", "call", "chunk 1", "chunk 2"]


def test_a_job_is_not_put_off_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE_S", 0.2)
    whose = Turns()
    over = threading.Event()

    def calls() -> None:
        while not over.is_set():
            with whose.call():
                time.sleep(0.005)

    threads = [in_thread(calls) for _ in range(4)]
    time.sleep(0.05)
    begun = time.monotonic()
    with whose.job():
        waited = time.monotonic() - begun
    over.set()
    for thread in threads:
        thread.join(5)
    assert waited < 0.2 + 0.3


def test_a_turn_that_fails_is_over() -> None:
    whose = Turns()
    with pytest.raises(ValueError, match="broken"), whose.call():
        raise ValueError("broken")
    with pytest.raises(ValueError, match="broken"), whose.job():
        raise ValueError("broken")
    with whose.call():
        pass
