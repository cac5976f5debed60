"""The files of the explorer page, as a browser gets them."""

from __future__ import annotations

from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

WEB = Path(__file__).parents[1] / "web"
FILES = "/explorer"


class WebFiles(StaticFiles):
    """A browser asks about them again each time, as a new version has the same names."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers["Cache-Control"] = "no-cache"
        return answer


def page(max_body_bytes: int) -> str:
    """The page itself, which is told the largest body that the service takes, in bytes."""
    return (WEB / "index.html").read_text(encoding="utf-8").replace("{{max_body_bytes}}", str(max_body_bytes))
