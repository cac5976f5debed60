"""Turns come one at a time, callers before the job, and the job not for ever last."""

from __future__ import annotations

import threading
import time

import pytest

from service.engine.child import turns
from service.engine.child.turns import Turns


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


def test_who_has_had_least_of_the_device_goes_next() -> None:
    """So that a short call waits for one step, and not for one of each long call that waits before it."""
    whose = Turns()
    order: list[str] = []

    def call(name: str, used_s: float) -> None:
        with whose.call(used_s=used_s):
            order.append(name)

    with whose.call():
        threads = []
        for number in range(8):
            threads.append(in_thread(lambda number=number: call(f"long {number}", 1.0 + number)))
            time.sleep(0.01)
        threads.append(in_thread(lambda: call("short", 0.0)))
        time.sleep(0.1)
    for thread in threads:
        thread.join(5)
    assert order == ["short", *(f"long {number}" for number in range(8))]


@pytest.mark.parametrize(
    ("runs", "waits", "beside"),
    [
        ("gradient of a", "forward of b", True),
        (None, "forward of b", True),
        ("forward of b", "forward of b", False),
        ("gradient of a", None, False),
        (None, None, False),
    ],
)
def test_what_is_light_waits_for_no_step_of_another(runs: str | None, waits: str | None, beside: bool) -> None:
    whose, done = Turns(), threading.Event()

    def call() -> None:
        with whose.call(light=waits):
            done.set()

    with whose.call(light=runs):
        thread = in_thread(call)
        assert done.wait(1.0) is beside
    thread.join(5)
    assert done.is_set()


def test_one_at_a_time_goes_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "BESIDE_S", 0.001)
    whose = Turns()
    inside, most, over = 0, 0, threading.Event()
    counting = threading.Lock()

    def work(light: str | None) -> None:
        nonlocal inside, most
        while not over.is_set():
            with whose.call(light=light):
                with counting:
                    inside += 1
                    most = max(most, inside)
                time.sleep(0.003)
                with counting:
                    inside -= 1

    def job() -> None:
        while not over.is_set():
            with whose.job():
                time.sleep(0.003)

    threads = [in_thread(lambda light=light: work(light)) for light in ("a", "b", "c", "d", None)] + [in_thread(job)]
    time.sleep(0.5)
    over.set()
    for thread in threads:
        thread.join(5)
    assert most == 2
    with whose.call() as mine:
        assert mine


def test_short_calls_put_off_no_long_one_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE_S", 0.2)
    whose = Turns()
    over = threading.Event()

    def short() -> None:
        while not over.is_set():
            with whose.call():
                time.sleep(0.005)

    threads = [in_thread(short) for _ in range(4)]
    time.sleep(0.05)
    begun = time.monotonic()
    with whose.call(used_s=100.0) as mine:
        waited = time.monotonic() - begun
    over.set()
    for thread in threads:
        thread.join(5)
    assert mine
    assert 0.1 < waited < 0.2 + 0.3


def test_the_job_of_a_process_that_ends_waits_for_no_caller() -> None:
    whose = Turns()
    order: list[str] = []

    def call(name: str) -> None:
        with whose.call():
            order.append(name)
            time.sleep(0.02)

    def job() -> None:
        with whose.job():
            order.append("job")

    with whose.call():
        threads = [in_thread(job), *(in_thread(lambda number=number: call(str(number))) for number in range(20))]
        time.sleep(0.1)
        whose.hurry()
    for thread in threads:
        thread.join(5)
    assert order.index("job") <= 2


def test_everybody_finds_the_same_one_next_however_late_he_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks a moment after another must not find that it has become the other's turn, who has looked already:
    nobody would go, and nobody look again."""
    clock = [0.0]
    monkeypatch.setattr(turns.time, "monotonic", lambda: clock[0])
    whose = Turns()
    first, lighter = turns._Waiting(used_s=5.0, since=0.0), turns._Waiting(used_s=0.0, since=0.0)
    whose._callers += [first, lighter]
    clock[0] = turns.PATIENCE_S - 0.001
    whose.look_again()
    assert whose._next() is lighter
    clock[0] = turns.PATIENCE_S + 0.001
    assert whose._next() is lighter
    whose.look_again()
    assert whose._next() is first
