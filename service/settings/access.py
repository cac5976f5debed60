"""Who may call, how often, and what is fetched for them."""

from __future__ import annotations

from pydantic import BaseModel, field_validator

from service.settings.field import setting


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
