"""What an engine works on can be read beside it, also once it has been killed."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

from service.engine.pulse import BEAT_S, Pulse, PulseReader
from service.models.backends.work import doing, part_of

BOUNDS = {"load": 5.0, "trace": 2.0, "step": 1.0, "call": 1.0}


def test_it_beats_and_tells_each_change_at_once(tmp_path: Path) -> None:
    path = tmp_path / "engine.pulse"
    reader = PulseReader(path)
    reader.look()
    assert (reader.at, reader.tasks) == (0.0, ())
    work = Pulse(path, BOUNDS).work  # type: ignore[arg-type]
    with part_of(work, "vgg16", "explain cam"), doing("trace"), work.task("call", "vgg16", "explain cam", 1e9):
        reader.look()
        assert [(task.kind, task.model, task.what) for task in reader.tasks] == [
            ("trace", "vgg16", "explain cam"), ("call", "vgg16", "explain cam"),
        ]  # fmt: skip
        trace, call = reader.tasks
        assert (round(trace.until - trace.since, 3), call.until) == (2.0, 1e9 + 1)
    reader.look()
    assert reader.tasks == ()
    before = reader.at
    time.sleep(2.5 * BEAT_S)
    reader.look()
    assert before + BEAT_S < reader.at <= time.monotonic()


def test_what_a_killed_process_worked_on_stays_known(tmp_path: Path) -> None:
    path = tmp_path / "engine.pulse"
    reader = PulseReader(path)
    program = f"""
import os, signal
from pathlib import Path
from service.engine.pulse import Pulse
work = Pulse(Path({str(path)!r}), {BOUNDS!r}).work
with work.task("step", "shapes", "explain occlusion"):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    reader.look()
    (task,) = reader.tasks
    assert (task.kind, task.model, task.what) == ("step", "shapes", "explain occlusion")


def test_readers_never_see_half_a_beat(tmp_path: Path) -> None:
    path = tmp_path / "engine.pulse"
    reader, work = PulseReader(path), Pulse(path, BOUNDS).work  # type: ignore[arg-type]
    over = threading.Event()

    def busy(number: int) -> None:
        while not over.is_set():
            with work.task("step", f"model-{number}" * 5, "explain " * 40):
                pass

    threads = [threading.Thread(target=busy, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    seen: set[int] = set()
    until = time.monotonic() + 1
    while time.monotonic() < until:
        reader.look()
        seen.add(len(reader.tasks))
        assert {task.model for task in reader.tasks} <= {f"model-{number}" * 5 for number in range(3)}
    over.set()
    for thread in threads:
        thread.join()
    assert max(seen) >= 1


def test_more_tasks_than_the_file_holds(tmp_path: Path) -> None:
    """The tasks on the device are told first."""
    path = tmp_path / "engine.pulse"
    reader, work = PulseReader(path), Pulse(path, BOUNDS).work  # type: ignore[arg-type]

    def nested(left: int) -> None:
        if not left:
            with work.task("step", "m", "explain cam"):
                reader.look()
            return
        with work.task("call", "m" * 70, "explain " * 200):
            nested(left - 1)

    nested(200)
    assert (len(reader.tasks), reader.tasks[0].kind) == (64, "step")
