"""Every error is a problem, the framework's and the unforeseen ones too."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from service import errors
from service.api.problems import STATUS, problem_response, problem_type
from service.app import create_app
from service.errors import FieldError, KerascopeError
from service.settings import Settings
from tests.checks import CAM, log_line, problem
from tests.conftest import Service

DOMAIN_ERRORS = [
    value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, KerascopeError)
]


class TestTable:
    def test_every_domain_error_has_a_status(self) -> None:
        assert set(STATUS) == set(DOMAIN_ERRORS)

    @pytest.mark.parametrize("kind", DOMAIN_ERRORS)
    def test_a_subclass_is_no_other_kind_of_fault(self, kind: type[KerascopeError]) -> None:
        parent = kind.__mro__[1]
        if issubclass(parent, KerascopeError) and parent is not KerascopeError:
            assert STATUS[kind] // 100 == STATUS[parent] // 100

    def test_types_are_distinct_urns(self) -> None:
        assert problem_type(errors.UnknownLayer) == "urn:kerascope:problem:unknown-layer"
        assert len({problem_type(kind) for kind in DOMAIN_ERRORS}) == len(DOMAIN_ERRORS)

    def test_response(self) -> None:
        error = errors.QueueFull("too many", errors=[FieldError(("query", "a"), "wrong")], retry_after_s=7)
        response = problem_response(error, "an-id")
        assert response.status_code == 503
        assert response.headers["retry-after"] == "7"
        assert bytes(response.body) == (
            b'{"type":"urn:kerascope:problem:queue-full","title":"Too many calls are waiting","status":503,'
            b'"detail":"too many","instance":"an-id","errors":[{"loc":["query","a"],"msg":"wrong"}]}'
        )

    def test_a_missing_key_says_how_to_authenticate(self) -> None:
        assert problem_response(errors.NotAuthenticated("x"), "").headers["www-authenticate"] == "Bearer"


class TestFramework:
    @pytest.mark.parametrize(
        "path", ["/nope", "/v1", "/v1/models/shapes/nope", "/v1/models/a%2Fb", "/docs/assets/no.js"]
    )
    def test_unknown_route(self, service: Service, path: str) -> None:
        problem(service.client.get(path), 404, None, "nothing at", "/docs lists every route")

    def test_assets_stay_in_their_folder(self, service: Service) -> None:
        for path in ("/docs/assets/..%2f__init__.py", "/docs/assets/%2e%2e/%2e%2e/%2e%2e/pyproject.toml"):
            assert service.client.get(path).status_code == 404

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("PUT", "/v1/models", "GET, HEAD, POST"),
            ("GET", CAM, "POST"),
            ("DELETE", "/livez", "GET, HEAD"),
            ("POST", "/docs", "GET, HEAD"),
        ],
    )
    def test_wrong_method(self, service: Service, method: str, path: str, allowed: str) -> None:
        answer = service.client.request(method, path)
        problem(answer, 405, None, f"does not take {method}", f"it takes {allowed}")
        assert answer.headers["allow"] == allowed

    def test_too_long_an_id(self, service: Service) -> None:
        body = problem(service.client.get("/v1/models/" + "a" * 200), 422, "invalid-parameter", "model_id", "128")
        assert body["errors"][0]["loc"] == ["path", "model_id"]


class TestUnforeseen:
    def ask(self, path: str, app_error: Exception) -> tuple[httpx.Response, list[object]]:
        app = create_app(Settings(data_dir=Path("unused")))

        @app.get("/breaks")
        async def breaks() -> None:
            raise app_error

        async def get() -> httpx.Response:
            transport = httpx.ASGITransport(app, raise_app_exceptions=True)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.get(path, headers={"X-Request-Id": "the-id"})

        with capture_logs() as logs:
            return asyncio.run(get()), [(line["event"], line["log_level"]) for line in logs]

    def test_nothing_of_it_leaks(self) -> None:
        answer, logs = self.ask("/breaks", RuntimeError("secret in /home/someone"))
        body = problem(answer, 500, None, "log says why")
        assert "secret" not in answer.text
        assert body["instance"] == "the-id"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert logs == [("request failed", "error"), ("request", "info")]

    def test_an_error_class_the_table_lacks(self) -> None:
        class Unlisted(KerascopeError):
            """Not in the table."""

        problem(self.ask("/breaks", Unlisted("secret"))[0], 500, None, "log says why")


class TestRequestId:
    def test_one_is_made(self, service: Service) -> None:
        first, second = (service.client.get("/livez").headers["x-request-id"] for _ in range(2))
        assert len(first) == 32
        assert first != second

    def test_the_callers_own_is_kept(self, service: Service) -> None:
        answer = service.client.get("/nope", headers={"X-Request-Id": "job-17.part_2"})
        assert problem(answer, 404, None)["instance"] == "job-17.part_2"

    @pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\tb", "<script>", "ümlaut"])
    def test_a_malformed_one_is_replaced(self, service: Service, given: str) -> None:
        made = service.client.get("/livez", headers={b"X-Request-Id": given.encode()}).headers["x-request-id"]
        assert len(made) == 32

    def test_it_is_in_the_log(self, service: Service) -> None:
        service.client.get("/nope", headers={"X-Request-Id": "find-me"})
        line = log_line(service, "find-me")
        assert (line["event"], line["method"], line["path"], line["status"]) == ("request", "GET", "/nope", 404)
