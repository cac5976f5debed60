"""Around every request: its ID, its log line, the name it calls, its key, and headers that browsers need."""

from __future__ import annotations

import asyncio
import re
import time
import uuid

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.guarding.keys import LOOK_AGAIN_S, PROBES, Keys, is_open, refused_since, still_allowed
from service.api.guarding.origins import Hosts
from service.api.problems import internal_error, problem_response
from service.errors import EngineUnavailable, NotAuthenticated, UnknownHost
from service.metrics.calls import NOT_ROUTED, CallMetrics

log = structlog.get_logger(__name__)

QUIET_PATHS = PROBES | {"/metrics"}
# What is logged of these too: somebody without the key for it.
NOTABLE = (401, 403)
RETRY_AFTER_S = 5
LONGEST_ID = 128
NOTHING = "default-src 'none'; frame-ancestors 'none'"
_REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,128}\Z")


class RequestContext:
    """Sets `X-Request-Id` (the caller's own where it is well-formed), logs the outcome, checks the `Host`.

    What no handler took is answered here as 500: past this class the answer would have no ID and the log line neither.
    """

    def __init__(self, app: ASGIApp, keys: Keys, hosts: Hosts, origins: frozenset[str]) -> None:
        self._app = app
        self._keys = keys
        self._hosts = hosts
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.match(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.bind_contextvars(request_id=request_id)
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                added = MutableHeaders(raw=message.setdefault("headers", []))
                added["X-Request-Id"] = request_id
                harden(added, shared=headers.get("origin") in self._origins)
            await send(message)

        try:
            self._hosts.check(headers, is_open=self._keys.open())
            await self._app(scope, receive, send_with_headers)
        except UnknownHost as error:
            await problem_response(error, request_id)(scope, receive, send_with_headers)
        except asyncio.CancelledError:
            # The grace time is over: what is not answered by now is told so.
            if not status:
                stopping = EngineUnavailable("the service is being stopped", retry_after_s=RETRY_AFTER_S)
                await problem_response(stopping, request_id)(scope, receive, send_with_headers)
            raise
        except Exception:
            log.exception("request failed")
            if status:
                raise
            await internal_error(request_id)(scope, receive, send_with_headers)
        finally:
            if scope["path"] not in QUIET_PATHS or status in NOTABLE:
                duration = round((time.perf_counter() - started) * 1e3, 1)
                outcome = {"method": scope["method"], "path": scope["path"], "status": status, "duration_ms": duration}
                log.info("request", **outcome, **named(scope))
            structlog.contextvars.unbind_contextvars("request_id")


class Authentication:
    """Puts the `Caller` into the request's state, or refuses, be it while the request waits. Within CORS: a preflight
    brings no key.
    """

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        caller = self._keys.caller(scope["path"], headers)
        if caller is None:
            error = NotAuthenticated("send one of the service's keys as 'Authorization: Bearer <key>'")
            await problem_response(error, scope["state"]["request_id"])(scope, receive, send)
            return
        scope["state"]["caller"] = caller
        if is_open(scope["path"]):
            await self._app(scope, receive, send)
        else:
            scope["state"]["still_allowed"] = lambda: self._keys.caller(scope["path"], headers) == caller
            await self._as_long_as_allowed(scope, receive, send)

    async def _as_long_as_allowed(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ends what waits, computes or arrives for a key that is revoked; an answer that has begun ends itself."""
        loop = asyncio.get_running_loop()
        started = False
        timer: asyncio.TimerHandle | None = None

        async def noting(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        def look(bound: asyncio.Timeout) -> None:
            nonlocal timer
            if started:
                return
            if still_allowed(scope):
                timer = loop.call_later(LOOK_AGAIN_S, look, bound)
            else:
                bound.reschedule(loop.time())

        try:
            async with asyncio.timeout(None) as bound:
                timer = loop.call_later(LOOK_AGAIN_S, look, bound)
                try:
                    await self._app(scope, receive, noting)
                finally:
                    if timer:
                        timer.cancel()
        except TimeoutError:
            if started or not bound.expired():
                raise
            answer = problem_response(refused_since(), scope["state"]["request_id"])
            answer.headers["Connection"] = "close"
            await answer(scope, receive, send)


def named(scope: Scope) -> dict[str, str]:
    """The model and the job that the path names, as far as an ID may be long."""
    given = scope.get("path_params") or {}
    return {name: given[f"{name}_id"][:LONGEST_ID] for name in ("model", "job") if f"{name}_id" in given}


def harden(headers: MutableHeaders, *, shared: bool) -> None:
    """What a browser may do with an answer; `shared` with the page of another origin."""
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    headers["Cross-Origin-Resource-Policy"] = "cross-origin" if shared else "same-origin"
    headers.setdefault("Content-Security-Policy", NOTHING)
    # An answer with a tag may be kept by the caller alone, and only to ask whether it is still the same.
    headers.setdefault("Cache-Control", "private, no-cache" if "etag" in headers else "no-store")


# What nobody was there to hear.
NO_ANSWER = 499


class Measuring:
    """Outside of everything else, so that what is refused on the way in counts too."""

    def __init__(self, app: ASGIApp, metrics: CallMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = NO_ANSWER

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._metrics.in_flight.track_inprogress():
            try:
                await self._app(scope, receive, noting)
            finally:
                self._metrics.answered(template_of(scope), scope["method"], status, time.perf_counter() - started)


def template_of(scope: Scope) -> str:
    """`/v1/models/{model_id}/cam`; NOT_ROUTED for a path that is no route's, and for what was refused before."""
    route = scope.get("route")
    return str(getattr(route, "path", None) or scope.get("state", {}).get("template") or NOT_ROUTED)
