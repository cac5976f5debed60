"""Pages of another origin: preflights, which headers they may read, and the headers of every kind of answer."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.checks import CAM, PNG, problem, saved, triangle
from tests.conftest import Service, start_service

PAGE = "https://page.example"
OTHER = "https://other.example"
PICTURE = saved(triangle(28, 28))
HARDENED = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
EXPOSED = {
    "Location", "ETag", "Retry-After", "Server-Timing", "X-Request-Id", "Preference-Applied",
    "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset",
}  # fmt: skip


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = start_service(
        tmp_path_factory.mktemp("shared"), cors_origins=PAGE, preload="shapes", rate_limit="900/hour"
    )
    yield running
    running.stop()


def post(service: Service, origin: str | None, path: str = CAM, **headers: str) -> httpx.Response:
    sent = PNG | headers | ({"Origin": origin} if origin else {})
    return service.client.post(path, content=PICTURE, headers=sent)


def check_headers(answer: httpx.Response, origin: str | None, cached: str) -> None:
    """Every header that a browser heeds, whoever asks."""
    found = {name: answer.headers.get(name) for name in HARDENED}
    assert found == HARDENED
    assert answer.headers["cache-control"] == cached
    assert answer.headers["cross-origin-resource-policy"] == ("cross-origin" if origin == PAGE else "same-origin")
    assert answer.headers.get("access-control-allow-origin") == (PAGE if origin == PAGE else None)
    assert "access-control-allow-credentials" not in answer.headers
    if origin == PAGE:
        assert set(answer.headers["access-control-expose-headers"].split(", ")) == EXPOSED
        assert answer.headers["vary"] == "Origin"
    # What is refused for the page that sends it counts against nobody.
    rates = {name for name in EXPOSED if name.startswith("RateLimit") and name in answer.headers}
    assert len(rates) == (0 if origin == OTHER else 3)


@pytest.mark.parametrize("origin", [PAGE, OTHER, None])
class TestAnswers:
    def test_200_and_again(self, shared: Service, origin: str | None) -> None:
        answer = post(shared, origin)
        if origin == OTHER:
            problem(answer, 403, "not-allowed", OTHER, "cors_origins")
            check_headers(answer, origin, "no-store")
            return
        assert answer.status_code == 200
        check_headers(answer, origin, "private, no-cache")
        again = post(shared, origin, **{"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (200, answer.content)
        assert again.headers["etag"] == answer.headers["etag"]
        check_headers(again, origin, "private, no-cache")

    def test_problem(self, shared: Service, origin: str | None) -> None:
        answer = post(shared, origin, f"{CAM}?layer=nothing")
        problem(answer, *((403, "not-allowed") if origin == OTHER else (404, "unknown-layer")))
        check_headers(answer, origin, "no-store")

    def test_error_of_the_open_inference_protocol(self, shared: Service, origin: str | None) -> None:
        answer = post(shared, origin, "/v2/models/shapes/infer")
        assert (answer.status_code, set(answer.json())) == (403 if origin == OTHER else 415, {"error"})
        check_headers(answer, origin, "no-store")


class TestPreflight:
    def ask(self, service: Service, origin: str, method: str, *headers: str, path: str = CAM) -> httpx.Response:
        sent = {"Origin": origin, "Access-Control-Request-Method": method}
        return service.client.options(path, headers=sent | {"Access-Control-Request-Headers": ", ".join(headers)})

    @pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
    @pytest.mark.parametrize("path", [CAM, "/v1/models/shapes:predict", "/v2/models/shapes/infer"])
    def test_allowed(self, shared: Service, method: str, path: str) -> None:
        wanted = ("authorization", "content-type", "if-none-match", "prefer", "idempotency-key", "x-timeout")
        answer = self.ask(shared, PAGE, method, *wanted, path=path)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert method in answer.headers["access-control-allow-methods"].split(", ")
        allowed = answer.headers["access-control-allow-headers"].lower().split(", ")
        assert set(wanted) <= set(allowed)
        assert "access-control-allow-credentials" not in answer.headers
        assert int(answer.headers["access-control-max-age"]) == 600

    @pytest.mark.parametrize(
        ("origin", "method", "header"),
        [(OTHER, "POST", "content-type"), (PAGE, "TRACE", "content-type"), (PAGE, "POST", "cookie")],
    )
    def test_refused(self, shared: Service, origin: str, method: str, header: str) -> None:
        answer = self.ask(shared, origin, method, header)
        assert answer.status_code == 400
        assert (answer.headers.get("access-control-allow-origin") is None) == (origin == OTHER)
