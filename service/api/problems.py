"""THE table: domain error → status and problem type (RFC 9457). Every error of the service leaves through here."""

from __future__ import annotations

import re
from http import HTTPStatus
from urllib.parse import quote

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import errors
from service.errors import FieldError, KerascopeError
from service.errors.validation import field_errors, in_one
from service.explainers import FAMILY_OF
from service.json_types import Json, JsonObject

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
STATUS: dict[type[KerascopeError], int] = {
    KerascopeError: 500,
    errors.InvalidRequest: 422,
    errors.MalformedBody: 400,
    errors.InvalidParameter: 422,
    errors.UndecodableImage: 422,
    errors.UnfetchableImage: 422,
    errors.MethodNotValid: 422,
    errors.NonFiniteResult: 422,
    errors.ModelRefused: 422,
    errors.UnknownHost: 400,
    errors.TooLarge: 413,
    errors.BodyTooLarge: 413,
    errors.HeadTooLarge: 431,
    errors.UrlTooLong: 414,
    errors.TooCostly: 413,
    errors.ImageTooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.NotAcceptable: 406,
    errors.NotFound: 404,
    errors.UnknownModel: 404,
    errors.UnknownLayer: 404,
    errors.UnknownClass: 404,
    errors.UnknownMethod: 404,
    errors.UnknownJob: 404,
    errors.UnknownKey: 404,
    errors.Conflict: 409,
    errors.IdempotencyKeyReused: 409,
    errors.JobWithoutResult: 409,
    errors.ModelExists: 409,
    errors.ResultExpired: 410,
    errors.TooMany: 429,
    errors.TooManyJobs: 429,
    errors.TooManyCalls: 429,
    errors.NotAuthenticated: 401,
    errors.NotAllowed: 403,
    errors.UploadsOff: 403,
    errors.Unavailable: 503,
    errors.EngineUnavailable: 503,
    errors.QueueFull: 503,
    errors.OutOfMemory: 503,
    errors.WeightsUnavailable: 503,
    errors.JobsUnavailable: 503,
    errors.StorageFull: 503,
    errors.KeysUnavailable: 503,
    errors.QuotaExceeded: 507,
    errors.ModelNotLoadable: 409,
    errors.ModelQuarantined: 409,
    errors.TooSlow: 408,
    errors.DeadlineExceeded: 504,
    errors.ConfigurationError: 500,
}


def problem_type(error: type[KerascopeError]) -> str:
    """`urn:kerascope:problem:unknown-layer` for UnknownLayer."""
    return "urn:kerascope:problem:" + re.sub(r"(?<!^)(?=[A-Z])", "-", error.__name__).lower()


def problem(
    request_id: str, status: int, title: str, detail: str, kind: str = "about:blank", **more: Json
) -> JsonObject:
    return {"type": kind, "title": title, "status": status, "detail": detail, "instance": request_id, **more}


def problem_of(error: KerascopeError, request_id: str) -> JsonObject:
    """The problem of a domain error."""
    return problem(
        request_id,
        STATUS[type(error)],
        error.title(),
        error.detail,
        problem_type(type(error)),
        errors=[{"loc": list(item.loc), "msg": item.msg} for item in error.errors],
    )


def problem_response(error: KerascopeError, request_id: str) -> Response:
    """The answer for a domain error."""
    status = STATUS[type(error)]
    body = problem_of(error, request_id)
    headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(orjson.dumps(body), status, headers, MEDIA_TYPE)


def internal_error(request_id: str) -> Response:
    """The answer for an error of ours: nothing of its text."""
    detail = "the service failed on this call; its log says why"
    body = problem(request_id, 500, "Internal error", detail, errors=[])
    return Response(orjson.dumps(body), 500, media_type=MEDIA_TYPE)


def _request_id(request: Request) -> str:
    return str(request.scope.get("state", {}).get("request_id", ""))


async def _domain_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, KerascopeError):
        return internal_error(_request_id(request))
    if STATUS[type(error)] >= 500 and not isinstance(error, errors.QueueFull):
        log.warning("call failed", kind=type(error).__name__, detail=error.detail)
    return problem_response(error, _request_id(request))


async def _framework_error(request: Request, error: Exception) -> Response:
    """404 for a path, 405 for a method, and whatever else Starlette itself refuses."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if status == 405:
        headers["Allow"] = ", ".join(_taken(request))
    phrase = HTTPStatus(status).phrase
    detail = {
        404: f"there is nothing at {request.url.path!r}; {_meant(request.url.path) or '/docs lists every route'}",
        405: f"{request.url.path!r} does not take {request.method}; it takes {headers.get('Allow', 'another method')}",
    }.get(status, str(getattr(error, "detail", phrase)))
    return Response(
        orjson.dumps(problem(_request_id(request), status, phrase, detail, errors=[])), status, headers, MEDIA_TYPE
    )


def _meant(path: str) -> str | None:
    """The route of a method, where a path asks for one of its variants."""
    asked = re.fullmatch(r"(/v1/models/[^/]+)/([^/]+)/?", path)
    if asked is None or asked[2] not in FAMILY_OF:
        return None
    return f"did you mean {asked[1]}/{FAMILY_OF[asked[2]].name}?method={quote(asked[2])}"


def _taken(request: Request) -> list[str]:
    """The methods that a path takes, whichever of several routes it is that takes them; HEAD wherever GET is."""
    routes, scope = request.app.router.routes, request.scope
    # Within what is mounted, the path counts from there.
    whole = {**scope, "root_path": scope.get("app_root_path", scope.get("root_path", ""))}

    def takes(method: str) -> bool:
        return any(
            route.matches({**whole, "method": method})[0] is Match.FULL
            and (method == "GET" or not isinstance(route, Mount))
            for route in routes
        )

    found = [method for method in ("GET", "POST", "PUT", "PATCH", "DELETE") if takes(method)]
    return [*(["GET", "HEAD"] if "GET" in found else []), *(method for method in found if method != "GET")]


async def _validation_error(request: Request, error: Exception) -> Response:
    """Path and query parameters that FastAPI itself checks."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    fields = field_errors(found)
    detail = in_one(FieldError(item.loc[-1:], item.msg) for item in fields) or "the request is not valid"
    return problem_response(errors.InvalidParameter(detail, errors=fields), _request_id(request))


def install(app: FastAPI) -> None:
    """Every error of `app` becomes a problem; the unforeseen ones do in `guarding/requests.py`."""
    app.add_exception_handler(KerascopeError, _domain_error)
    app.add_exception_handler(HTTPException, _framework_error)
    app.add_exception_handler(RequestValidationError, _validation_error)


PREFIX = "/v2"


class InferenceErrors:
    """Turns a problem into `{"error": detail}`, whoever answered it; the status stays."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not (scope["path"] == PREFIX or scope["path"].startswith(f"{PREFIX}/")):
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        problem = bytearray()

        async def translated(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                if Headers(raw=message["headers"]).get("content-type") == MEDIA_TYPE:
                    start = message
                    return
            elif start is not None:
                problem.extend(message.get("body", b""))
                if message.get("more_body"):
                    return
                content = orjson.dumps({"error": orjson.loads(problem)["detail"]})
                headers = MutableHeaders(raw=start["headers"])
                headers["Content-Type"], headers["Content-Length"] = "application/json", str(len(content))
                await send(start)
                start, message = None, {"type": "http.response.body", "body": content}
            await send(message)

        await self._app(scope, receive, translated)
