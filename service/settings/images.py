"""Images in, answers out."""

from __future__ import annotations

from pydantic import BaseModel

from service.settings.field import setting


class ImageSettings(BaseModel):
    """Bounds of images and answers."""

    max_pixels: int = setting(50_000_000, "px", "Most pixels of an image, width times height.", ge=1)
    max_side_px: int = setting(16_384, "px", "Longest side of an image.", ge=1)
    max_response_bytes: int = setting(256 * 1024**2, "bytes", "Most bytes of raw arrays in one answer.", ge=1024)
    render_threads: int = setting(2, "threads", "Threads that decode and draw images in the api process.", ge=1, le=64)
