"""What a caller prefers (RFC 7240), and the key that makes a repeated submission the same one."""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.datastructures import Headers

from service.errors import InvalidParameter

_KEY = re.compile(r"^[\x21-\x7e]{1,255}$")


@dataclass(frozen=True)
class Prefer:
    """`respond_async`: as a background job; `wait_s`: wait so long for it, None when not said."""

    respond_async: bool = False
    wait_s: int | None = None

    def applied(self, *, finished: bool) -> str:
        """The `Preference-Applied` header of an answer."""
        names = ["respond-async"] if self.respond_async and not finished else []
        return ", ".join(names + ([f"wait={self.wait_s}"] if self.wait_s is not None else []))


def read(headers: Headers) -> Prefer:
    """Preferences that are unknown or cannot be read are left aside, as the RFC asks."""
    wishes = [part.strip().lower() for line in headers.getlist("prefer") for part in re.split("[,;]", line)]
    waits = [match[1] for wish in wishes if (match := re.fullmatch(r'wait\s*=\s*"?(\d{1,6})"?', wish))]
    return Prefer("respond-async" in wishes, int(waits[0]) if waits else None)


def idempotency_key(headers: Headers) -> str | None:
    """Raises InvalidParameter for a key that is empty, too long, or has other than printable characters."""
    key = headers.get("idempotency-key")
    if key is not None and not _KEY.match(key):
        raise InvalidParameter("the header Idempotency-Key must have 1 to 255 printable ASCII characters, no blanks")
    return key
