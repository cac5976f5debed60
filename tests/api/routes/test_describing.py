"""A2: who looks at models is counted as the caller it is, so that one key's looking takes no place of another's."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import httpx
import pytest

from tests.checks import PNG, problem, saved, triangle
from tests.conftest import Service, start_service

KEYS = {"ann": "correct horse battery staple", "ben": "staple battery horse correct"}
LIMIT = 8
OWN = 6
SUMMARY = "/v1/models/efficientnet-lite0/summary"


@pytest.fixture
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    digests = ",".join(f"sha256:{sha256(key.encode()).hexdigest()}" for key in KEYS.values())
    running = start_service(
        tmp_path_factory.mktemp("shared"), api_keys=digests, queue_limit=str(LIMIT), preload="shapes"
    )
    yield running
    running.stop()


def asked(service: Service, who: str, path: str = SUMMARY) -> httpx.Response:
    headers = {"Authorization": f"Bearer {KEYS[who]}"}
    if path.endswith("predict"):
        return httpx.post(service.url + path, content=saved(triangle()), headers=headers | PNG, timeout=60)
    return httpx.get(service.url + path, headers=headers, timeout=60)


def test_110_looks_at_a_cold_model_by_one_key_leave_room_for_another(shared: Service) -> None:
    with ThreadPoolExecutor(112) as threads:
        hers = [threads.submit(asked, shared, "ann") for _ in range(110)]
        his = [threads.submit(asked, shared, "ben", path) for path in (SUMMARY, "/v1/models/shapes/predict")]
        found = [each.result() for each in his]
        answers = [each.result() for each in hers]
    assert [answer.status_code for answer in found] == [200, 200], [answer.text[:200] for answer in found]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(answers) - len(refused) >= OWN
    assert refused
    for answer in refused:
        problem(answer, 429, "too-many-calls", "of yours", f"may have {OWN}")


@pytest.mark.soak
def test_looks_and_calls_of_one_key_are_counted_together(shared: Service) -> None:
    """It may not take three quarters of the queue by calls, and as much again by looking."""
    with ThreadPoolExecutor(32) as threads:
        looks = [threads.submit(asked, shared, "ann") for _ in range(16)]
        calls = [threads.submit(asked, shared, "ann", "/v1/models/efficientnet-lite0/predict") for _ in range(16)]
        statuses = [each.result().status_code for each in (*looks, *calls)]
    assert set(statuses) <= {200, 429}, "the queue was never full"
    assert 200 in statuses
