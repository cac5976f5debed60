"""Keeps one engine child running: starts it, notices its end or that it hangs, starts it again with back-off."""

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

from service.engine.protocol import EngineConfig, pulse_beside
from service.engine.pulse import PulseReader
from service.models.backends.device import DeviceSettings, environment
from service.models.backends.work import Task

log = structlog.get_logger(__name__)

FIRST_BACKOFF_S = 0.2
LAST_BACKOFF_S = 15.0
# Of an engine that had come up: it can, so callers need not wait long for the next.
LAST_BACKOFF_ONCE_UP_S = 2.0
STABLE_AFTER_S = 60.0
CRASHES = frozenset(-number for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE))
STOP_GRACE_S = 5.0
LOOK_S = 0.25
# An engine that tells nothing for so long hangs or is stopped; libraries that read a file may keep the interpreter.
SILENT_S = 4.0
SILENT_LOADING_S = 30.0
# One that the system says is stopped, while it starts too, tells nothing until somebody lets it go on.
STOPPED_S = 1.5
# One that does not come up in this time never will.
START_S = 180.0


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
        self._pulse: PulseReader | None = None
        self._hung: tuple[Task, ...] = ()
        self._task: asyncio.Task[None] | None = None
        self._folder: Path | None = None
        self.state = EngineState.STOPPED
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self, segments: str = "") -> None:
        """Starts it; the paths of its segments begin with `segments`."""
        self._config = self._config.model_copy(update={"segments": segments})
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
        elsewhere is not, nor is having been stopped."""
        return self._forced or (self._process is not None and self._process.returncode in CRASHES)

    @property
    def blamed(self) -> tuple[Task, ...]:
        """What the child worked on when it ended: the tasks that hung, else those on the device, else its calls."""
        tasks = self._hung or (self._pulse.tasks if self._pulse else ())
        return tuple(task for task in tasks if task.kind != "call") or tasks

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
            except Exception:
                # Whatever it is: a service whose engine is never started again answers nothing any more.
                log.exception("engine could not be started")
            self.restarts += 1
            last = LAST_BACKOFF_ONCE_UP_S if self.state is EngineState.UP else LAST_BACKOFF_S
            stable = time.monotonic() - started > STABLE_AFTER_S
            backoff = FIRST_BACKOFF_S if stable else min(backoff * 2, last)
            self.state = EngineState.BACKOFF
            log.error("engine ended", exit_code=code, restart_in_s=backoff)
            await asyncio.sleep(backoff)

    async def _run_once(self, socket: str) -> int:
        self._forced, self._hung = False, ()
        self._pulse = PulseReader(pulse_beside(socket))
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
        watching = asyncio.create_task(self._watch(self._process.pid, self._pulse))
        try:
            await asyncio.wait((ready, ended), return_when=asyncio.FIRST_COMPLETED)
            if ready.done() and not ready.exception():
                self.state = EngineState.UP
            return await ended
        finally:
            ready.cancel()
            ended.cancel()
            watching.cancel()
            self._pulse.look()
            self._on_end()

    async def _watch(self, pid: int, pulse: PulseReader) -> None:
        """Ends a child that is silent, or that works on one thing for longer than that may take.

        Silence is what this loop saw of it, so that a machine that slept does not count.
        """
        silent_s, up_s, stopped_s = 0.0, 0.0, 0.0
        while True:
            looked_at = time.monotonic()
            await asyncio.sleep(LOOK_S)
            passed_s = min(time.monotonic() - looked_at, 2 * LOOK_S)
            before = pulse.at
            pulse.look()
            up_s += passed_s
            stopped_s = stopped_s + passed_s if _is_stopped(pid) else 0.0
            if stopped_s > STOPPED_S:
                self._end("engine is stopped, ending it", seconds=round(stopped_s, 1))
                # It did not hang.
                self._forced = False
                return None
            if self.state is not EngineState.UP:
                if up_s > START_S:
                    return self._end("engine does not come up, ending it", seconds=START_S)
                continue
            silent_s = silent_s + passed_s if pulse.at == before else 0.0
            loads = any(task.kind == "load" for task in pulse.tasks)
            if silent_s > (SILENT_LOADING_S if loads else SILENT_S):
                return self._end("engine is silent, ending it", seconds=round(silent_s, 1))
            hung = tuple(task for task in pulse.tasks if task.until < time.monotonic())
            if hung and not stopped_s:
                self._hung = hung
                return self._end("engine hangs, ending it", model=hung[0].model, task=hung[0].kind, call=hung[0].what)

    def _end(self, event: str, **facts: object) -> None:
        log.error(event, **facts)
        self.kill()


def _is_stopped(pid: int) -> bool:
    """Whether somebody has stopped the process by a signal."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("T", "t")
    except OSError:
        return False
