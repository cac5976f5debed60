"""Real workers and a real PostgreSQL for the tests of the job queue."""

from __future__ import annotations

import contextlib
import getpass
import glob
import json
import multiprocessing
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from service.jobs.config import JobsConfig
from service.jobs.job import Job
from service.jobs.jobs import Jobs
from tests.jobs import toys


def until(holds: Callable[[], Any], limit_s: float = 20.0) -> float:
    """Waits until `holds()`; how long that took, in s."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < limit_s, f"not within {limit_s} s"
        time.sleep(0.02)
    return time.monotonic() - began


def make_config(database_url: str, folder: Path, **changes: Any) -> JobsConfig:
    """Short leases and short pauses."""
    return JobsConfig(
        **{
            "database_url": database_url,
            "result_store": (folder / "results").as_uri(),
            "data_dir": folder,
            "result_ttl_s": 3600,
            "max_queued": 64,
            "max_per_owner": 32,
            "poll_s": 0.05,
            "lease_s": 2,
            "checkpoint_s": 0.2,
            **changes,
        }
    )


def started(jobs: Jobs, job: Job, step: int = 1) -> Callable[[], bool]:
    """Whether the job has come to `step`."""
    return lambda: (jobs.get(job.id, None).step or 0) >= step


def ended(jobs: Jobs, job: Job, limit_s: float = 30.0) -> Job:
    until(lambda: jobs.get(job.id, None).state.final, limit_s)
    return jobs.get(job.id, None)


def count(jobs: Jobs, steps: int, **request: Any) -> Job:
    """A job that counts to `steps`, 20 ms a step unless told otherwise."""
    return jobs.submit("count", {"steps": steps, **request}, owner="ann", blobs={}, label={})[0]


def counted(jobs: Jobs, job: Job) -> tuple[int, list[list[Any]]]:
    """The sum, and from where and by whom each start went on."""
    result = json.loads(jobs.result(job.id, None))
    return result["sum"], result["starts"]


class Process:
    """A worker's process. Forked from a server that has the imports done, which take most of a start."""

    def __init__(self, config: JobsConfig, name: str, ready: Path, log: Path) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([toys.__name__])
        self._process = context.Process(target=toys.work, args=(config, name, ready, log), daemon=True)
        self._process.start()

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout_s: float | None = None) -> int | None:
        self._process.join(timeout_s)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid or 0, number)

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


class Workers:
    """Workers in processes of their own, all of them ended at the end of the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.processes: dict[str, Process] = {}
        self._all: list[Process] = []

    def start(self, config: JobsConfig, name: str, *, ready: bool = True) -> Process:
        mark = self._folder / f"{name}-{len(self._all)}.ready"
        process = Process(config, name, mark, self.log(name))
        self._all.append(process)
        self.processes[name] = process
        if ready:
            until(lambda: mark.exists() or process.poll() is not None, 40)
            assert process.poll() is None, self.log(name).read_text()
        return process

    def log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def kill(self, name: str) -> None:
        self.processes.pop(name).kill()

    def stop(self) -> None:
        for process in self._all:
            process.kill()


class Postgres:
    """A private cluster on a free loopback port, run by somebody who is not root."""

    def __init__(self) -> None:
        self._programs = _programs()
        self._user = "nobody" if os.geteuid() == 0 else getpass.getuser()
        self._folder = Path(tempfile.mkdtemp(prefix="kerascope-pg-", dir=_scratch()))
        if os.geteuid() == 0:
            shutil.chown(self._folder, self._user)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "-N"]
        subprocess.run(
            [self._programs / "initdb", "-D", self._folder / "data", *options],
            check=True, stdout=subprocess.DEVNULL, cwd="/", **self._as_user(),
        )  # fmt: skip

    def start(self) -> None:
        options = [f"-p{self.port}", "-h127.0.0.1", f"-k{self._folder}", "-cfsync=off", "-cmax_connections=200"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._folder / "data", *options],
                stdout=log, stderr=log, cwd="/", **self._as_user(),
            )  # fmt: skip
        until(self._answers, 30)

    def stop(self) -> None:
        """At once, as in a crash."""
        if self._process:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(20)
            self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def new_database(self, template: str = "template1") -> str:
        """Its URL."""
        self._databases += 1
        name = f"jobs{self._databases}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"create database {name} template {template}".encode())
        return self.url(name)

    def drop_database(self, url: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"drop database {url.rpartition('/')[2]} with (force)".encode())

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url("postgres")):
            return True
        return False

    def _as_user(self) -> dict[str, Any]:
        if os.geteuid() != 0:
            return {}
        return {"user": self._user, "group": pwd.getpwnam(self._user).pw_gid, "extra_groups": []}


def _scratch() -> str:
    """Makes a folder that anybody may enter, in memory where there is plenty."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > 2 * 2**30 else "/tmp"


def _programs() -> Path:
    """The newest installation. Raises FileNotFoundError."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(Path(path).parent.name))
    if not folders:
        raise FileNotFoundError("no initdb")
    return Path(folders[-1])
