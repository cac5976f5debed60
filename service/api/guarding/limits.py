"""How large a body may be, and how often a caller may come."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from limits import RateLimitItem
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.guarding.keys import OPEN_PATHS, owner_of
from service.api.problems import problem_response
from service.errors import BodyTooLarge, TooManyCalls, UnsupportedMediaType

PLAIN = "identity"


class BodyLimit:
    """Ends a body once it is longer than `most(method, path)` bytes, announced or not; no route reads more. One that is
    compressed is refused: its size would be known only afterwards."""

    def __init__(self, app: ASGIApp, most: Callable[[str, str], int]) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if coding := _coding(headers):
            response = problem_response(
                UnsupportedMediaType(
                    f"the body is sent with the Content-Encoding {coding[:40]!r}; send it as it is, without that header"
                ),
                scope["state"]["request_id"],
            )
            response.headers["Accept-Encoding"] = PLAIN
            response.headers["Connection"] = "close"
            await response(scope, receive, send)
            return
        most = self._most(scope["method"], scope["path"])
        error = BodyTooLarge(f"the body is larger than {most} bytes, the most this service takes")
        announced = headers.get("content-length", "")
        if announced.isdigit() and int(announced) > most:
            response = problem_response(error, scope["state"]["request_id"])
            response.headers["Connection"] = "close"
            await response(scope, receive, send)
            return
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                raise error
            return message

        await self._app(scope, limited, send)


def _coding(headers: Headers) -> str:
    """How the body is compressed; empty where it is not, or there is none."""
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return ""
    codings = [part.strip() for line in headers.getlist("content-encoding") for part in line.split(",")]
    return ", ".join(part for part in codings if part and part.lower() != PLAIN)


LIMITED_PATHS = ("/v1/", "/v2")


class RateLimit:
    """So many calls a key and window, told in `RateLimit-*`; what is beyond is answered 429."""

    def __init__(self, app: ASGIApp, rate: RateLimitItem) -> None:
        self._app = app
        self._rate = rate
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS or not scope["path"].startswith(LIMITED_PATHS):
            await self._app(scope, receive, send)
            return
        caller = owner_of(Request(scope))
        allowed = await self._limiter.hit(self._rate, caller)
        reset_at, remaining = await self._limiter.get_window_stats(self._rate, caller)
        reset_s = max(1, math.ceil(reset_at - time.time()))
        told = {
            "RateLimit-Limit": str(self._rate.amount),
            "RateLimit-Remaining": str(remaining),
            "RateLimit-Reset": str(reset_s),
        }

        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(raw=message.setdefault("headers", [])).update(told)
            await send(message)

        if allowed:
            await self._app(scope, receive, telling)
            return
        detail = (
            f"this key may make {self._rate.amount} calls per {self._rate.get_expiry()} s; come again in {reset_s} s"
        )
        error = TooManyCalls(detail, retry_after_s=reset_s)
        await problem_response(error, scope["state"]["request_id"])(scope, receive, telling)
