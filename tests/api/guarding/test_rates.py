"""H13: so many calls a key and window, counted exactly, told in every answer."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import limits
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from service.api.guarding.keys import Caller
from service.api.guarding.limits import RateLimit
from service.errors import ConfigurationError
from service.keys.scope import EVERY
from service.settings import load_settings


class Clock:
    """Stands for `time.time` where the counting asks for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000_000.0
        monkeypatch.setattr("time.time", lambda: self.now)


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("hello")(scope, receive, send)


def application(rate: str) -> Any:
    """An application that says hello, and takes the header `Caller` for the key."""
    limited = RateLimit(hello, limits.parse(rate))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        caller = Caller(Request(scope).headers.get("caller", "open"), EVERY)
        scope["state"] = {"caller": caller, "request_id": "r"}
        await limited(scope, receive, send)

    return app


async def get(app: Any, path: str = "/v1/models", **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.get(path, headers=headers)


def test_exactly_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    app = application("5/minute")

    async def body() -> None:
        for used in range(1, 6):
            answer = await get(app)
            assert answer.status_code == 200
            assert (answer.headers["ratelimit-limit"], answer.headers["ratelimit-remaining"]) == ("5", str(5 - used))
            assert 1 <= int(answer.headers["ratelimit-reset"]) <= 60
        for _ in range(3):
            refused = await get(app)
            assert refused.status_code == 429
            assert refused.json()["type"] == "urn:kerascope:problem:too-many-calls"
            assert "5 calls per 60 s" in refused.json()["detail"]
            assert refused.headers["retry-after"] == refused.headers["ratelimit-reset"]
            assert refused.headers["ratelimit-remaining"] == "0"
        assert (await get(app, caller="another")).headers["ratelimit-remaining"] == "4", "each key has its own"
        clock.now += 121
        assert (await get(app)).headers["ratelimit-remaining"] == "4"

    asyncio.run(body())


def test_no_burst_at_the_border_of_two_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five at the end of one minute and five at the start of the next would be ten within a second."""
    clock = Clock(monkeypatch)
    app = application("5/minute")

    async def body() -> None:
        clock.now = 60 * 20_000 + 59.0
        assert [(await get(app)).status_code for _ in range(6)] == [200] * 5 + [429]
        clock.now += 2
        assert (await get(app)).status_code == 429

    asyncio.run(body())


@pytest.mark.parametrize("path", ["/v1/models/shapes:predict", "/v2", "/v2/models/shapes/infer"])
def test_other_protocols_are_counted_too(path: str) -> None:
    app = application("1/hour")

    async def body() -> None:
        assert [(await get(app, path)).status_code for _ in range(2)] == [200, 429]

    asyncio.run(body())


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/metrics", "/", "/docs"])
def test_health_is_not_counted(path: str) -> None:
    app = application("1/hour")

    async def body() -> None:
        for _ in range(3):
            answer = await get(app, path)
            assert answer.status_code == 200
            assert "ratelimit-limit" not in answer.headers

    asyncio.run(body())


@pytest.mark.parametrize("rate", ["often", "0", "5", "/minute", "5/fortnight"])
def test_a_rate_that_is_none(rate: str) -> None:
    with pytest.raises(ConfigurationError, match="rate_limit: write it as 600/minute"):
        load_settings(rate_limit=rate)
