"""An answer that is a file in pieces: sent one after another, as fast as the caller reads them."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Response
from starlette.types import Receive, Scope, Send

from service.usecases.pieces import Pieces


class PiecesResponse(Response):
    """The answer; its length is known, so that it is no chunked body."""

    def __init__(self, pieces: Pieces, headers: Mapping[str, str], media_type: str) -> None:
        super().__init__(headers={**headers, "Content-Length": str(pieces.size)}, media_type=media_type)
        self.pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for piece in self.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def length_of(response: Response) -> int:
    return response.pieces.size if isinstance(response, PiecesResponse) else len(response.body)


def body_of(response: Response) -> bytes | memoryview:
    """The whole body, joined where it is in pieces."""
    return response.pieces.joined() if isinstance(response, PiecesResponse) else response.body
