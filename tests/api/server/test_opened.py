"""H8: which files the processes of the service open while callers send names of other files.

Every process of the service tells of each file and folder that Python opens, lists, makes, renames or removes: an audit
hook, which `sitecustomize` sets before anything else runs. What C libraries open by themselves it does not see; they
get their paths from Python.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.checks import CAM, MODEL, PNG, saved, triangle
from tests.conftest import ROOT, Service, start_service

# Takes long.
pytestmark = pytest.mark.soak

HOOK = """
import os, sys

LOG = os.open({log!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
EVENTS = ("open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod",
          "os.link", "os.symlink", "os.truncate", "shutil.rmtree", "os.utime")

def tell(event, arguments):
    if event in EVENTS:
        for path in arguments[:2 if event in ("os.rename", "os.link", "os.symlink") else 1]:
            if isinstance(path, (str, bytes)):
                os.write(LOG, f"{{event}} {{ascii(os.path.abspath(os.fsdecode(path)))[1:-1]}}\\n".encode())

sys.addaudithook(tell)
"""
# Part of every hostile name, and of no file of ours.
MARK = "strange7"
PICTURE = saved(triangle(28, 28))


class Traced:
    """A service, and what its processes have opened since the last question."""

    def __init__(self, service: Service, log: Path, outside: Path) -> None:
        self.service = service
        self.outside = outside
        self._log = log
        self._seen = 0

    def opened(self) -> list[str]:
        text = self._log.read_text()
        fresh, self._seen = text[self._seen :], len(text)
        return fresh.splitlines()


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    folder = tmp_path_factory.mktemp("opened")
    (folder / "hook").mkdir()
    (folder / "hook" / "sitecustomize.py").write_text(HOOK.format(log=str(folder / "opened.log")))
    outside = folder / "outside"
    outside.mkdir()
    for name in (f"{MARK}.keras", f"{MARK}.png", "record.json", "model.toml", f"{MARK}.json"):
        (outside / name).write_bytes(PICTURE)
    (folder / "run" / "tmp").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder / "hook"), str(ROOT)]))
        patch.setenv("TMPDIR", str(folder / "run" / "tmp"))
        running = start_service(folder / "run", preload="shapes", uploads="true", url_hosts="files.example")
    found = Traced(running, folder / "opened.log", outside)
    # What is imported at a first use is.
    for name in ("shapes", "none"):
        ask(found, f"usual-{name}", model=name)
    yield found
    running.stop()


def allowed(traced: Traced) -> tuple[str, ...]:
    run = traced.service.log.parent
    code = [sys.prefix, sys.base_prefix, str(ROOT / "service"), os.path.realpath(sys.prefix)]
    return (str(run / "data"), str(run / "tmp"), str(run / ".cache"), *code, "/proc/", "/sys/", "/dev/")


def ask(traced: Traced, name: str, model: str | None = None) -> list[int]:
    """The name in every place where one can be sent; the statuses."""
    client = traced.service.client
    inside = quote(name, safe="")
    own = quote(model or name, safe="")
    form: dict[str, Any] = {"content": PICTURE, "headers": PNG}
    files: dict[str, Any] = {"image": (name, PICTURE, "image/png")}
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", f"/v1/models/{own}/cam", form),
        ("GET", f"/v1/models/{own}", {}),
        ("POST", f"/v1/models/{own}/load", {}),
        ("GET", f"/v1/models/{own}@1", {}),
        ("GET", f"/v1/models/{own}/versions", {}),
        ("DELETE", f"/v1/models/{inside}", {}),
        ("PATCH", f"/v1/models/{inside}", {"json": {"default": 1}}),
        ("GET", f"/v1/models/shapes/layers/{inside}", {}),
        ("GET", f"/v1/models/shapes/layers/{inside}/kernels", {}),
        ("POST", CAM, {**form, "params": {"layer": name}}),
        ("POST", CAM, {**form, "params": {"colormap": name}}),
        ("POST", CAM, {**form, "params": {"target": name}}),
        ("POST", CAM, {"files": files}),
        ("POST", CAM, {"json": {"image": name}}),
        ("POST", CAM, {"json": {"image": f"file://{name}"}}),
        ("POST", CAM, {"json": {"image_url": f"file://{name}"}}),
        ("GET", "/v1/methods", {"params": {"model": name}}),
        ("GET", f"/v1/jobs/{inside}", {}),
        ("GET", f"/v1/jobs/{inside}/result", {}),
        ("GET", f"/v1/jobs/{inside}/preview", {}),
        ("DELETE", f"/v1/jobs/{inside}", {}),
        ("GET", f"/docs/assets/{inside}", {}),
        ("POST", f"/v1/models/shapes/maximization?layer={inside}", {"headers": {"Idempotency-Key": inside[:200]}}),
        ("POST", "/v1/models", {"data": {"id": name}, "files": {"model": (name, b"PK\3\4", "text/plain")}}),
        ("POST", "/v1/models", {"data": {"id": "x"}, "files": {name: (name, io.BytesIO(b"x" * 2**21), "a/b")}}),
    ]
    statuses = [client.request(method, path, **more).status_code for method, path, more in calls]
    return statuses + [as_it_is(traced, start + name) for start in ("/docs/assets/", f"{MODEL}/layers/", "/", "")]


def as_it_is(traced: Traced, path: str) -> int:
    """The status of a path whose dots and slashes no client library has tidied up."""
    url = traced.service.client.base_url
    connection = HTTPConnection(url.host, url.port, timeout=20)
    connection.request("GET", quote(path, safe="/.%:;$()\\"))
    with closing(connection):
        return connection.getresponse().status


def names(outside: Path) -> list[str]:
    up = "../" * 12
    absolute = str(outside / MARK)
    return [
        absolute, f"{absolute}.keras", f"{up}{absolute[1:]}.keras", f"..{absolute}", f"../../outside/{MARK}.png",
        f"..\\..\\outside\\{MARK}", f"%2e%2e%2f{MARK}", f"..%252f{MARK}", f"..%c0%af{MARK}", f"\uff0e\uff0e/{MARK}",
        f"{MARK}\x00.keras", f"~/{MARK}", f"file://{absolute}.png", f"{MARK}/../../../etc/passwd", f"./{MARK}",
        f"//{absolute}", f"{MARK};cat", f"$({MARK})", f"con/{MARK}:stream", f"{MARK}" * 20,
    ]  # fmt: skip


def test_h8_no_file_is_opened_that_a_caller_names(traced: Traced) -> None:
    traced.opened()
    statuses: set[int] = set()
    wrong: list[str] = []
    seen: list[str] = []
    for name in names(traced.outside):
        statuses |= set(ask(traced, name))
        seen += traced.opened()
    for line in seen:
        event, _, path = line.partition(" ")
        if MARK in path or not path.startswith(allowed(traced)):
            wrong.append(line)
    assert wrong == []
    assert statuses <= {200, 202, 307, 400, 404, 405, 413, 415, 422}, statuses
    # The hook has seen the service at work: it looked for these models among the uploads.
    looked_for = [line for line in seen if line.startswith("open ") and "/data/uploads/" in line]
    assert len(looked_for) > 2 * len(names(traced.outside))


def test_h8_nothing_that_was_sent_stays(traced: Traced) -> None:
    ask(traced, f"../{MARK}")
    run = traced.service.log.parent
    assert [path for path in (run / "tmp").rglob("*") if path.is_file()] == []
    assert list((run / "data" / "uploads" / "incoming").iterdir()) == []
