"""The lock on a worker's name: one holder, seen by every process, and given up however the holder ends."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from service.jobs.lock import acquire, is_held
from tests.conftest import ROOT

# Another process, which holds the lock until it is killed.
HOLDER = """
import sys, time
from pathlib import Path
from service.jobs.lock import acquire
held = acquire(Path(sys.argv[1]), "worker")
print(held is not None, flush=True)
time.sleep(60)
"""


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    held = acquire(tmp_path / "new" / "folder", "worker")
    assert held is not None
    with held:
        assert acquire(tmp_path / "new" / "folder", "worker") is None
        assert is_held(tmp_path / "new" / "folder", "worker")
        assert not is_held(tmp_path / "new" / "folder", "other")
    assert not is_held(tmp_path / "new" / "folder", "worker")


def test_another_thread_may_let_it_go(tmp_path: Path) -> None:
    held = acquire(tmp_path, "worker")
    assert held is not None
    thread = threading.Thread(target=held.__exit__, args=(None, None, None))
    thread.start()
    thread.join(10)
    assert not is_held(tmp_path, "worker")


def test_a_killed_holder_gives_it_up(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "True"
        assert is_held(tmp_path, "worker")
        process.kill()
        process.wait(10)
        assert not is_held(tmp_path, "worker")


@pytest.mark.parametrize("in_the_way", ["worker.lock", "no folder"])
def test_where_no_lock_can_be_made(tmp_path: Path, in_the_way: str) -> None:
    folder = tmp_path / "locks"
    if in_the_way == "no folder":
        folder.touch()
    else:
        (folder / in_the_way).mkdir(parents=True)
    with pytest.raises(OSError):  # noqa: PT011 - any will do, the worker tells its reason
        acquire(folder, "worker")
