"""A full disk: refused in a clear sentence before it is quite full, and the worker lives on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service.errors import StorageFull
from service.jobs.room import RESERVE, require_room
from tests.conftest import ROOT

SCRIPT = Path(__file__).with_name("full_disk.py")


def test_a_reserve_is_kept(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    require_room(tmp_path, max(free - RESERVE - 2**30, 0))
    with pytest.raises(StorageFull, match=r"there is no room for another \d+\.\d MB: \d+\.\d MB are free"):
        require_room(tmp_path, free + 2**30)


def test_jobs_on_a_full_disk(tmp_path: Path) -> None:
    """On a disk of its own: a small memory file system in a mount namespace."""
    mount = f"mount -t tmpfs -o size=64m none {tmp_path}"
    inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*inside, mount], capture_output=True).returncode:
        pytest.skip("this machine does not allow to mount a small disk (unshare)")
    done = subprocess.run(
        [*inside, f"{mount} && exec {sys.executable} {SCRIPT} {tmp_path}"],
        cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    full = ["failed", "StorageFull"]
    assert found["room"][0] == "succeeded"
    assert found["checkpoint"][:2] == full
    assert "there is no room for another 8.0 MB" in found["checkpoint"][2]
    assert found["small job beside it"][0] == "succeeded"
    assert found["large result"][:2] == full
    assert found["large submit"] == found["larger submit"] == found["any submit"] == "StorageFull"
    # What was refused is not there.
    assert found["jobs"] == 4
    assert found["room again"][0] == "succeeded"
    assert found["files"] == 0
