"""From where, and under which names, the service is called: no page elsewhere may reach it."""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.guarding.keys import Keys, is_open
from service.api.problems import problem_response
from service.errors import NotAllowed, UnknownHost

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::[0-9]{1,5})?", re.ASCII)


class Hosts:
    """`names` are those that callers may use; without any, only loopback's while the service is open."""

    def __init__(self, names: list[str], listens_on: str) -> None:
        self._names = frozenset(name.lower() for name in names)
        own = f"[{listens_on}]" if ":" in listens_on else listens_on
        self._loopback = LOOPBACK | {own.lower()}

    def check(self, headers: Headers, *, is_open: bool) -> None:
        """Raises UnknownHost for a `Host` that is missing, doubled, malformed or none of the service's names."""
        given = headers.getlist("host")
        found = _HOST.fullmatch(given[0]) if len(given) == 1 else None
        if found is None:
            raise UnknownHost("the request must have one header Host, a name or address with or without a port")
        names = self._names or (self._loopback if is_open else frozenset())
        if names and found[1].lower() not in names:
            raise UnknownHost(
                f"{found[1][:100]!r} is no name of this service; the setting allowed_hosts says which it has"
            )


ANY = "*"
# What a browser says of a request of the service's own pages, and of an address that a person typed.
_OWN_SITES = frozenset({"same-origin", "none"})
_PORTS = {"http": "80", "https": "443"}
_ORIGIN = re.compile(r"(https?)://([^/?#@\s]+)", re.ASCII)
_AUTHORITY = re.compile(r"(\[[^\]]*\]|[^:]*)(?::([0-9]*))?", re.ASCII)
# Reads that neither compute nor load anything: their answers are kept from the page by the browser.
_LIGHT = re.compile(
    r"/metrics|/v1/(?:methods|jobs(?:/[^/]+)?|models(?:/[^/]+(?:/versions)?)?)"
    r"|/v2(?:/models/[^/]+(?:/versions/[^/]+)?/ready)?"
)


class ForeignPages:
    """While the service is open, answers 403 to a browser's request for the page of another origin, unless that origin
    is one of `origins` or the request is a public read.

    A page can send such a request without asking anybody (a form, an image, `fetch` without CORS), and then the
    service has done its work, even though the page may not read the answer. A public read is GET or HEAD of what needs
    no key, or of what is told without loading a model; OPTIONS, which asks what is allowed, is one everywhere. With
    keys nothing is refused here: a page has none.
    """

    def __init__(self, app: ASGIApp, keys: Keys, origins: frozenset[str]) -> None:
        self._app = app
        self._keys = keys
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _is_public(scope) and self._keys.open():
            foreign = foreign_page(Headers(scope=scope), scope["scheme"], self._origins)
            if foreign:
                error = NotAllowed(
                    f"this service is open, and {foreign} may not use it from a browser; the setting cors_origins names"
                    " the origins that may"
                )
                await problem_response(error, scope["state"]["request_id"])(scope, receive, send)
                return
        await self._app(scope, receive, send)


def foreign_page(headers: Headers, scheme: str, allowed: frozenset[str]) -> str:
    """Names in words the page of another origin that a request is sent for; empty for any other request."""
    origins, sites = headers.getlist("origin"), headers.getlist("sec-fetch-site")
    if origins and all(origin in allowed or ANY in allowed for origin in origins):
        return ""
    own_site = sites == ["same-origin"]
    for origin in origins:
        if not _is_own(origin, headers.get("host", ""), scheme, behind_tls=own_site):
            return f"a page of {origin[:100]!r}"
    return "" if _OWN_SITES.issuperset(sites) else "a page of another origin"


def _is_own(origin: str, host: str, scheme: str, *, behind_tls: bool) -> bool:
    """Whether it is the origin of the service's own pages; `null`, that of a sandboxed frame or a file, never is.

    What ends TLS before the service makes its pages https, and only the browser knows that.
    """
    found = _ORIGIN.fullmatch(origin.lower())
    schemes = {scheme, "https"} if behind_tls else {scheme}
    if found is None or found[1] not in schemes:
        return False
    return _authority(found[2], found[1]) == _authority(host.lower(), found[1])


def _authority(text: str, scheme: str) -> tuple[str, str] | None:
    """Name and port."""
    found = _AUTHORITY.fullmatch(text)
    return (found[1], found[2] or _PORTS[scheme]) if found else None


def _is_public(scope: Scope) -> bool:
    method, path = scope["method"], scope["path"]
    if method == "OPTIONS":
        return True
    if method not in ("GET", "HEAD"):
        return False
    if is_open(path):
        return True
    # What a query asks beside, such as what is valid for a model, may load it.
    return _LIGHT.fullmatch(path) is not None and not (path == "/v1/methods" and scope["query_string"])
