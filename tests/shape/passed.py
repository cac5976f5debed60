"""The files that one warm call passes, in both processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.checks import CAM, PNG, saved, triangle
from tests.conftest import ROOT, start_service

HOOK = Path(__file__).parent / "hook"
WAIT_S = 30
# Calls before those that are looked at, so that nothing is made for the first time in these.
WARM_CALLS = 3
CALLS = 6


def passed_files(folder: Path, root: Path = ROOT) -> list[str]:
    """Gives the files of `root` in which a function runs during one warm `POST …/cam`, api and engine together.

    They are relative to `root`. What runs on its own, as the queue's polls do, is left out by taking what all of
    several calls pass. Raises RuntimeError where a process does not tell.
    """
    told = folder / "told"
    told.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", os.pathsep.join([str(HOOK), str(root)]))
        environment.setenv("SHAPE_FOLDER", str(told))
        environment.setenv("SHAPE_ROOT", str(root / "service"))
        service = start_service(folder, root=root, preload="shapes")
    try:
        processes = [service.process.pid, *_children(service.process.pid)]
        picture = saved(triangle())
        passed: list[set[str]] = []
        for number in range(WARM_CALLS + CALLS):
            _told(processes, told)
            # Another opacity each time, as an answer that was kept would pass few files.
            answer = service.client.post(CAM, content=picture, headers=PNG, params={"alpha": 0.5 + number / 100})
            answer.raise_for_status()
            passed.append(_told(processes, told))
        return sorted(str(Path(name).relative_to(root)) for name in set.intersection(*passed[WARM_CALLS:]))
    finally:
        service.stop()


def _children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def _told(processes: list[int], folder: Path) -> set[str]:
    """Asks every process what it has recorded since it was last asked."""
    found: set[str] = set()
    for process in processes:
        written = folder / str(process)
        written.unlink(missing_ok=True)
        os.kill(process, signal.SIGUSR2)
        until = time.monotonic() + WAIT_S
        while not written.exists():
            if time.monotonic() > until:
                raise RuntimeError(f"process {process} did not tell what it passed")
            time.sleep(0.01)
        found |= set(written.read_text(encoding="utf-8").split())
    return found
