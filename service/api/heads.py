"""HEAD on every route of a GET: the same answer, with the same headers, of which the server sends no body."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Heads:
    """Right before the routes, so that whatever stands around them still sees a HEAD."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        ended = False

        async def first_only(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.body":
                if ended:
                    return
                ended, message = True, {**message, "more_body": False}
            await send(message)

        async def until_ended() -> Message:
            """Who streams without an end, such as the events of a job, is told that nobody listens."""
            return {"type": "http.disconnect"} if ended else await receive()

        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, until_ended, first_only)
        finally:
            # Which route it was, for the log and the metrics.
            scope.update({**asked, "method": "HEAD"})
