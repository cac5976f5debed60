"""Who asks, and what they may: by a stored key, a digest of the settings, or nobody where the service is open."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import cast

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Scope as ScopeOfRequest

from service.errors import NotAllowed, NotAuthenticated
from service.keys.key import digest_of
from service.keys.scope import EVERY, Scope, implied
from service.keys.store import KeyStore

NOBODY = "open"
OWNER_DIGITS = 32
# How often a request that waits is looked at again: its key may have been revoked, or expire.
LOOK_AGAIN_S = 1.0
PROBES = frozenset({"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"})
# Besides, pages that hold nothing but what is published with the source.
OPEN_PATHS = PROBES | {"/", "/docs", "/openapi.json"}
OPEN_FOLDERS = ("/explorer/", "/docs/assets/")


@dataclass(frozen=True)
class Caller:
    """`owner` names the key, the same after a restart; `sees_all` is whether others' jobs exist for it too."""

    owner: str
    scopes: frozenset[Scope]
    sees_all: bool = False

    def needs(self, *any_of: Scope) -> None:
        """Raises NotAllowed where the caller has none of these scopes."""
        if not self.scopes.intersection(any_of):
            wanted = " or ".join(repr(str(scope)) for scope in any_of)
            has = ", ".join(repr(str(scope)) for scope in sorted(self.scopes))
            raise NotAllowed(f"that needs a key with the scope {wanted}; this one has {has}")


class Keys:
    """The keys that are valid; `may_open` is whether the service is open to everybody without any."""

    def __init__(self, digests: frozenset[str], store: KeyStore, *, may_open: bool = True) -> None:
        self._digests = digests
        self._store = store
        self._may_open = may_open

    def open(self) -> bool:
        """Whether no key is needed; looked at anew each time, as the first key may be made at any moment."""
        return self._may_open and not self._digests and not self._store.guarded()

    def caller(self, path: str, headers: Headers) -> Caller | None:
        """Who asks for `path`, None to refuse."""
        if is_open(path) or self.open():
            return Caller(NOBODY, EVERY)
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or len(headers.getlist("authorization")) > 1:
            return None
        given = given.strip()
        if key := self._store.find(given):
            return Caller(f"key-{key.id}", implied(key.scopes), Scope.ADMIN in key.scopes)
        digest = digest_of(given)
        known = any(hmac.compare_digest(digest, each) for each in self._digests)
        return Caller(f"key-{digest[:OWNER_DIGITS]}", EVERY) if known else None


def is_open(path: str) -> bool:
    """Whether nobody needs a key for it."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)


def caller_of(request: Request) -> Caller:
    """Who asks, for routes that look closer than the table of scopes."""
    return cast(Caller, request.scope["state"]["caller"])


def still_allowed(scope: ScopeOfRequest) -> bool:
    """Whether the key that the request was let in with is still what it was."""
    return cast(bool, scope["state"]["still_allowed"]())


def refused_since() -> NotAuthenticated:
    """What a request is told whose key is revoked, or expires, while it waits."""
    return NotAuthenticated("the key was revoked, or has expired, since this request came")


def owner_of(request: Request) -> str:
    """Says whose a thing is that this request makes."""
    return caller_of(request).owner


def seen_by(request: Request) -> str | None:
    """Says whose jobs this request may see; None for everybody's."""
    caller = caller_of(request)
    return None if caller.sees_all else caller.owner
