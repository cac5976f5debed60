"""API keys: compared by digest; without any configured the service is open, which settings allow on loopback only."""

from __future__ import annotations

import hashlib
import hmac

from starlette.datastructures import Headers

OPEN_PATHS = frozenset({"/livez", "/readyz"})


class Keys:
    """The digests of the keys that are valid."""

    def __init__(self, digests: frozenset[str]) -> None:
        self._digests = digests

    def allow(self, path: str, headers: Headers) -> bool:
        """Whether a request for `path` may pass: no keys are configured, the path is open, or its key is known."""
        if not self._digests or path in OPEN_PATHS:
            return True
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return False
        digest = hashlib.sha256(key.strip().encode()).hexdigest()
        return any(hmac.compare_digest(digest, known) for known in self._digests)
