"""One connection: deadlines and bounds that uvicorn has not, and problems for its own errors."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.api.guarding.requests import harden
from service.api.problems import STATUS, problem_response
from service.errors import HeadTooLarge, KerascopeError, MalformedBody, QueueFull, TooSlow, UrlTooLong
from service.json_types import Json

# What a caller may go on sending after it has its answer before the connection is cut.
LEFT_OVER_BYTES = 8 * 1024**2
# Whatever is no body: the head of a request, and what stands between and after the pieces of a chunked body.
HEAD_BYTES = 64 * 1024
HEAD_LINES = 100
URL_BYTES = 16 * 1024
# The parser joins what belongs to one line, and is asked about it after so many bytes.
PIECE_BYTES = 16 * 1024
RETRY_AFTER_S = 5
# The fields of an offer of another protocol, which `Connection` names too.
OFFER = (b"upgrade", b"http2-settings")


@dataclass(frozen=True)
class ConnectionLimits:
    """Seconds, bytes a second, and numbers of connections; `per_address` 0 sets no bound. `open` counts them, and
    `refused` hears the status of what is answered here."""

    header_s: float
    body_s: float
    body_rate: int
    write_s: float
    connections: int
    per_address: int
    refused: Callable[[int], None]
    open: Counter[str] = field(default_factory=Counter)


def protocol_with(limits: ConnectionLimits) -> type[asyncio.Protocol]:
    """The protocol class for uvicorn."""
    return type("Connection", (_Connection,), {"limits": limits})


class _Parser(httptools.HttpRequestParser):
    """Takes no offer of another protocol, as a server may (RFC 9110, 7.8), and reads on where httptools would end the
    request before its body: Java's client offers HTTP/2 with all that it sends."""

    def __init__(self, connection: _Connection) -> None:
        super().__init__(connection)
        self.set_dangerous_leniencies(lenient_data_after_close=True)
        self._connection = connection

    @property
    def offered(self) -> bool:
        """Whether what has been read ends with an offer; CONNECT is none."""
        return bool(self.should_upgrade()) and self.get_method() != b"CONNECT"

    def feed_data(self, data: Json) -> None:
        try:
            super().feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            if not self.offered:
                raise
            self._connection.read_without_offer(data[offer.args[0] :])


