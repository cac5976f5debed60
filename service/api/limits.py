"""How large the body of a request may be, on every route."""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.errors import problem_response
from service.errors import BodyTooLarge


class BodyLimit:
    """Ends a body once it is longer than `most(method, path)` bytes, announced or not; no route reads more."""

    def __init__(self, app: ASGIApp, most: Callable[[str, str], int]) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._most(scope["method"], scope["path"])
        error = BodyTooLarge(f"the body is larger than {most} bytes, the most this service takes")
        announced = Headers(scope=scope).get("content-length", "")
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
