"""A call and its repetition are the same to the last bit, also beside other calls."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from service.explainers import BY_NAME
from tests.checks import PNG, saved, triangle
from tests.conftest import Service, start_service

PICTURE = saved(triangle(224, 224))
# What samples is repeated with the same seed; few samples say as much as many.
FEW: dict[str, dict[str, Any]] = {
    "scorecam": {"max_channels": 8},
    "smoothgrad": {"samples": 3},
    "squaregrad": {"samples": 3},
    "vargrad": {"samples": 3},
    "integrated_gradients": {"steps": 3},
}
WISHES: list[tuple[str, dict[str, Any]]] = [
    ("activations", {}),
    *[
        (method, {"method": each.name, **FEW.get(each.name, {})})
        for method in ("cam", "saliency")
        for each in BY_NAME[method].variants
    ],
    *[("occlusion", {"patch": 56, "stride": 56, "strategy": strategy}) for strategy in ("full", "incremental")],
]
TIMES = 3
NETWORK = "efficientnet-lite0"
# It takes a pass a channel: 1280 there, 16 here.
SMALLER = {"ablationcam": "shapes"}


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that keeps no answers."""
    running = start_service(tmp_path_factory.mktemp("forgetful"), preload=NETWORK, cache_bytes="0")
    yield running
    running.stop()


@pytest.fixture(params=["alone", "beside others"])
def company(request: pytest.FixtureRequest, forgetful: Service) -> Iterator[None]:
    """Other calls of the same network, and of another, without a pause."""
    over = threading.Event()

    def others(model: str, method: str) -> None:
        while not over.is_set():
            forgetful.client.post(f"/v1/models/{model}/{method}", content=PICTURE, headers=PNG).raise_for_status()

    with ThreadPoolExecutor(2) as threads:
        asked = []
        if request.param == "beside others":
            asked = [threads.submit(others, *each) for each in ((NETWORK, "predict"), ("shapes", "cam"))]
        yield
        over.set()
        for each in asked:
            each.result(60)


@pytest.mark.usefixtures("company")
def test_the_same_to_the_last_bit(forgetful: Service) -> None:
    different = []
    for method, query in WISHES:
        found = {
            forgetful.client.post(
                f"/v1/models/{SMALLER.get(query.get('method', ''), NETWORK)}/{method}",
                content=PICTURE,
                headers=PNG,
                params={**query, "format": "npz"},
            )
            .raise_for_status()
            .content
            for _ in range(TIMES)
        }
        if len(found) != 1:
            different.append((method, query))
    assert not different