class _Connection(HttpToolsProtocol):
    limits: ClassVar[ConnectionLimits]
    parser: _Parser

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parser = _Parser(self)
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._address = ""
        self._began = 0.0
        self._received = 0
        self._left_over = 0
        self._whole = True
        self._close_asked = False
        self._in_head = True
        self._no_body = 0
        self._too_large: KerascopeError | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        opened = self.limits.open
        opened[self._address] += 1
        total, own, most = opened.total(), opened[self._address], self.limits.per_address
        if total > self.limits.connections:
            self._refuse(QueueFull(f"{total} connections are open, the most allowed", retry_after_s=RETRY_AFTER_S))
        elif most and own > most:
            self._refuse(QueueFull(f"{own} connections of yours are open", retry_after_s=RETRY_AFTER_S))
        else:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop(self._timer)
        self._stop(self._write_timer)
        self.limits.open[self._address] -= 1
        if self.limits.open[self._address] <= 0:
            del self.limits.open[self._address]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """What is no body is bounded here, before the parser keeps it; trailers are bounded and dropped."""
        for start in range(0, len(data), PIECE_BYTES):
            piece = data[start : start + PIECE_BYTES]
            self._no_body += len(piece)
            super().data_received(piece)
            if self._no_body > HEAD_BYTES:
                self._refuse(_head_too_large())
            if self.transport.is_closing():
                return

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._no_body = True, 0
        self._expect_head()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > URL_BYTES:
            self._end_parsing(UrlTooLong(f"the address has more than {URL_BYTES} bytes; send parameters in the body"))

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return
        super().on_header(name, value)
        if len(self.headers) > HEAD_LINES:
            self._end_parsing(_head_too_large())

    def on_headers_complete(self) -> None:
        if self.parser.offered:
            return
        self._in_head, self._no_body = False, 0
        super().on_headers_complete()
        self._whole, self._close_asked = False, False
        self.cycle.transport = _Lingering(self)  # type: ignore[assignment]
        self._began, self._received, self._left_over = self.loop.time(), 0, 0
        self._stop(self._timer)
        self._timer = self.loop.call_later(self.limits.body_s, self._check_body)

    def on_body(self, body: bytes) -> None:
        self._no_body = 0
        self._received += len(body)
        if self.cycle.response_complete:
            self._left_over += len(body)
            if self._left_over > LEFT_OVER_BYTES:
                self.transport.close()
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.offered:
            return
        self._stop(self._timer)
        super().on_message_complete()
        self._whole, self._no_body = True, 0
        if self._close_asked:
            self.transport.close()

    def read_without_offer(self, rest: bytes) -> None:
        """Reads the request again whose head has been read, without what offers another protocol, and then `rest`."""
        fields = [(name, _other_options(value) if name == b"connection" else value) for name, value in self.headers]
        kept = [name + b": " + value for name, value in fields if name not in OFFER]
        first = b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        self.parser = _Parser(self)
        self.parser.feed_data(b"\r\n".join([first, *kept, b"", b""]) + rest)

    def close_when_whole(self) -> None:
        """Ends the connection once the request has come to its end."""
        self._close_asked = True
        if self._whole:
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stop(self._write_timer)
        size = self.transport.get_write_buffer_size()
        self._write_timer = self.loop.call_later(self.limits.write_s, self._check_writing, size)

    def resume_writing(self) -> None:
        self._stop(self._write_timer)
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        self._refuse(
            self._too_large or MalformedBody(f"this cannot be read as a request of HTTP: {msg[:1].lower()}{msg[1:]}")
        )

    def _end_parsing(self, error: KerascopeError) -> None:
        """The parser passes no error on but its own, in which the answer is sent."""
        self._too_large = error
        raise error

    def _expect_head(self) -> None:
        self._stop(self._timer)
        self._timer = self.loop.call_later(self.limits.header_s, self._head_late)

    def _head_late(self) -> None:
        self._refuse(TooSlow(f"the head of the request did not arrive within {self.limits.header_s:g} s"))

    def _check_body(self) -> None:
        """Late is a body that arrives slower than it must; one that the service does not read yet is not."""
        allowed = self._began + self.limits.body_s + self._received / self.limits.body_rate
        wait = self.limits.body_s if self.flow.read_paused else allowed - self.loop.time()
        if wait > 0:
            self._timer = self.loop.call_later(wait, self._check_body)
            return
        if self.cycle.response_complete:
            self.transport.close()
            return
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        detail = f"{self._received} bytes of the body arrived in {self.loop.time() - self._began:.0f} s"
        self._refuse(TooSlow(f"{detail}; send at least {self.limits.body_rate} bytes a second"))

    def _check_writing(self, size: int) -> None:
        """A caller who has read nothing for so long is cut off; one who reads slowly is not."""
        now = self.transport.get_write_buffer_size()
        if now < size:
            self._write_timer = self.loop.call_later(self.limits.write_s, self._check_writing, now)
        else:
            self.transport.abort()

    def _refuse(self, error: KerascopeError) -> None:
        """Answers with a problem, unless an answer has begun, and ends the connection."""
        self._stop(self._timer)
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            answer = problem_response(error, "")
            harden(answer.headers, shared=False)
            self.limits.refused(answer.status_code)
            head = [name + b": " + value for name, value in [*answer.raw_headers, (b"connection", b"close")]]
            self.transport.write(STATUS_LINE[STATUS[type(error)]] + b"\r\n".join(head) + b"\r\n\r\n" + answer.body)
        self.transport.close()

    @staticmethod
    def _stop(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()


def _other_options(connection: bytes) -> bytes:
    """The options of a `Connection` field but those of an offer."""
    options = (option.strip() for option in connection.split(b","))
    return b", ".join(option for option in options if option.lower() not in OFFER)


def _head_too_large() -> HeadTooLarge:
    return HeadTooLarge(
        f"what comes beside a body may have {HEAD_BYTES} bytes and {HEAD_LINES} lines, and this has more"
    )


class _Lingering:
    """The transport as an answer sees it; closed while the caller still sends, it would be reset, the answer lost."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def write(self, data: bytes) -> None:
        self._connection.transport.write(data)

    def is_closing(self) -> bool:
        return self._connection.transport.is_closing()

    def close(self) -> None:
        self._connection.close_when_whole()
