"""A short run of `make fuzz`: no answer is 5xx, and each is as the schema says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Service, start_service
from tests.fuzz.__main__ import SETTINGS, schema_cases
from tests.fuzz.images import fuzzed

CASES = 1500
FILES = 800


@pytest.fixture(scope="module")
def fuzzing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = start_service(tmp_path_factory.mktemp("fuzz"), **SETTINGS)
    yield running
    running.stop()


@pytest.mark.soak
def test_requests_made_from_the_schema(fuzzing: Service) -> None:
    cases, failures, report = schema_cases(fuzzing.url, 1, "coverage")
    assert failures == 0, report
    assert cases >= CASES


def test_i6_damaged_images(fuzzing: Service) -> None:
    count, statuses = fuzzed(fuzzing, FILES, seed=1)
    assert count == statuses.total() == FILES
    assert set(statuses) <= {200, 400, 413, 415, 422}, statuses
    assert statuses[422] > FILES / 4, "many of them are broken"
    assert statuses[200] > FILES / 20, "and some only look different"
