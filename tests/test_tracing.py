"""Traces of the real service, received as a collector would: OTLP over HTTP, protobuf, on loopback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.checks import PNG, saved, triangle
from tests.conftest import ROOT, Service, start_service

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
# As it is where the extra is not installed: FastAPI brings OpenTelemetry's interfaces along, and no more.
WITHOUT_SDK = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.instrumentation")):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""
SHAPES = "/v1/models/shapes/cam"


@dataclass
class Collector:
    """Takes what is posted to `/v1/traces`."""

    url: str = ""
    resources: list[dict[str, str]] = field(default_factory=list)
    spans: list[Any] = field(default_factory=list)

    def of(self, trace: str, count: int) -> dict[str, Any]:
        """The spans of a trace by name, once there are so many."""
        until = time.monotonic() + 10
        while time.monotonic() < until:
            found = [span for span in self.spans if span.trace_id.hex() == trace]
            if len(found) >= count:
                break
            time.sleep(0.05)
        assert len(found) == count
        return {span.name: span for span in found}


def values(attributes: Any) -> dict[str, Any]:
    return {item.key: item.value.string_value or item.value.int_value for item in attributes}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    received = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert (self.path, self.headers["content-type"]) == ("/v1/traces", "application/x-protobuf")
            body = self.rfile.read(int(self.headers["content-length"]))
            for item in ExportTraceServiceRequest.FromString(body).resource_spans:
                received.resources.append(values(item.resource.attributes))
                received.spans += [span for scope in item.scope_spans for span in scope.spans]
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        received.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield received
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def traced(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = start_service(tmp_path_factory.mktemp("traced"), preload="shapes", otlp_endpoint=collector.url)
    yield running
    running.stop()


def test_a_call_has_its_parts_as_spans(traced: Service, collector: Collector) -> None:
    headers = {**PNG, "traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-Id": "traced-1"}
    assert traced.client.post(SHAPES, content=saved(triangle()), headers=headers).status_code == 200
    spans = collector.of(TRACE, 5)
    assert set(spans) == {"POST /v1/models/{model_id}/cam", "queue", "decode", "engine", "render"}
    request = spans.pop("POST /v1/models/{model_id}/cam")
    assert request.parent_span_id.hex() == PARENT
    about = values(request.attributes)
    assert about["http.route"] == "/v1/models/{model_id}/cam"
    assert about["kerascope.request_id"] == "traced-1"
    assert 200 in (about.get("http.status_code"), about.get("http.response.status_code"))
    for span in spans.values():
        assert span.parent_span_id == request.span_id
        assert values(span.attributes) == {"kerascope.model": "shapes", "kerascope.method": "cam"}
        assert request.start_time_unix_nano <= span.start_time_unix_nano < span.end_time_unix_nano
        assert span.end_time_unix_nano <= request.end_time_unix_nano
    order = sorted(spans, key=lambda name: spans[name].start_time_unix_nano)
    assert order == ["queue", "decode", "engine", "render"]
    assert {(item["service.name"]) for item in collector.resources} == {"kerascope"}
    assert {event["trace_id"] for event in traced.told(request_id="traced-1", process="api")} == {TRACE}


def test_what_fails_is_told(traced: Service, collector: Collector) -> None:
    trace = TRACE[::-1]
    headers = {**PNG, "traceparent": f"00-{trace}-{PARENT}-01"}
    assert traced.client.post(SHAPES, content=b"no picture", headers=headers).status_code == 422
    spans = collector.of(trace, 3)
    assert set(spans) == {"POST /v1/models/{model_id}/cam", "queue", "decode"}
    assert [event.name for event in spans["decode"].events] == ["exception"]


def test_without_a_traceparent_each_call_is_a_trace_and_probes_are_none(traced: Service, collector: Collector) -> None:
    for path in ("/livez", "/readyz", "/v2/health/live", "/metrics", "/v1/methods", "/v1/methods", "/nothing"):
        traced.client.get(path)
    until = time.monotonic() + 10
    while not any(span.name == "GET other" for span in collector.spans) and time.monotonic() < until:
        time.sleep(0.05)
    gets = [span for span in collector.spans if span.name.startswith("GET")]
    assert sorted(span.name for span in gets) == ["GET /v1/methods", "GET /v1/methods", "GET other"]
    assert len({span.trace_id for span in gets}) == 3
    assert all(re.fullmatch("0*", span.parent_span_id.hex()) for span in gets)


@pytest.mark.soak
def test_a_collector_that_is_away_holds_nothing_up(tmp_path: Path) -> None:
    running = start_service(tmp_path, ready=False, preload="", otlp_endpoint="http://127.0.0.1:1")
    assert running.client.get("/v1/methods").status_code == 200
    began = time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - began < 12


def test_without_the_extra_the_start_says_so(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_SDK)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "KERASCOPE_OTLP_ENDPOINT": "http://localhost:4318"}
    command = [sys.executable, "-m", "service", "serve", "--data-dir", str(tmp_path / "data"), "--port", "0"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "otlp_endpoint is set" in done.stderr
    assert "pip install 'kerascope[otel]'" in done.stderr
    assert "Traceback" not in done.stderr
