"""A child that is started, noticed when it ends, started again more and more slowly, and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.engine.host.supervisor import FIRST_BACKOFF_S, LAST_BACKOFF_S, EngineState, Supervisor
from tests.conftest import engine_config


class Watch:
    """A supervisor whose child counts as up at once, or never; counts how often it ended."""

    def __init__(self, folder: Path, *, answers: bool) -> None:
        self.ended = 0
        self.sockets: list[str] = []
        self._answers = answers
        self.supervisor = Supervisor(engine_config(folder), self._on_start, self._on_end)

    def _on_start(self, socket: str) -> asyncio.Future[None]:
        self.sockets.append(socket)
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._answers:
            ready.set_result(None)
        return ready

    def _on_end(self) -> None:
        self.ended += 1

    async def until(self, holds: Callable[[], bool], limit_s: float = 20) -> None:
        deadline = time.monotonic() + limit_s
        while not holds():
            assert time.monotonic() < deadline, f"not in {limit_s} s; it is {self.supervisor.state}"
            await asyncio.sleep(0.01)


def run(watch: Watch, body: Callable[[Watch], Awaitable[None]]) -> None:
    async def whole() -> None:
        watch.supervisor.start()
        try:
            await body(watch)
        finally:
            await watch.supervisor.stop()

    asyncio.run(whole())


def alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def test_start_and_stop(tmp_path: Path) -> None:
    watch = Watch(tmp_path, answers=True)
    assert watch.supervisor.state is EngineState.STOPPED
    assert watch.supervisor.pid is None
    pids: list[int] = []

    async def body(watch: Watch) -> None:
        await watch.until(lambda: watch.supervisor.state is EngineState.UP)
        assert watch.supervisor.pid is not None
        pids.append(watch.supervisor.pid)
        assert alive(pids[0])
        assert os.getsid(pids[0]) == pids[0], "a session of its own, so that Ctrl-C does not reach it"

    run(watch, body)
    assert watch.supervisor.state is EngineState.STOPPED
    assert not alive(pids[0])
    assert watch.ended == 1
    assert not Path(watch.sockets[0]).parent.exists()


def test_a_killed_child_is_started_again(tmp_path: Path) -> None:
    async def body(watch: Watch) -> None:
        for count in (1, 2):
            await watch.until(lambda: watch.supervisor.state is EngineState.UP)
            first = watch.supervisor.pid
            assert first is not None
            os.kill(first, signal.SIGKILL) if count == 1 else watch.supervisor.kill()
            await watch.until(lambda count=count: watch.supervisor.restarts == count)  # type: ignore[misc]
            assert not alive(first)
        await watch.until(lambda: watch.supervisor.state is EngineState.UP)
        assert len(set(watch.sockets)) == 3, "each child has a socket of its own"

    with capture_logs() as logs:
        run(Watch(tmp_path, answers=True), body)
    assert [line["exit_code"] for line in logs] == [-signal.SIGKILL] * 2


@pytest.mark.usefixtures("broken_tensorflow")
def test_back_off_grows(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async def body(watch: Watch) -> None:
        await watch.until(lambda: watch.supervisor.restarts == 3)
        assert watch.supervisor.state is EngineState.BACKOFF

    watch = Watch(tmp_path, answers=False)
    with capture_logs() as logs:
        run(watch, body)
    ended = [line for line in logs if line["event"] == "engine ended"]
    assert [line["restart_in_s"] for line in ended] == [2 * FIRST_BACKOFF_S, 4 * FIRST_BACKOFF_S, 8 * FIRST_BACKOFF_S]
    assert [line["exit_code"] for line in ended] == [1, 1, 1], "an error, no crash of the interpreter"
    assert 8 * FIRST_BACKOFF_S < LAST_BACKOFF_S
    assert watch.ended == 3
    assert "no such library" in capfd.readouterr().err, "the reason stands in the log"


def test_a_child_that_cannot_even_be_spawned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "no-python"))

    async def body(watch: Watch) -> None:
        await watch.until(lambda: watch.supervisor.restarts == 2)
        monkeypatch.undo()
        await watch.until(lambda: watch.supervisor.state is EngineState.UP)

    with capture_logs() as logs:
        run(Watch(tmp_path, answers=True), body)
    assert [line["event"] for line in logs] == ["engine could not be started", "engine ended"] * 2


def test_stop_ends_a_child_that_does_not_listen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.engine.host.supervisor.STOP_GRACE_S", 0.5)
    pids: list[int] = []

    async def body(watch: Watch) -> None:
        await watch.until(lambda: watch.supervisor.state is EngineState.UP)
        assert watch.supervisor.pid is not None
        pids.append(watch.supervisor.pid)
        os.kill(pids[0], signal.SIGSTOP)

    run(Watch(tmp_path, answers=True), body)
    assert not alive(pids[0])
