"""The second front door: an engine process. It answers the api's calls, runs background jobs, or both.

`python -m service.worker` is the api's engine child. It reads its configuration as one line on standard input, which
the api keeps open: its end means that the api is gone, however it went. `kerascope worker` has no api beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING

import structlog

from service.engine.child.server import Engine
from service.engine.protocol import EngineConfig, pulse_beside
from service.engine.pulse import Pulse
from service.errors import KerascopeError
from service.imaging.decode import DecodeLimits
from service.models.backends.device import DeviceSettings, environment, quiet_start
from service.models.backends.work import Kind, Work
from service.process import reusing, yielding
from service.telemetry import configure_logging

if TYPE_CHECKING:
    from service.jobs.worker import Worker

log = structlog.get_logger(__name__)

PR_SET_PDEATHSIG = 1
# The api waits a little longer for its child to end.
HAND_OVER_S = 4.0


def main() -> None:
    """The api's engine child: calls first, jobs between them."""
    config = EngineConfig.model_validate_json(sys.stdin.buffer.readline())
    workers: list[Worker] = []
    engines: list[Engine] = []
    yielding()
    reusing()
    _die_with_parent(engines, workers)
    # Whoever ends the service tells the api, which ends this process in its own time; also where a signal comes to all.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    configure_logging(config.log_level, config.log_format, process="engine")
    pulse = Pulse(pulse_beside(config.socket), bounds_of(config))
    with quiet_start():
        engine = Engine(config, pulse.work)
    engines.append(engine)
    threading.Thread(target=_start_jobs, args=(config, engine, workers), daemon=True, name="jobs").start()
    asyncio.run(engine.serve())


def run(config: EngineConfig, grace_s: float) -> None:
    """Jobs alone, until SIGTERM or SIGINT: then the job that runs is saved and handed over."""
    os.environ.update(environment(DeviceSettings(config.device, config.threads), str(config.data_dir / "keras")))
    reusing()
    end = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        end.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    with quiet_start():
        engine = Engine(config, Work(bounds_of(config)))
    workers = job_workers(config, engine)
    log.info("worker up", worker=config.worker, pid=os.getpid())
    end.wait()
    engine.closing()
    for worker in workers:
        worker.stop(grace_s)
    log.info("worker ended", worker=config.worker)


def _start_jobs(config: EngineConfig, engine: Engine, workers: list[Worker]) -> None:
    """Importing the queue takes most of a second: calls are answered meanwhile, and also where it fails."""
    try:
        workers.extend(job_workers(config, engine))
    except Exception as error:
        log.exception("jobs worker could not be made")
        detail = error.detail if isinstance(error, KerascopeError) else "the log of the service says why"
        engine.jobs_problem = lambda: f"the worker could not be made: {detail}"


def bounds_of(config: EngineConfig) -> dict[Kind, float]:
    """Seconds that each kind of work may take before its process is taken for hung."""
    return {
        "load": config.max_load_s, "trace": config.max_step_s, "step": config.max_step_s, "call": config.max_step_s,
    }  # fmt: skip


def job_workers(config: EngineConfig, engine: Engine) -> list[Worker]:
    """The background worker of this process, started; none where jobs run elsewhere."""
    if config.jobs is None:
        return []
    from service.jobs.worker import Worker
    from service.usecases.run_job import RunJob

    handler = RunJob(engine.compute_job, DecodeLimits(config.max_pixels, config.max_side_px))
    worker = Worker(config.jobs, config.worker, handler)
    engine.jobs_problem = lambda: worker.problem
    worker.start()
    return [worker]


def _die_with_parent(engines: list[Engine], workers: list[Worker]) -> None:
    """Ends this process when its parent ends.

    When the parent is killed, the kernel does it at once, even when this process is stopped or hangs: what a job has
    not saved is computed again. When the parent closes standard input, the job that runs is handed over first.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        # Not through sys.stdin: a thread blocked in its buffer makes the interpreter abort where it should exit.
        while os.read(0, 1):
            pass
        for engine in engines:
            engine.closing()
        for worker in workers:
            worker.stop(HAND_OVER_S)
        os._exit(0)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()


if __name__ == "__main__":
    main()
