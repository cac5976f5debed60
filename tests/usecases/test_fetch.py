"""I8: an image given as a URL comes from an allowed host at a public address, or not at all; nothing else is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from service.errors import BodyTooLarge, UnfetchableImage
from service.usecases.fetch import Fetcher, is_public

HOST = "images.example.org"
PUBLIC = "93.184.215.14"
PNG = {"content-type": "image/png"}
Handler = Callable[[httpx.Request], httpx.Response]


class Network:
    """A resolver and a transport that remember what was asked of them."""

    def __init__(self, answers: list[list[str]], handler: Handler | None = None) -> None:
        self.answers = answers
        self.asked: list[tuple[str, int]] = []
        self.requests: list[httpx.Request] = []
        self._handler = handler or (lambda request: httpx.Response(200, headers=PNG, content=b"picture"))

    async def resolve(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        return self.answers[min(len(self.asked), len(self.answers)) - 1]

    def transport(self) -> httpx.AsyncBaseTransport:
        def handle(request: httpx.Request) -> httpx.Response:
            self.requests.append(request)
            return self._handler(request)

        return httpx.MockTransport(handle)


def fetch(url: str, network: Network, *, hosts: tuple[str, ...] = (HOST,), timeout_s: float = 5) -> bytes:
    fetcher = Fetcher(
        hosts, timeout_s=timeout_s, max_bytes=1000, resolve=network.resolve, transport=network.transport()
    )
    return asyncio.run(fetcher(url))


@pytest.mark.parametrize(("scheme", "port"), [("https", 443), ("http", 80)])
def test_an_image_is_fetched_from_the_address_that_was_looked_at(scheme: str, port: int) -> None:
    network = Network([[PUBLIC], ["127.0.0.1"]])
    assert fetch(f"{scheme}://{HOST}/a/cat.png?size=2", network) == b"picture"
    (request,) = network.requests
    assert network.asked == [(HOST, port)], "asked once, so that there is no second answer to be led by"
    assert str(request.url) == f"{scheme}://{PUBLIC}/a/cat.png?size=2"
    assert (request.headers["host"], request.extensions["sni_hostname"]) == (HOST, HOST)
    assert request.headers["accept-encoding"] == "identity"
    assert not {"authorization", "cookie"} & set(request.headers)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.8.8.8", "169.254.169.254",
        "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1",
        "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::169.254.169.254", "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:a9fe:a9fe::", "2002:7f00:1::", "3fff::1",
        "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "no address", "",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public(address: str) -> None:
    assert not is_public(address)
    for found in ([address], [PUBLIC, address], [address, PUBLIC]):
        network = Network([found])
        with pytest.raises(UnfetchableImage, match=f"^the image at '{HOST}' could not be fetched$"):
            fetch(f"https://{HOST}/cat.png", network)
        assert network.requests == [], "not even a connection"


@pytest.mark.parametrize("address", [PUBLIC, "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001:82a::200e"])
def test_a_public_address(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example.org/cat.png", "https://images.example.org.evil.test/", "https://localhost/cat.png",
        "https://127.0.0.1/", "https://[::1]/", "https://2852039166/", "https://0xa9fea9fe/", "https://127.1/",
        "https://0251.0376.0251.0376/", f"https://{HOST}./cat.png", f"https://user@{HOST}/", f"https://u:p@{HOST}/",
        f"https://{HOST}:8080/", f"http://{HOST}:443/", f"ftp://{HOST}/cat.png", "file:///etc/passwd",
        f"https://{HOST}\\@1.1.1.1/", f"https://{HOST}%2eevil.test/", f"https://{HOST}/\r\nHost: x", f"//{HOST}/x",
        f"https://evil.test#@{HOST}/", f"https://{HOST} /", "https://", "", "https:///x", "gopher://x/", f"https://{HOST}/ü",
        "data:image/png;base64,AAAA", "https://[", "https://xn--/", f"https://{HOST}/" + "a" * 3000,
    ],
)  # fmt: skip
def test_a_url_that_is_none_of_an_allowed_host(url: str) -> None:
    network = Network([[PUBLIC]])
    with pytest.raises(UnfetchableImage):
        fetch(url, network)
    assert (network.asked, network.requests) == ([], [])


def test_hosts_are_compared_without_regard_to_case() -> None:
    assert fetch(f"https://{HOST.upper()}/cat.png", Network([[PUBLIC]])) == b"picture"


def test_off_unless_there_are_hosts() -> None:
    network = Network([[PUBLIC]])
    with pytest.raises(UnfetchableImage, match="fetches no URLs; send the image itself"):
        fetch(f"https://{HOST}/cat.png", network, hosts=())
    assert network.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(302, headers={"location": "http://169.254.169.254/latest/meta-data"}),
        httpx.Response(404, headers=PNG, content=b"secret"),
        httpx.Response(200, headers={"content-type": "text/html"}, content=b"secret"),
        httpx.Response(200, headers={"content-type": "image/svg+xml"}, content=b"<svg/>"),
        httpx.Response(200, content=b"secret"),
    ],
)
def test_what_is_no_image(answer: httpx.Response) -> None:
    network = Network([[PUBLIC]], lambda request: answer)
    with pytest.raises(UnfetchableImage, match="is no image of image/") as caught:
        fetch(f"https://{HOST}/cat.png", network)
    assert "secret" not in caught.value.detail
    assert len(network.requests) == 1, "a redirect is not followed"


def test_what_is_encoded_might_be_a_bomb() -> None:
    network = Network([[PUBLIC]], lambda request: httpx.Response(200, headers=PNG | {"content-encoding": "gzip"}))
    with pytest.raises(UnfetchableImage, match="is no image"):
        fetch(f"https://{HOST}/cat.png", network)


def test_a_body_without_an_end() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 400
            yield b"x" * 400

    network = Network([[PUBLIC]], lambda request: httpx.Response(200, headers=PNG, content=endless()))
    with pytest.raises(BodyTooLarge, match="larger than 1000 bytes"):
        fetch(f"https://{HOST}/cat.png", network)
    assert sent <= 1600


def test_a_body_that_does_not_come() -> None:
    async def never() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(60)

    network = Network([[PUBLIC]], lambda request: httpx.Response(200, headers=PNG, content=never()))
    with pytest.raises(UnfetchableImage, match="could not be fetched"):
        fetch(f"https://{HOST}/cat.png", network, timeout_s=0.3)


@pytest.mark.parametrize("failure", [httpx.ConnectError("refused"), httpx.ConnectTimeout("late"), OSError("no route")])
def test_why_a_connection_failed_is_not_told(failure: Exception) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise failure

    with pytest.raises(UnfetchableImage, match=f"^the image at '{HOST}' could not be fetched$"):
        fetch(f"https://{HOST}/cat.png", Network([[PUBLIC]], fail))


def test_a_name_that_has_no_address() -> None:
    with pytest.raises(UnfetchableImage, match="could not be fetched"):
        fetch(f"https://{HOST}/cat.png", Network([[]]))
