"""One API key as it is remembered: its digest and what it may do, never the key itself."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import UTC, datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from service.errors import InvalidParameter
from service.keys.scope import Scope

KEY = re.compile(r"ks_([0-9a-f]{8})_[A-Za-z0-9_-]{43}", re.ASCII)
_SPAN = re.compile(r"([1-9][0-9]{0,4})([mhd])", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Key(BaseModel):
    """`digest` is the SHA-256 of the whole key in hex; times are in UTC; without `expires` it is valid for good."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[0-9a-f]{8}$")
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    name: str = Field(min_length=1, max_length=100)
    scopes: frozenset[Scope] = Field(min_length=1)
    created: AwareDatetime
    expires: AwareDatetime | None = None
    revoked: AwareDatetime | None = None

    def state(self, now: datetime) -> str:
        """`valid`, `expired` or `revoked`."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "valid"


def digest_of(key: str) -> str:
    """The SHA-256 of a key in hex."""
    return hashlib.sha256(key.encode()).hexdigest()


def id_of(key: str) -> str | None:
    """The public part of a key; None for what is none."""
    found = KEY.fullmatch(key)
    return found[1] if found else None


def new_key(name: str, scopes: frozenset[Scope], valid_for: timedelta | None = None) -> tuple[str, Key]:
    """A fresh key and what is remembered of it. Raises InvalidParameter for a name that cannot be, or no scope."""
    if not name.isprintable() or not 1 <= len(name.strip()) <= 100:
        raise InvalidParameter(f"the name {name[:100]!r} of a key must be 1 to 100 printable characters")
    if not scopes:
        raise InvalidParameter(f"a key needs at least one scope: {', '.join(Scope)}")
    key_id, now = secrets.token_hex(4), datetime.now(UTC).replace(microsecond=0)
    key = f"ks_{key_id}_{secrets.token_urlsafe(32)}"
    expires = now + valid_for if valid_for else None
    return key, Key(id=key_id, digest=digest_of(key), name=name, scopes=scopes, created=now, expires=expires)


def span(text: str) -> timedelta:
    """`"90d"`, `"12h"` or `"30m"` as a time span. Raises InvalidParameter."""
    found = _SPAN.fullmatch(text)
    if not found:
        raise InvalidParameter(f"the time {text[:40]!r} must be a number and a unit, such as 90d, 12h or 30m")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
