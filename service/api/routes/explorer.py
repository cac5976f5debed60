"""The explorer page and its files, as a browser gets them."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from service.api.answering.services import ServicesDep
from service.api.routes.health import page_policy

WEB = Path(__file__).parents[2] / "web"
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


router = APIRouter()


@router.get("/", operation_id="explorer", include_in_schema=False)
async def explorer(services: ServicesDep) -> HTMLResponse:
    """The page; it loads from this service alone and asks it through the public API."""
    text = page(services.settings.max_body_bytes)
    return HTMLResponse(text, headers={"Content-Security-Policy": page_policy("")})
