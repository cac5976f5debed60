"""Jobs on a disk that fills up: `full_disk.py <an empty disk of 64 MB>`. Says in JSON what became of them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.errors import KerascopeError
from service.jobs.jobs import Jobs
from service.jobs.worker import Worker
from service.telemetry import configure_logging
from tests.jobs.helpers import ended, make_config
from tests.jobs.toys import handle

MIB = 2**20


def main() -> None:
    folder = Path(sys.argv[1])
    configure_logging("error", "json", process="test")
    config = make_config(f"sqlite:///{folder / 'jobs.db'}", folder, checkpoint_s=0.01)
    jobs = Jobs(config)
    worker = Worker(config, "one", handle)
    worker.start()

    def run(kind: str, blob: bytes = b"", **request: Any) -> list[str]:
        job = ended(jobs, jobs.submit(kind, request, owner="ann", blobs={"image": blob}, label={})[0])
        return [job.state, job.error.kind if job.error else "", job.error.detail if job.error else ""]

    def refusal(call: Callable[[], object]) -> str:
        try:
            call()
        except KerascopeError as error:
            return type(error).__name__
        return ""

    found: dict[str, Any] = {"room": run("fat", steps=5, size=2 * MIB)}
    with leaving(folder, 20 * MIB):
        found["checkpoint"] = run("fat", steps=5, size=4 * MIB)
        found["small job beside it"] = run("echo", b"ab")
        found["large result"] = run("echo", b"x" * 1000, times=21_000)
        found["large submit"] = refusal(lambda: run("echo", bytes(10 * MIB)))
        found["larger submit"] = refusal(lambda: run("echo", bytes(21 * MIB)))
    with leaving(folder, 15 * MIB):
        found["any submit"] = refusal(lambda: run("echo", b"ab"))
        found["jobs"] = len(jobs.list(None))
    found["room again"] = run("fat", steps=5, size=4 * MIB)
    found["files"] = len([path for path in (folder / "results").rglob("*") if path.is_file()])
    worker.stop(5)
    jobs.close()
    sys.stdout.write(json.dumps(found))


class leaving:  # noqa: N801
    """A disk with just so many bytes free, for a while."""

    def __init__(self, folder: Path, free: int) -> None:
        self._ballast = folder / "ballast"
        self._folder = folder
        self._free = free

    def __enter__(self) -> None:
        disk = os.statvfs(self._folder)
        with self._ballast.open("wb") as file:
            file.write(bytes(disk.f_bavail * disk.f_frsize - self._free))

    def __exit__(self, *_: object) -> None:
        self._ballast.unlink()


if __name__ == "__main__":
    main()
