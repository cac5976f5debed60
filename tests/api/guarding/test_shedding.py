"""Calls that there is no room for are turned away on every route that computes at once, before anything is read."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.app import create_app
from service.engine.host.pool import Place, engine_of
from service.engine.host.queue import Deadline
from service.settings import Settings
from tests import nets
from tests.conftest import start_service


@pytest.mark.parametrize(
    "route",
    [
        "/v1/models/{model_id}/cam",
        "/v1/models/{model_id}/explain",
        "/v1/models/{model_id}:predict",
        "/v1/models/{model_id}:explain",
        "/v2/models/{model_id}/infer",
        "/v2/models/{model_id}/versions/{version}/infer",
    ],
)
def test_a_full_queue(tmp_path: Path, route: str) -> None:
    path = route.format(model_id="shapes", version=1)
    app = create_app(Settings(data_dir=tmp_path, queue_limit=1))

    async def once() -> tuple[httpx.Response, httpx.Response, str]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            async with app.state.services.engines.place("shapes", 1, Place("somebody", Deadline.after(60))):
                refused = await client.post(path, content=b"never read", headers={"Content-Type": "image/png"})
            later = await client.post(path, content=b"", headers={"Content-Type": "text/css"})
            return refused, later, (await client.get("/metrics")).text

    refused, later, metrics = asyncio.run(once())
    assert refused.status_code == 503, refused.text
    assert int(refused.headers["retry-after"]) >= 1
    body = refused.json()
    assert "1 cost units" in body["error" if path.startswith("/v2") else "detail"]
    assert later.status_code == 415, "with room again the body is looked at"
    # Both are counted under the route, never under what a caller wrote in its place.
    counted = {
        (sample.labels["route"], sample.labels["status"])
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == "kerascope_request_seconds_count"
    }
    assert counted == {(route, "503"), (route, "415")}


def test_a7_two_engines_are_each_asked_for_their_own_calls(tmp_path: Path) -> None:
    """The queue that is looked at is the one that the call will take, whatever name the caller writes."""
    names = [f"net{number}" for number in range(20)]
    apart = next(name for name in names if engine_of(name, 2) != engine_of(f"{name}@1", 2))
    together = next(name for name in names if engine_of(name, 2) == engine_of(f"{name}@1", 2))
    network = tmp_path / "net.keras"
    nets.random_net().save(network)
    service = start_service(
        tmp_path, preload="", engines="2", queue_limit="1", uploads="true", allow_unsandboxed_ingest="true"
    )
    try:
        for name in (apart, together):
            made = service.client.post("/v1/models", data={"id": name}, files={"model": network.read_bytes()})
            assert made.status_code == 201, made.text
    finally:
        service.stop()
    app = create_app(Settings(data_dir=tmp_path / "data", engines=2, queue_limit=1))
    engines = app.state.services.engines

    async def ask(path: str, full: int) -> int:
        transport = httpx.ASGITransport(app)
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client,
            engines.clients[full].queue.place("somebody", 1, Deadline.after(60), shared=False),
        ):
            answer = await client.post(path, content=b"", headers={"Content-Type": "text/css"})
            return answer.status_code

    for name in (apart, together):
        own = engine_of(f"{name}@1", 2)
        for path in (
            f"/v1/models/{name}/cam", f"/v1/models/{name}@1/cam", f"/v1/models/{name}:predict",
            f"/v2/models/{name}/infer", f"/v2/models/{name}/versions/1/infer",
        ):  # fmt: skip
            assert [asyncio.run(ask(path, full)) for full in (own, 1 - own)] == [503, 415], path
    for path in ("/v1/models/none/cam", f"/v1/models/{apart}@9/cam", "/v2/models/none/versions/x/infer"):
        assert {asyncio.run(ask(path, full)) for full in (0, 1)} <= {404, 415, 503}
