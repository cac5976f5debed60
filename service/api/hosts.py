"""By which names the service is called: a page elsewhere must not reach it under a name of its own."""

from __future__ import annotations

import re

from starlette.datastructures import Headers

from service.errors import UnknownHost

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
