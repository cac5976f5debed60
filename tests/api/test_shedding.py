"""Calls that there is no room for are turned away on every route that computes at once, before anything is read."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.app import create_app
from service.engine.deadline import Deadline
from service.engine.pool import Place
from service.settings import Settings


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
