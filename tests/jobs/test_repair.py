"""L3 and L4: jobs that cannot run say so where operators look, calls go on, and what is repaired needs no restart."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.checks import CAM, PNG, problem, saved, triangle
from tests.conftest import ROOT, Service
from tests.jobs.test_service import wait_for

PICTURE = saved(triangle())
RESPOND_ASYNC = PNG | {"Prefer": "respond-async"}


def garbage(path: Path) -> None:
    path.write_bytes(b"no database at all " * 1000)


def damaged_pages(path: Path) -> None:
    """Its head is that of a database, and what follows is none."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 500,)] * 200)
    data = bytearray(path.read_bytes())
    data[100:] = b"\xaa" * (len(data) - 100)
    path.write_bytes(data)


def nothing_works_but_calls(service: Service, reason: str) -> None:
    client = service.client
    wait_for(lambda: reason in client.get("/readyz").json()["status"], 60)
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["status"].partition(": ")[0]) == (503, "jobs")
    page = client.get("/metrics")
    assert page.status_code == 200
    assert "kerascope_database_up 0.0" in page.text
    wait_for(lambda: 'kerascope_jobs_worker_up{engine="0"} 0.0' in client.get("/metrics").text, 30)
    for answer in (client.get("/v1/jobs"), client.post(CAM, content=PICTURE, headers=RESPOND_ASYNC)):
        problem(answer, 503, "storage-full" if "room" in reason else "jobs-unavailable", reason)
    assert client.post(CAM, content=PICTURE, headers=PNG).status_code == 200
    assert client.get("/livez").status_code == 200


def jobs_run(service: Service) -> None:
    client = service.client
    wait_for(lambda: client.get("/readyz").status_code == 200, 60)
    job = client.post(CAM, content=PICTURE, headers=RESPOND_ASYNC)
    assert job.status_code == 202
    wait_for(lambda: client.get(f"/v1/jobs/{job.json()['id']}").json()["state"] == "succeeded", 60)
    page = client.get("/metrics").text
    assert "kerascope_database_up 1.0" in page
    assert 'kerascope_jobs_worker_up{engine="0"} 1.0' in page


@pytest.mark.parametrize("damage", [garbage, damaged_pages])
def test_a_damaged_database_at_the_start(
    tmp_path: Path, starting: Callable[..., Service], damage: Callable[[Path], None]
) -> None:
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "jobs.db"
    damage(path)
    service = starting(tmp_path, ready=False, preload="shapes")
    nothing_works_but_calls(service, "the jobs database is damaged")
    path.unlink()
    jobs_run(service)


def test_a_database_that_is_damaged_while_it_is_used(tmp_path: Path, starting: Callable[..., Service]) -> None:
    service = starting(tmp_path, preload="shapes")
    jobs_run(service)
    for path in (tmp_path / "data").glob("jobs.db*"):
        path.unlink()
    garbage(tmp_path / "data" / "jobs.db")
    service.client.get("/v1/jobs")
    (tmp_path / "data" / "jobs.db").unlink()
    jobs_run(service)


@pytest.mark.parametrize("how", ["removed", "replaced by an empty one", "without its tables"])
def test_a_database_that_is_another_while_it_is_used(
    tmp_path: Path, starting: Callable[..., Service], how: str
) -> None:
    """What is accepted afterwards is in the file that is there, and is run."""
    service = starting(tmp_path, preload="shapes")
    jobs_run(service)
    path = tmp_path / "data" / "jobs.db"
    if how == "without its tables":
        with sqlite3.connect(path) as connection:
            connection.execute("DROP TABLE job_blobs")
        service.client.get("/v1/jobs")
    else:
        for file in (tmp_path / "data").glob("jobs.db*"):
            file.unlink()
        if how != "removed":
            path.touch()
    jobs_run(service)
    with sqlite3.connect(path) as connection:
        count = connection.execute("SELECT count(*) FROM workflow_status WHERE status = 'SUCCESS'").fetchone()[0]
    assert count == (2 if how == "without its tables" else 1)


def test_a_full_disk_at_the_start(tmp_path: Path) -> None:
    """The data folder is a small file system of its own, full from the first moment until the test makes room."""
    disk, log, free = tmp_path / "data", tmp_path / "service.log", tmp_path / "free"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=48m none {disk}"
    inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*inside, mount], capture_output=True).returncode:
        pytest.skip("this machine does not allow to mount a small disk (unshare)")
    script = (
        f"{mount} && {{ dd if=/dev/zero of={disk}/filler bs=4k 2>/dev/null; true; }} && "
        f"{{ (while [ ! -e {free} ]; do sleep 0.1; done; rm {disk}/filler) & }} && "
        f"exec {sys.executable} -m service serve --port 0 --data-dir {disk}"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("KERAS", "TF_", "CUDA"))}
    environment |= {"HOME": str(tmp_path), "KERASCOPE_DEVICE": "cpu", "KERASCOPE_PRELOAD": "shapes"}
    with log.open("wb") as output:
        process = subprocess.Popen([*inside, script], stdout=output, stderr=output, env=environment, cwd=ROOT)
    service = Service(process, httpx.Client(), log)
    try:
        wait_for(lambda: b"listening" in log.read_bytes(), 60)
        line = next(line for line in log.read_text().splitlines() if "listening" in line)
        url = next(word for word in line.replace('"', " ").split() if word.startswith("http://"))
        service.client = httpx.Client(base_url=url, timeout=60)
        nothing_works_but_calls(service, "room")
        free.touch()
        time.sleep(0.3)
        jobs_run(service)
    finally:
        free.touch()
        service.stop()
