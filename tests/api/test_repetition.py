"""A call and its repetition are the same to the last bit, also beside other calls."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from service.explainers import BY_NAME
from tests.checks import PNG, saved, triangle
from tests.conftest import Service

PICTURE = saved(triangle(224, 224))
# What samples is repeated with the same seed; few samples say as much as many.
FEW: dict[str, dict[str, Any]] = {
    "scorecam": {"max_channels": 8},
    "smoothgrad": {"samples": 3},
    "squaregrad": {"samples": 3},
    "vargrad": {"samples": 3},
    **dict.fromkeys(("integrated_gradients", "guided_ig", "blur_ig", "xrai"), {"steps": 3}),
    "gradient_shap": {"samples": 3},
}
WISHES: list[tuple[str, dict[str, Any]]] = [
    ("activations", {}),
    *[
        (method, {"method": each.name, **FEW.get(each.name, {})})
        for method in ("cam", "saliency")
        for each in BY_NAME[method].variants
    ],
    *[("occlusion", {"patch": 16, "stride": 16, "strategy": strategy}) for strategy in ("full", "incremental")],
]
TIMES = 3
SMALL, LARGE = "shapes", "efficientnet-lite0"
# What a network does not offer, or not in time: a pass for each of 1280 channels.
LEFT_OUT = {SMALL: ("cam",), LARGE: ("ablationcam",)}


@pytest.fixture(params=["alone", "beside others"])
def company(request: pytest.FixtureRequest, service: Service) -> Iterator[None]:
    """Other calls of the same network, and of another, without a pause."""
    over, numbers = threading.Event(), itertools.count()

    def others(model: str, method: str) -> None:
        while not over.is_set():
            content = PICTURE + str(next(numbers)).encode()
            service.client.post(f"/v1/models/{model}/{method}", content=content, headers=PNG).raise_for_status()

    with ThreadPoolExecutor(2) as threads:
        asked = []
        if request.param == "beside others":
            asked = [threads.submit(others, *each) for each in ((LARGE, "predict"), (SMALL, "predict"))]
        yield
        over.set()
        for each in asked:
            each.result(60)


@pytest.mark.usefixtures("company")
@pytest.mark.parametrize("model", [SMALL, pytest.param(LARGE, marks=pytest.mark.soak)])
def test_the_same_to_the_last_bit(service: Service, model: str) -> None:
    different = []
    for method, query in WISHES:
        if query.get("method") in LEFT_OUT[model]:
            continue
        found = {
            service.client.post(
                f"/v1/models/{model}/{method}",
                # The same pixels in another file, so that no answer is taken from those that were kept.
                content=PICTURE + bytes([number]),
                headers=PNG,
                params={**query, "format": "npz"},
            )
            .raise_for_status()
            .content
            for number in range(TIMES)
        }
        if len(found) != 1:
            different.append((method, query))
    assert not different
