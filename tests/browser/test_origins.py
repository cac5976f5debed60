"""C1: what a real page of another origin can do to the open service: nothing."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser

from tests import nets
from tests.browser.conftest import Opened
from tests.checks import CAM, MODEL, PNG, saved, triangle
from tests.conftest import Service, start_service

PICTURE = saved(triangle())
JOB = f"{MODEL}/maximization?layer=conv2d&channels=0&steps=5"

# Every way a page has to send something; what each tells of itself is 'opaque', a status, or an error.
ATTACK = """
async ([service, job, picture, network]) => {
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const part = () => {
    const form = new FormData();
    form.append("id", "planted");
    form.append("model", new Blob([bytes(network)]), "x.keras");
    return form;
  };
  const image = () => {
    const form = new FormData();
    form.append("image", new Blob([bytes(picture)]), "x.png");
    return form;
  };
  const calls = [
    ["POST", "/v1/models/shapes/maximization?layer=conv2d&channels=0&steps=5", () => undefined],
    ["POST", "/v1/models/shapes/cam", image],
    ["POST", "/v1/models/shapes/unload", () => undefined],
    ["POST", "/v1/models/cold/load", () => undefined],
    ["POST", "/v1/models", part],
    ["GET", "/v1/models/cold/layers", () => undefined],
    ["GET", "/v1/models/cold/layers/scores/kernels", () => undefined],
    ["GET", "/v1/methods?model=cold", () => undefined],
    ["DELETE", `/v1/jobs/${job}`, () => undefined],
    ["DELETE", "/v1/models/planted", () => undefined],
  ];
  const found = [];
  for (const mode of ["no-cors", "cors"]) {
    for (const referrerPolicy of ["no-referrer", "unsafe-url"]) {
      for (const [method, path, body] of calls) {
        const options = { method, mode, referrerPolicy, body: body() };
        found.push(await fetch(service + path, options).then((a) => `${a.type} ${a.status}`, (e) => e.name));
      }
    }
  }
  navigator.sendBeacon(service + "/v1/models/shapes/unload", "");
  const shown = new Image();
  const seen = new Promise((done) => { shown.onload = () => done("seen"); shown.onerror = () => done("kept out"); });
  shown.src = service + "/v1/models/cold/layers/scores/kernels?format=png";
  found.push(await seen);
  for (const enctype of ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded"]) {
    for (const [, path] of calls.filter(([method]) => method === "POST")) {
      const frame = document.createElement("iframe");
      frame.name = `frame${Math.random()}`;
      const form = document.createElement("form");
      Object.assign(form, { method: "POST", action: service + path, enctype, target: frame.name });
      form.append(Object.assign(document.createElement("input"), { name: "id", value: "planted" }));
      const file = Object.assign(document.createElement("input"), { type: "file", name: "model" });
      const data = new DataTransfer();
      data.items.add(new File([bytes(network)], "x.keras"));
      file.files = data.files;
      form.append(file);
      document.body.append(frame, form);
      // An answer without a body loads nothing.
      const loaded = new Promise((done) => { frame.onload = done; setTimeout(done, 2000); });
      form.submit();
      await loaded;
    }
  }
  return found;
}
"""


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        content = f"<!doctype html><title>elsewhere</title><a href='{self.path[1:]}'>a link</a>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *said: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[int]:
    """The port of another web server of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("network") / "net.keras"
    nets.random_net().save(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def opened_to_all(tmp_path_factory: pytest.TempPathFactory, network: bytes) -> Iterator[tuple[Service, str]]:
    """The open service with a warm model, a cold one, uploads, and a job that waits."""
    folder = tmp_path_factory.mktemp("open")
    models = folder / "models"
    models.mkdir()
    (models / "cold.keras").write_bytes(network)
    running = start_service(
        folder, models_dir=models, preload="shapes", uploads="true", run_jobs="false", allow_unsandboxed_ingest="true"
    )
    job = running.client.post(JOB)
    assert job.status_code == 202, job.text
    yield running, job.json()["id"]
    running.stop()


def state_of(service: Service) -> dict[str, Any]:
    models = {row["id"]: row["state"] for row in service.client.get("/v1/models").json()["models"]}
    jobs = {row["id"]: row["state"] for row in service.client.get("/v1/jobs").json()["jobs"]}
    return {"models": models, "jobs": jobs}


@pytest.mark.parametrize(
    ("page", "name"), [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("127.0.0.1", "localhost")]
)
def test_a_page_of_another_origin_changes_nothing(
    opened_to_all: tuple[Service, str], elsewhere: int, network: bytes, browser: Browser, page: str, name: str
) -> None:
    service, job = opened_to_all
    before = state_of(service)
    assert before["models"]["shapes"] == "warm"
    assert before["models"]["cold"] == "cold"
    assert before["jobs"] == {job: "queued"}
    address = f"http://{name}:{httpx.URL(service.url).port}"
    context = browser.new_context()
    try:
        tab = context.new_page()
        tab.set_default_timeout(60_000)
        tab.goto(f"http://{page}:{elsewhere}/")
        texts = [base64.b64encode(data).decode() for data in (PICTURE, network)]
        answers = tab.evaluate(ATTACK, [address, job, *texts])
    finally:
        context.close()
    assert "kept out" in answers
    # Of what it sent it may not even read that it was refused; fetch itself sends no DELETE without CORS.
    assert set(answers) <= {"opaque 0", "TypeError", "kept out"}
    assert state_of(service) == before
    refused = service.told(7, status=403)
    assert {event["path"] for event in refused} >= {
        CAM, "/v1/models", f"{MODEL}/unload", "/v1/models/cold/load", "/v1/models/cold/layers", f"{MODEL}/maximization",
        "/v1/models/cold/layers/scores/kernels",
    }  # fmt: skip


def test_a_link_to_the_explorer_and_to_the_documentation_works(
    opened_to_all: tuple[Service, str], elsewhere: int, browser: Browser
) -> None:
    service, _ = opened_to_all
    for path, title in (("/", "Kerascope"), ("/docs", "Kerascope")):
        context = browser.new_context()
        try:
            tab = context.new_page()
            tab.goto(f"http://localhost:{elsewhere}/{service.url}{path}")
            with tab.expect_navigation() as gone:
                tab.click("a")
            assert (gone.value.status, title in tab.title()) == (200, True)
            assert gone.value.request.headers.get("sec-fetch-mode", "navigate") == "navigate"
        finally:
            context.close()


def test_the_explorer_itself_and_curl_drive_it_as_before(
    opened_to_all: tuple[Service, str], visit: Callable[..., Opened]
) -> None:
    service, _ = opened_to_all
    opened = visit(service, "/#model=shapes&sample=triangle.png&view=filters&layer=conv2d&channels=0&steps=5")
    page = opened.page
    with page.expect_response(lambda answer: "/maximization" in answer.url) as submitted:
        page.get_by_role("button", name="Start").click()
    assert submitted.value.status == 202
    with page.expect_response(lambda answer: answer.request.method == "DELETE") as cancelled:
        page.get_by_role("button", name="Cancel").click()
    assert cancelled.value.status == 200
    assert service.client.get(urlsplit(cancelled.value.url).path).json()["state"] == "cancelled"
    assert opened.said == []
    assert service.client.post(CAM, content=PICTURE, headers=PNG).status_code == 200
    assert service.client.post(f"{MODEL}/unload").json() == {"unloaded": True}


def test_an_origin_that_is_named_may_drive_it(elsewhere: int, browser: Browser, tmp_path: Path) -> None:
    origin = f"http://localhost:{elsewhere}"
    service = start_service(tmp_path, preload="shapes", run_jobs="false", cors_origins=origin)
    context = browser.new_context()
    try:
        tab = context.new_page()
        script = "(url) => fetch(url, { method: 'POST' }).then((a) => a.status, (e) => e.name)"
        found = {}
        for page in (origin, f"http://127.0.0.1:{elsewhere}"):
            tab.goto(page)
            found[page] = tab.evaluate(script, service.url + JOB)
        assert list(found.values()) == [202, "TypeError"]
        assert len(service.client.get("/v1/jobs").json()["jobs"]) == 1
    finally:
        context.close()
        service.stop()
