"""Images given as a URL: fetched from hosts the operator allows, from addresses of the public internet alone.

Every address a name stands for must be public, and the one that was looked at is the one that is connected to, so that
a name cannot change its mind in between. No redirects, no proxies, no cookies; the caller never learns why a
connection failed, so that nobody scans a network through the service.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING

from service.errors import BodyTooLarge, UnfetchableImage
from service.imaging.formats import MEDIA_TYPES
from service.json_types import JsonObject

if TYPE_CHECKING:
    import httpx

PORTS = {"https": 443, "http": 80}
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# Beyond what `ipaddress` calls global: 6to4, Teredo, NAT64, documentation and benchmark ranges, multicast.
NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "224.0.0.0/3",
        "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
    )
)  # fmt: skip
ONLY_V6 = ipaddress.ip_network("2000::/3")
_HOST = re.compile(r"^(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$")

Resolve = Callable[[str, int], Awaitable[list[str]]]


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class Fetcher:
    """Fetches images. `hosts` are lower-case names; a transport other than the real one is for tests."""

    def __init__(
        self,
        hosts: Collection[str],
        *,
        timeout_s: float,
        max_bytes: int,
        resolve: Resolve = resolve,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._hosts = frozenset(hosts)
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._resolve = resolve
        self._transport = transport

    async def __call__(self, url: str) -> bytes:
        """The bytes of an image. Raises UnfetchableImage, or BodyTooLarge."""
        parsed = self._checked(url)
        # Only here: most services fetch nothing, and need not hold it in memory.
        import httpx

        try:
            async with asyncio.timeout(self._timeout_s):
                address = await self._public_address(parsed)
                return await self._download(parsed, address)
        except (httpx.HTTPError, OSError, TimeoutError):
            raise UnfetchableImage(f"the image at {parsed.host!r} could not be fetched") from None

    def _checked(self, url: str) -> httpx.URL:
        if not self._hosts:
            raise UnfetchableImage("this service fetches no URLs; send the image itself, base64-encoded")
        if len(url) > 2048 or not url.isascii() or re.search(r"[\x00-\x20\\\x7f]", url):
            raise UnfetchableImage("the URL has blanks, backslashes or other than printable ASCII, or is too long")
        import httpx

        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL:
            raise UnfetchableImage("the URL cannot be read; write it as https://host/path") from None
        if parsed.scheme not in PORTS or parsed.userinfo or parsed.port not in (None, PORTS[parsed.scheme]):
            raise UnfetchableImage("the URL must be https://host/path or http://host/path, without a user or a port")
        host = parsed.raw_host.decode("ascii")
        if not _HOST.match(host) or host not in self._hosts:
            allowed = ", ".join(sorted(self._hosts))
            raise UnfetchableImage(f"images are not fetched from {host[:80]!r}; they are from {allowed}")
        return parsed

    async def _public_address(self, url: httpx.URL) -> str:
        found = await self._resolve(url.host, PORTS[url.scheme])
        if not found or not all(is_public(text) for text in found):
            raise OSError("not a public address")
        return found[0]

    async def _download(self, url: httpx.URL, address: str) -> bytes:
        import httpx

        headers = {"Host": url.host, "Accept": ", ".join(MEDIA_TYPES), "Accept-Encoding": "identity"}
        extensions: JsonObject = {"sni_hostname": url.host}
        pinned = url.copy_with(host=address)
        async with (
            httpx.AsyncClient(transport=self._transport, trust_env=False, timeout=self._timeout_s) as client,
            client.stream("GET", pinned, headers=headers, extensions=extensions) as answer,
        ):
            media_type = answer.headers.get("content-type", "").split(";")[0].strip().lower()
            if answer.status_code != 200 or media_type not in MEDIA_TYPES or "content-encoding" in answer.headers:
                raise UnfetchableImage(f"what {url.host!r} answers is no image of {', '.join(MEDIA_TYPES)}")
            received = bytearray()
            async for block in answer.aiter_bytes():
                received += block
                if len(received) > self._max_bytes:
                    raise BodyTooLarge(f"the image at {url.host!r} is larger than {self._max_bytes} bytes")
        return bytes(received)


def is_public(text: str) -> bool:
    """Whether an address belongs to the public internet, whatever it is mapped or tunnelled through."""
    try:
        address: Address = ipaddress.ip_address(text.split("%")[0])
    except ValueError:
        return False
    if address.version == 6 and address not in ONLY_V6:
        return False
    ranges = [network for network in NEVER if network.version == address.version]
    return address.is_global and not any(address in network for network in ranges)
