"""How often a caller may come, counted for each key."""

from __future__ import annotations

import math
import time

from limits import RateLimitItem
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.auth import OPEN_PATHS, owner_of
from service.api.errors import problem_response
from service.errors import TooManyCalls

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
