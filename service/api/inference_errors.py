"""Under `/v2` an error is what the Open Inference Protocol says, not a problem."""

from __future__ import annotations

import orjson
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.errors import MEDIA_TYPE

PREFIX = "/v2"


class InferenceErrors:
    """Turns a problem into `{"error": detail}`, whoever answered it; the status stays."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not (scope["path"] == PREFIX or scope["path"].startswith(f"{PREFIX}/")):
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        problem = bytearray()

        async def translated(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                if Headers(raw=message["headers"]).get("content-type") == MEDIA_TYPE:
                    start = message
                    return
            elif start is not None:
                problem.extend(message.get("body", b""))
                if message.get("more_body"):
                    return
                content = orjson.dumps({"error": orjson.loads(problem)["detail"]})
                headers = MutableHeaders(raw=start["headers"])
                headers["Content-Type"], headers["Content-Length"] = "application/json", str(len(content))
                await send(start)
                start, message = None, {"type": "http.response.body", "body": content}
            await send(message)

        await self._app(scope, receive, translated)
