"""Two thousand mixed calls with two hundred sizes of images: nothing is compiled anew, and memory stays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.checks import MODEL, PNG, saved
from tests.conftest import Service, start_service

CALLS = 2000
SIZES = 200
# Allocators take from the system for the first hundreds of calls; what matters is whether they go on. In the api,
# whose threads each have an arena, that takes longer: its slope was 570 bytes a call over 8,000 calls.
SETTLED = 800
MOST_BYTES_A_CALL = {"engine": 2048, "api": 4096}
QUERIES = (
    ("predict", {}),
    ("cam", {"format": "png"}),
    ("cam", {"method": "layercam", "target": "top2"}),
    ("saliency", {"format": "npz"}),
    ("activations", {"layers": "conv2d_1,conv2d_3", "format": "npz"}),
    ("occlusion", {"patch": "14", "stride": "7", "strategy": "full"}),
    ("explain", {"methods": "gradcam,hirescam,gradient"}),
)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    running = start_service(tmp_path, preload="shapes", cache_bytes="0", run_jobs="false")
    yield running
    running.stop()


def resident(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def traces(service: Service) -> int:
    return int(service.client.get(MODEL).json()["traces"])


@pytest.mark.soak
def test_nothing_grows(service: Service) -> None:
    dice = np.random.default_rng(5)
    sizes = [(int(height), int(width)) for height, width in dice.integers(20, 300, (SIZES, 2))]
    pictures = [saved(Image.fromarray(dice.integers(0, 256, (*size, 3), np.uint8))) for size in sizes]
    (engine,) = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
    processes = {"api": service.process.pid, "engine": int(engine)}

    def call(number: int) -> int:
        method, query = QUERIES[number % len(QUERIES)]
        picture = pictures[number % SIZES]
        return service.client.post(f"{MODEL}/{method}", params=query, content=picture, headers=PNG).status_code

    assert {call(number) for number in range(len(QUERIES))} == {200}
    known = traces(service)
    seen: dict[str, list[int]] = {name: [] for name in processes}
    places = []
    with ThreadPoolExecutor(2) as threads:
        for part in (range(start, start + 100) for start in range(0, CALLS, 100)):
            assert set(threads.map(call, part)) == {200}
            if part.start >= SETTLED:
                places.append(part.stop)
                for name, pid in processes.items():
                    seen[name].append(resident(pid))
    assert traces(service) == known
    for name, sizes_seen in seen.items():
        slope = float(np.polyfit(places, sizes_seen, 1)[0])
        assert slope <= MOST_BYTES_A_CALL[name], f"{name}: {slope:.0f} bytes a call, {sizes_seen}"
