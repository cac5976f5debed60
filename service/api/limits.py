"""How large the body of a request may be, and that it is sent as it is, on every route."""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.errors import problem_response
from service.errors import BodyTooLarge, UnsupportedMediaType

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
