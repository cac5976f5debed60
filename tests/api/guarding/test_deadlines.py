"""H4 and H5: a call ends at its deadline, its caller's or the service's, and when its caller has gone."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest
from starlette.datastructures import Headers

from service.api.guarding.deadlines import timeout_s
from service.errors import InvalidParameter
from tests.checks import PNG, problem, saved, triangle
from tests.conftest import Service, start_service

PICTURE = saved(triangle(224, 224))
# Some seconds of computing on two cores.
SLOW = "/v1/models/efficientnet-lite0/occlusion?patch=16&stride=12&strategy=full"


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = start_service(tmp_path_factory.mktemp("busy"), cache_bytes="0")
    yield running
    running.stop()


def slow(service: Service, **headers: str) -> httpx.Response:
    return service.client.post(SLOW, content=PICTURE, headers=PNG | headers)


def waiting(service: Service) -> list[dict[str, object]]:
    return [event for event in service.events() if event.get("event") == "request" and event.get("status") == 499]


def seconds_of_a_quick_call(service: Service) -> float:
    began = time.monotonic()
    answer = service.client.post("/v1/models/shapes/predict", content=PICTURE, headers=PNG)
    assert answer.status_code == 200
    return time.monotonic() - began


class TestTimeout:
    @pytest.mark.parametrize(("given", "seconds"), [(None, 60), ("5", 5), ("0.25", 0.25), ("1e9", 60), ("inf", 60)])
    def test_the_callers_own(self, given: str | None, seconds: float) -> None:
        assert timeout_s(Headers({} if given is None else {"x-timeout": given}), 60) == seconds

    @pytest.mark.parametrize("given", ["", "0", "-1", "nan", "soon", "5 s", "5, 6"])
    def test_what_is_none(self, given: str) -> None:
        with pytest.raises(InvalidParameter, match="X-Timeout is .* a number of seconds above 0"):
            timeout_s(Headers({"x-timeout": given}), 60)

    def test_the_call_ends_then(self, busy: Service) -> None:
        began = time.monotonic()
        problem(slow(busy, **{"X-Timeout": "0.8"}), 504, "deadline-exceeded", "deadline")
        assert 0.7 < time.monotonic() - began < 6.5
        assert seconds_of_a_quick_call(busy) < 2, "and the engine has given it up"

    def test_what_is_no_number_is_refused(self, busy: Service) -> None:
        problem(slow(busy, **{"X-Timeout": "soon"}), 422, "invalid-parameter", "X-Timeout")


def leave(service: Service, after_s: float) -> None:
    """Sends a slow call and hangs up before the answer."""
    url = service.client.base_url
    with closing(socket.create_connection((url.host, url.port or 80), timeout=10)) as connection:
        head = f"POST {SLOW} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        connection.sendall(f"{head}Content-Length: {len(PICTURE)}\r\n\r\n".encode() + PICTURE)
        time.sleep(after_s)


class TestGone:
    def test_the_engine_gives_it_up(self, busy: Service) -> None:
        whole = time.monotonic()
        assert slow(busy).status_code == 200
        whole = time.monotonic() - whole
        assert whole > 1.5, "slow enough to tell"
        leave(busy, 0.3)
        assert seconds_of_a_quick_call(busy) < min(1.2, whole / 2)
        assert waiting(busy)

    def test_a_storm_leaves_the_queue_empty(self, busy: Service) -> None:
        """60 callers, one after another, none of whom waits; behind each other they would take minutes."""
        for _ in range(60):
            leave(busy, 0.01)
        began = time.monotonic()
        assert seconds_of_a_quick_call(busy) < 3
        deadline = began + 5
        while time.monotonic() < deadline and len(waiting(busy)) < 60:
            time.sleep(0.05)
        assert slow(busy).status_code == 200, "no place in the queue is left taken"
