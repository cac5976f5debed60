"""The explorer page: nothing of it is secret, so it needs no key."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import FileResponse

from service.api.routes.health import page_policy
from service.api.web import WEB

router = APIRouter()


@router.get("/", operation_id="explorer", include_in_schema=False)
async def explorer() -> FileResponse:
    """The page; it loads from this service alone and asks it through the public API."""
    return FileResponse(WEB / "index.html", headers={"Content-Security-Policy": page_policy("")})
