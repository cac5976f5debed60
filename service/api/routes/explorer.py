"""The explorer page: nothing of it is secret, so it needs no key."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from service.api.deps import ServicesDep
from service.api.routes.health import page_policy
from service.api.web import page

router = APIRouter()


@router.get("/", operation_id="explorer", include_in_schema=False)
async def explorer(services: ServicesDep) -> HTMLResponse:
    """The page; it loads from this service alone and asks it through the public API."""
    text = page(services.settings.max_body_bytes)
    return HTMLResponse(text, headers={"Content-Security-Policy": page_policy("")})
