"""Calls that there is no room for are turned away on every route that computes at once, before anything is read."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from service.engine.deadline import Deadline
from service.engine.pool import Place
from service.settings import Settings


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/shapes/cam",
        "/v1/models/shapes/explain",
        "/v1/models/shapes:predict",
        "/v1/models/shapes:explain",
        "/v2/models/shapes/infer",
        "/v2/models/shapes/versions/1/infer",
    ],
)
def test_a_full_queue(tmp_path: Path, path: str) -> None:
    app = create_app(Settings(data_dir=tmp_path, queue_limit=1))

    async def once() -> tuple[httpx.Response, httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            async with app.state.services.engines.place("shapes", 1, Place("somebody", Deadline.after(60))):
                refused = await client.post(path, content=b"never read", headers={"Content-Type": "image/png"})
            return refused, await client.post(path, content=b"", headers={"Content-Type": "text/css"})

    refused, later = asyncio.run(once())
    assert refused.status_code == 503, refused.text
    assert int(refused.headers["retry-after"]) >= 1
    body = refused.json()
    assert "1 cost units" in body["error" if path.startswith("/v2") else "detail"]
    assert later.status_code == 415, "with room again the body is looked at"
