"""HEAD is GET without the body, on every route; a method that a path does not take names those it does."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from service.app import create_app
from service.settings import Settings
from tests.api.guarding.test_keys import ROUTES
from tests.api.guarding.test_scopes import ask
from tests.api.routes.test_jobs import ASCENT, FILTERS, ended, submitted
from tests.checks import MODEL
from tests.conftest import Service

GETS = sorted({path for method, path in ROUTES if method == "GET"})
# What is of this one answer.
OWN = {"x-request-id", "date", "server-timing"}


@pytest.mark.parametrize("path", [*GETS, f"{MODEL}/layers?x=1", "/nope", "/v2/nope", f"{MODEL}/cam"])
def test_head_answers_as_get_without_a_body(service: Service, path: str) -> None:
    service.client.get(path)
    got, head = service.client.get(path), service.client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    wanted = {name: value for name, value in got.headers.items() if name not in OWN}
    found = {name: value for name, value in head.headers.items() if name not in OWN}
    if path in ("/metrics", "/v1/models", "/readyz") or path.startswith(("/v1/models/shapes", "/v2/models/shapes")):
        # Numbers in these differ from moment to moment, and so may their length.
        wanted.pop("content-length", None)
        assert int(found.pop("content-length")) > 0
    assert found == wanted


def test_head_of_what_belongs_to_a_job(service: Service) -> None:
    job = submitted(service, ASCENT, params=FILTERS).json()["id"]
    began = time.monotonic()
    events = service.client.head(f"/v1/jobs/{job}/events")
    assert time.monotonic() - began < 5
    assert (events.status_code, events.content) == (200, b"")
    assert events.headers["content-type"].startswith("text/event-stream")
    ended(service, job)
    for end in ("", "/preview", "/result"):
        got, head = service.client.get(f"/v1/jobs/{job}{end}"), service.client.head(f"/v1/jobs/{job}{end}")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == got.headers["content-length"] == str(len(got.content))
        assert head.headers["content-type"] == got.headers["content-type"]


def test_head_takes_a_tag_and_is_logged_and_counted_as_what_it_is(service: Service) -> None:
    path = f"{MODEL}/layers/conv2d/kernels"
    tag = service.client.head(path).headers["etag"]
    answer = service.client.head(path, headers={"If-None-Match": tag, "X-Request-Id": "a-head"})
    assert (answer.status_code, answer.headers["etag"]) == (304, tag)
    (line,) = service.told(request_id="a-head")
    assert (line["method"], line["model"]) == ("HEAD", "shapes")
    metrics = service.client.get("/metrics").text
    assert any('method="HEAD"' in line and "/layers/{layer:path}/kernels" in line for line in metrics.splitlines())


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return create_app(Settings(data_dir=tmp_path_factory.mktemp("allow")))


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/models", "GET, HEAD, POST"),
        ("POST", "/v1/models/shapes", "GET, HEAD, PATCH, DELETE"),
        ("OPTIONS", "/v1/models/shapes", "GET, HEAD, PATCH, DELETE"),
        ("OPTIONS", "/livez", "GET, HEAD"),
        ("HEAD", "/v1/models/shapes/cam", "POST"),
        ("GET", "/v1/models/shapes/load", "POST"),
        ("DELETE", "/", "GET, HEAD"),
        ("PATCH", "/v1/jobs/x", "GET, HEAD, DELETE"),
        ("PATCH", "/v2/models/shapes/infer", "POST"),
        ("POST", "/explorer/app.js", "GET, HEAD"),
        ("TRACE", "/docs/assets/swagger-ui.css", "GET, HEAD"),
    ],
)
def test_405_names_every_method_that_the_path_takes(app: Any, method: str, path: str, allow: str) -> None:
    answer = ask(app, method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)
    if method != "HEAD" and not path.startswith("/v2"):
        assert json.loads(answer.text)["detail"].endswith(f"it takes {allow}")
