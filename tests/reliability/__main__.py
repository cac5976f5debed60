"""`make overload`, `make kills`, `make soak`: measures one thing, prints its rows, writes its section of RESULTS.md."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2

from tests.benchmarks.pictures import Pictures
from tests.benchmarks.rows import Row
from tests.conftest import Service, start_service
from tests.reliability.callers import Address, request
from tests.reliability.kills import killed, stopped
from tests.reliability.overload import overloaded, peak, slow_sockets
from tests.reliability.report import RESULTS, merged, section
from tests.reliability.soak import soaked

MODEL = "efficientnet-lite0"
PATH = f"/v1/models/{MODEL}/cam?format=png"
PICTURES = 64
SETTINGS = {"preload": MODEL, "cache_bytes": "0"}


def pictures(path: str = PATH) -> list[bytes]:
    """Requests for `path`, each with another picture, a JPEG of some 60 kB."""
    made = Pictures()
    found = (cv2.imencode(".jpg", made.pixels())[1].tobytes() for _ in range(PICTURES))
    return [request(path, data, Content_Type="image/jpeg") for data in found]


def address(service: Service) -> Address:
    url = service.client.base_url
    return Address(url.host, url.port or 80)


async def load(service: Service, seconds: float, times: Sequence[float], sockets: int) -> list[Row]:
    """At so many times the peak, and beside slow sockets."""
    requests, at = pictures(), address(service)
    best = await peak(at, requests, min(10.0, seconds))
    rows = []
    for factor in times:
        rows += await overloaded(at, requests, best, factor, seconds)
    return rows + await slow_sockets(at, requests, sockets, min(20.0, seconds))


async def kills(service: Service, count: int) -> list[Row]:
    """Engines killed so many times, and stopped a tenth as often."""
    requests, at = pictures(), address(service)
    return [*await killed(service, at, requests, count), *await stopped(service, at, requests, max(1, count // 10))]


def run(what: str, seconds: float, count: int, folder: Path) -> tuple[str, list[Row]]:
    """The title and the rows of one measure."""
    preload = SETTINGS | ({"preload": f"shapes,{MODEL}"} if what == "soak" else {})
    service = start_service(folder, **preload)
    try:
        if what == "overload":
            return "Overload", asyncio.run(load(service, seconds, (0.5, 1, 2, 4), 500))
        if what == "kills":
            return "Killed engines", asyncio.run(kills(service, count))
        return "Long runs", soaked(service, seconds)
    finally:
        service.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__)
    parser.add_argument("what", choices=["overload", "kills", "soak"])
    parser.add_argument("--seconds", type=float, default=60, help="of each load, or of the whole soak")
    parser.add_argument("--count", type=int, default=50, help="of kills")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kerascope-reliability-") as folder:
        title, rows = run(given.what, given.seconds, given.count, Path(folder))
    for row in rows:
        sys.stdout.write(f"{row.what}: {row.shown} {row.note}\n")
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.is_file() else ""
    RESULTS.write_text(merged(text, section(title, f"make {given.what}", rows)), encoding="utf-8")


if __name__ == "__main__":
    main()
