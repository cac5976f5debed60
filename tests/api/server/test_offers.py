"""Offers of another protocol, which Java's client and `curl --http2` make with every request, are not taken up: the
request is answered as if it made none (RFC 9110, 7.8)."""

from __future__ import annotations

import socket
import subprocess
from contextlib import closing

import orjson
import pytest

from tests.api.server.test_connection import connect, rest
from tests.checks import MODEL, PNG, saved, triangle
from tests.conftest import Service

PICTURE = saved(triangle())
PATH = f"{MODEL}/predict"
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
WEBSOCKET = b"connection: keep-alive, upgrade\r\nupgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
LAST = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def posted(offer: bytes, *, chunked: bool = False, expect: bool = False) -> bytes:
    size = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(PICTURE)
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(PICTURE), PICTURE) if chunked else PICTURE
    more = b"Expect: 100-continue\r\n" if expect else b""
    head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n" % PATH.encode()
    return head + offer + more + size + b"\r\n\r\n" + body


def answers(connection: socket.socket) -> list[tuple[int, dict[str, object]]]:
    """Status and JSON of each, to the end of the connection."""
    left, found = rest(connection), []
    while left:
        head, _, left = left.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        size = int(fields.get(b"content-length", b"0"))
        if size:
            found.append((int(head.split()[1]), orjson.loads(left[:size])))
        left = left[size:]
    return found


@pytest.mark.parametrize("offer", [H2C, WEBSOCKET])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("expect", [False, True])
@pytest.mark.parametrize("piece", [1, 100, 10**6])
def test_the_body_is_read_and_the_next_request_too(
    service: Service, offer: bytes, chunked: bool, expect: bool, piece: int
) -> None:
    wanted = service.client.post(PATH, content=PICTURE, headers=PNG).json()
    sent = posted(offer, chunked=chunked, expect=expect)
    for place in range(3):
        with closing(connect(service)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            requests = sent * place + LAST if piece > 1 else sent + LAST
            for start in range(0, len(requests), piece):
                connection.sendall(requests[start : start + piece])
            *found, (status, live) = answers(connection)
        assert (status, live["status"]) == (200, "ok")
        assert len(found) == (place if piece > 1 else 1)
        for status, told in found:
            assert status == 200
            assert told["predictions"] == wanted["predictions"]


def test_what_has_no_body_and_what_is_no_request(service: Service) -> None:
    with closing(connect(service)) as connection:
        connection.sendall(LAST.replace(b"Connection: close\r\n", WEBSOCKET) + LAST)
        assert [(status, told["status"]) for status, told in answers(connection)] == [(200, "ok"), (200, "ok")]
    for start in (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n" + H2C, b"PRI * HTTP/2.0\r\n"):
        with closing(connect(service)) as connection:
            connection.sendall(start + b"\r\n")
            assert rest(connection).startswith(b"HTTP/1.1 40")


def test_the_connection_is_closed_where_that_is_asked_for(service: Service) -> None:
    for options, count in ((b"close, Upgrade", 1), (b"keep-alive, upgrade, HTTP2-Settings", 2)):
        with closing(connect(service)) as connection:
            connection.sendall(posted(H2C.replace(b"Upgrade, HTTP2-Settings", options)) + LAST)
            assert len(answers(connection)) == count


def test_a_head_with_an_offer_has_the_same_bounds(service: Service) -> None:
    many = b"".join(b"X-%d: 1\r\n" % place for place in range(100))
    with closing(connect(service)) as connection:
        connection.sendall(posted(H2C + many))
        ((status, told),) = answers(connection)
    assert (status, told["type"]) == (431, "urn:kerascope:problem:head-too-large")


def test_curl_offers_http_2(service: Service) -> None:
    run = subprocess.run(
        ["curl", "-sv", "--http2", "--data-binary", "@-", "-H", "Content-Type: image/png", service.url + PATH],
        input=PICTURE,
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert b"Upgrade: h2c" in run.stderr
    assert orjson.loads(run.stdout)["predictions"][0]["label"] == "triangle"
