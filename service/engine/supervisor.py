"""Keeps one engine child running: starts it, notices its end, starts it again with back-off, stops it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import structlog

from service.engine.protocol import EngineConfig
from service.models.device import DeviceSettings, environment

log = structlog.get_logger(__name__)

FIRST_BACKOFF_S = 0.2
LAST_BACKOFF_S = 15.0
# Of an engine that had come up: it can, so callers need not wait long for the next.
LAST_BACKOFF_ONCE_UP_S = 2.0
STABLE_AFTER_S = 60.0
CRASHES = frozenset(-number for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE))
STOP_GRACE_S = 5.0


class EngineState(StrEnum):
    """stopped → starting → up → backoff → starting …"""

    STOPPED = "stopped"
    STARTING = "starting"
    UP = "up"
    BACKOFF = "backoff"


class Supervisor:
    """One engine child. `on_start` gets each new child's socket address and returns once the child answers there;
    `on_end` hears that it ended."""

    def __init__(
        self, config: EngineConfig, on_start: Callable[[str], asyncio.Future[None]], on_end: Callable[[], None]
    ) -> None:
        self._config = config
        self._on_start = on_start
        self._on_end = on_end
        self._process: asyncio.subprocess.Process | None = None
        self._forced = False
        self._task: asyncio.Task[None] | None = None
        self._folder: Path | None = None
        self.state = EngineState.STOPPED
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="kerascope-"))
        self._task = asyncio.create_task(self._keep_running(self._folder))

    async def stop(self) -> None:
        """Ends the child and waits for it: first by closing its input, then by force."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._process and self._process.returncode is None:
            if self._process.stdin:
                self._process.stdin.close()
            try:
                await asyncio.wait_for(self._process.wait(), STOP_GRACE_S)
            except TimeoutError:
                self.kill()
                await self._process.wait()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
        self.state = EngineState.STOPPED

    def kill(self) -> None:
        """Ends the child now; it is started again."""
        if self._process and self._process.returncode is None:
            self._forced = True
            self._process.kill()

    @property
    def crashed(self) -> bool:
        """Whether the child that ended last did so by its own fault: by a crash, or because it hung. A SIGKILL from
        elsewhere is not."""
        return self._forced or (self._process is not None and self._process.returncode in CRASHES)

    async def _keep_running(self, folder: Path) -> None:
        backoff = FIRST_BACKOFF_S
        generation = 0
        while True:
            self.state = EngineState.STARTING
            started = time.monotonic()
            generation += 1
            socket = str(folder / f"engine-{generation}")
            code = None
            try:
                code = await self._run_once(socket)
            except OSError:
                log.exception("engine could not be started")
            self.restarts += 1
            last = LAST_BACKOFF_ONCE_UP_S if self.state is EngineState.UP else LAST_BACKOFF_S
            stable = time.monotonic() - started > STABLE_AFTER_S
            backoff = FIRST_BACKOFF_S if stable else min(backoff * 2, last)
            self.state = EngineState.BACKOFF
            log.error("engine ended", exit_code=code, restart_in_s=backoff)
            await asyncio.sleep(backoff)

    async def _run_once(self, socket: str) -> int:
        self._forced = False
        config = self._config.model_copy(update={"socket": socket})
        device = DeviceSettings(config.device, config.threads, config.engines)
        # A session of its own, so that Ctrl-C reaches the api alone and calls in flight are still answered.
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "service.worker",
            stdin=asyncio.subprocess.PIPE,
            env={**os.environ, **environment(device, str(config.data_dir / "keras"))},
            start_new_session=True,
        )
        if self._process.stdin is None:
            raise RuntimeError("the engine child has no standard input")
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(config.model_dump_json().encode() + b"\n")
            await self._process.stdin.drain()
        ready: asyncio.Future[None] = self._on_start(socket)
        ended: asyncio.Future[int] = asyncio.ensure_future(self._process.wait())
        try:
            await asyncio.wait((ready, ended), return_when=asyncio.FIRST_COMPLETED)
            if ready.done() and not ready.exception():
                self.state = EngineState.UP
            return await ended
        finally:
            ready.cancel()
            ended.cancel()
            self._on_end()
