"""What is listened on, who may call and how often, and what goes in and out."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, field_validator

from service.settings.field import setting


class HttpSettings(BaseModel):
    """Address, names, limits and deadlines of connections and bodies."""

    host: str = setting("127.0.0.1", "address", "Address the service listens on; anything but loopback needs API keys.")
    port: int = setting(8000, "port", "TCP port; 0 takes a free one.", ge=0, le=65535)
    allowed_hosts: str = setting(
        "",
        "list",
        "Comma-separated names that callers may use for the service in `Host`; while it is open only names of loopback "
        "when empty, else any.",
    )
    cors_origins: str = setting(
        "", "list", "Comma-separated origins whose pages may call the service from a browser; none when empty."
    )
    max_connections: int = setting(1024, "connections", "Connections open at a time; more are answered 503.", ge=1)
    max_connections_per_address: int = setting(
        0, "connections", "Connections open at a time from one address; 0 sets no bound, as behind a proxy.", ge=0
    )
    header_timeout_s: float = setting(
        10.0, "s", "Longest a connection may take to send the head of a request.", gt=0, le=600
    )
    body_timeout_s: float = setting(
        30.0,
        "s",
        "Longest a body may take to arrive, beside one second for every `min_body_rate` bytes.",
        gt=0,
        le=3600,
    )
    min_body_rate: int = setting(64 * 1024, "bytes/s", "Slowest that a long body may arrive.", ge=1)
    write_timeout_s: float = setting(60.0, "s", "Longest a caller may leave an answer unread.", gt=0, le=3600)
    max_body_bytes: int = setting(32 * 1024**2, "bytes", "Largest request body.", ge=1024)
    shutdown_grace_s: int = setting(20, "s", "Time that calls in flight have to end after SIGTERM.", ge=0, le=600)
    drain_delay_s: float = setting(
        0.0, "s", "How long calls are still taken after SIGTERM while `/readyz` says 503 already.", ge=0, le=600
    )

    @field_validator("host")
    @classmethod
    def _without_brackets(cls, value: str) -> str:
        """An address of IPv6 may be written as it stands in a URL."""
        return value[1:-1] if value.startswith("[") and value.endswith("]") else value


class AccessSettings(BaseModel):
    """API keys, rates, and hosts that images are fetched from."""

    api_keys: str = setting(
        "", "list", "Comma-separated `sha256:<hex>` of the keys that callers send as `Authorization: Bearer <key>`."
    )
    rate_limit: str = setting(
        "", "rate", "Calls each key may make, such as `600/minute`; more are answered 429. No bound when empty."
    )
    url_hosts: str = setting(
        "", "list", "Comma-separated hosts that images given as a URL are fetched from; none when empty."
    )
    url_timeout_s: float = setting(10.0, "s", "Longest that fetching an image may take.", gt=0, le=60)

    @field_validator("rate_limit")
    @classmethod
    def _rate_is_one(cls, value: str) -> str:
        if value:
            import limits

            try:
                limits.parse(value)
            except ValueError:
                raise ValueError("write it as 600/minute, 10/second or 5000 per 2 hour") from None
        return value


class ImageSettings(BaseModel):
    """Bounds of images and answers."""

    max_pixels: int = setting(50_000_000, "px", "Most pixels of an image, width times height.", ge=1)
    max_side_px: int = setting(16_384, "px", "Longest side of an image.", ge=1)
    pictures_dir: Path | None = setting(
        None,
        "folder",
        "Folders of pictures that callers may name instead of sending them, one a set; none when absent. Links in it "
        "are not followed.",
    )
    max_response_bytes: int = setting(256 * 1024**2, "bytes", "Most bytes of raw arrays in one answer.", ge=1024)
    render_threads: int = setting(2, "threads", "Threads that decode and draw images in the api process.", ge=1, le=64)
