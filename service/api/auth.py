"""API keys: compared by digest; without any configured the service is open, which settings allow on loopback only."""

from __future__ import annotations

import hashlib
import hmac

from starlette.datastructures import Headers
from starlette.requests import Request

NOBODY = "open"
OWNER_DIGITS = 32
OPEN_PATHS = frozenset({"/livez", "/readyz"})


class Keys:
    """The digests of the keys that are valid."""

    def __init__(self, digests: frozenset[str]) -> None:
        self._digests = digests

    def caller(self, path: str, headers: Headers) -> str | None:
        """Who asks for `path`: a name that follows from the key, `NOBODY` where none is needed; None to refuse."""
        if not self._digests or path in OPEN_PATHS:
            return NOBODY
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        digest = hashlib.sha256(key.strip().encode()).hexdigest()
        known = any(hmac.compare_digest(digest, each) for each in self._digests)
        return f"key-{digest[:OWNER_DIGITS]}" if known else None


def owner_of(request: Request) -> str:
    """Whose jobs this request may see."""
    return str(request.scope["state"]["caller"])
