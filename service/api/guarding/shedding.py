"""Calls that there is no room for, turned away before anything is read or routed: that is what overload is made of."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.guarding.deadlines import place_of
from service.api.problems import problem_response
from service.api.reading import prefer
from service.engine.host.pool import EnginePool
from service.errors import KerascopeError
from service.explainers import EXPLAINERS
from service.explainers.base import Photograph
from service.models.files.library import Library

_AT_ONCE = [
    explainer.name
    for explainer in EXPLAINERS
    if explainer.photograph is not Photograph.NONE and not explainer.cost.as_job
]
_CALLS = (
    re.compile(rf"^/v1/models/(?P<model_id>[^/:]+)(?:/(?:{'|'.join([*_AT_ONCE, 'explain'])})|:predict|:explain)$"),
    re.compile(r"^/v2/models/(?P<model_id>[^/]+)(?:/versions/(?P<version>[^/]+))?/infer$"),
)


class Shedding:
    """Answers 503 or 429 where a call would find no place in its queue; a background job waits in another."""

    def __init__(self, app: ASGIApp, engines: EnginePool, library: Library, deadline_s: float) -> None:
        self._app = app
        self._library = library
        self._engines = engines
        self._deadline_s = deadline_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match = _call(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if match:
            request = Request(scope)
            scope["state"]["template"] = _template(match)
            try:
                if not prefer.read(request.headers).respond_async:
                    place = place_of(request, self._deadline_s)
                    self._engines.require_room(self._called(match), 1, place)
            except KerascopeError as error:
                await problem_response(error, scope["state"]["request_id"])(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _called(self, match: re.Match[str]) -> str:
        """The model's own ID, by which the call finds its queue; of one that is not, which is found out later, what was
        written."""
        given = match.groupdict()
        written = f"{given['model_id']}@{given['version']}" if given.get("version") else given["model_id"]
        try:
            return self._library.get(written).id
        except KerascopeError:
            return written


def _call(path: str) -> re.Match[str] | None:
    return next((match for pattern in _CALLS if (match := pattern.match(path))), None)


def _template(match: re.Match[str]) -> str:
    """The path with names in the places of what the caller wrote, as the route has it."""
    text = match.string
    # From the back, so that what stands before stays where it is.
    for name in sorted((name for name, value in match.groupdict().items() if value), key=match.start, reverse=True):
        text = f"{text[: match.start(name)]}{{{name}}}{text[match.end(name) :]}"
    return text
