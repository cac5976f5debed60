"""Toy jobs, and a worker for them that has a process to itself."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from service.errors import UnknownLayer
from service.jobs.config import JobsConfig
from service.jobs.context import JobContext
from service.jobs.worker import Worker


def count(request: dict[str, Any], context: JobContext) -> None:
    """Adds 1 for each step; the result says the sum, and from which step each start went on."""
    saved = context.load()
    state: dict[str, Any] = json.loads(saved) if saved else {"sum": 0, "starts": []}
    state["starts"].append([state["sum"], EXECUTOR])
    first = state["sum"] + 1
    for step in range(first, request["steps"] + 1):
        time.sleep(request.get("step_s", 0.02))
        state["sum"] += 1
        if step == request.get("die_at"):
            os.kill(os.getpid(), signal.SIGKILL)
        context.tick(
            step, request["steps"], loss=1 / step, state=lambda: json.dumps(state).encode(),
            preview=lambda: f"preview at {state['sum']}".encode(),
        )  # fmt: skip
    context.finish(json.dumps(state).encode())


def echo(request: dict[str, Any], context: JobContext) -> None:
    context.finish((context.blob("image") or b"") * request.get("times", 1))


def wrong_layer(request: dict[str, Any], context: JobContext) -> None:
    raise UnknownLayer("there is no layer 'conv9'")


def broken(request: dict[str, Any], context: JobContext) -> None:
    raise RuntimeError("secret: /home/someone")


def nothing(request: dict[str, Any], context: JobContext) -> None:
    """Forgets to finish."""


def deaf(request: dict[str, Any], context: JobContext) -> None:
    """Does not tick for as long as asked."""
    context.tick(1, 2)
    time.sleep(request["seconds"])
    context.finish(b"")


def fat(request: dict[str, Any], context: JobContext) -> None:
    """Checkpoints of the given size at each step."""
    for step in range(1, request["steps"] + 1):
        time.sleep(0.05)
        context.tick(step, request["steps"], state=lambda: bytes(request["size"]))
    context.finish(b"")


TOYS = {toy.__name__: toy for toy in (count, echo, wrong_layer, broken, nothing, deaf, fat)}
EXECUTOR = ""


def handle(kind: str, request: dict[str, Any], context: JobContext) -> None:
    TOYS[kind](request, context)


def work(config: JobsConfig, name: str, ready: Path, log: Path) -> None:
    """Until SIGTERM. Makes the file `ready` once jobs are taken; standard error goes to `log`."""
    global EXECUTOR
    EXECUTOR = name
    with log.open("ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    worker = Worker(config, name, handle)
    worker.start()
    worker.ready.wait()
    ready.touch()
    stop.wait()
    worker.stop(5)
    # As the engine does: a job that does not stop must not keep the process.
    os._exit(0)
