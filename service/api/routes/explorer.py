"""The explorer page and its files: nothing of them is secret, so they need no key."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from service.api.routes.health import page_policy

WEB = Path(__file__).parents[2] / "web"
FILES = "/explorer"

router = APIRouter()


@router.get("/", operation_id="explorer", include_in_schema=False)
async def explorer() -> FileResponse:
    """The page; it loads from this service alone and asks it through the public API."""
    return FileResponse(WEB / "index.html", headers={"Content-Security-Policy": page_policy("")})


class WebFiles(StaticFiles):
    """Files that a browser asks about again each time, as a new version has the same names."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers["Cache-Control"] = "no-cache"
        return answer
