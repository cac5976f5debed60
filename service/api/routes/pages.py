"""The pages: the explorer, and the documentation of the API. Nothing of them is secret, so they need no key."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from fastapi import Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from service.api.answering.services import ServicesDep
from service.api.guarding.scopes import GuardedRouter
from service.json_types import JsonObject

WEB = Path(__file__).parents[2] / "web"
FILES = "/explorer"
DOCS_ASSETS = "/docs/assets"


class WebFiles(StaticFiles):
    """A browser asks about them again each time, as a new version has the same names."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers["Cache-Control"] = "no-cache"
        return answer


def page(max_body_bytes: int) -> str:
    """The page itself, which is told the largest body that the service takes, in bytes."""
    return (WEB / "index.html").read_text(encoding="utf-8").replace("{{max_body_bytes}}", str(max_body_bytes))


router = GuardedRouter()


@router.get("/", operation_id="explorer", include_in_schema=False)
async def explorer(services: ServicesDep) -> HTMLResponse:
    """The page; it loads from this service alone and asks it through the public API."""
    text = page(services.settings.max_body_bytes)
    return HTMLResponse(text, headers={"Content-Security-Policy": page_policy("")})


@router.get("/docs", operation_id="docs", include_in_schema=False)
async def docs() -> HTMLResponse:
    """Swagger UI, from this service and nowhere else."""
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="Kerascope",
        swagger_js_url=f"{DOCS_ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{DOCS_ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{DOCS_ASSETS}/favicon-32x32.png",
    )
    page.headers["Content-Security-Policy"] = page_policy(bytes(page.body).decode())
    return page


@router.get("/openapi.json", operation_id="openapi", include_in_schema=False)
async def openapi(request: Request) -> JsonObject:
    document: JsonObject = request.app.openapi()
    return document


def page_policy(page: str) -> str:
    """A policy under which a page runs its own inline scripts, each by its hash, and loads from this service alone."""
    digests = [hashlib.sha256(script.encode()).digest() for script in re.findall("<script>(.*?)</script>", page, re.S)]
    hashes = "".join(f" 'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'self'; script-src 'self'{hashes}; style-src 'self'; img-src 'self' data: blob:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
