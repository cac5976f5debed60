"""Occlusion over HTTP against peers and the tutorial's loop, and its two strategies against each other."""

from __future__ import annotations

import base64
import contextlib
import math
import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks import tutorial
from tests.benchmarks.bench import Bench
from tests.benchmarks.callers import NotAvailable
from tests.benchmarks.networks import Network
from tests.benchmarks.peers.environment import Peers
from tests.benchmarks.rows import Row, Target, at_least, at_most, seconds

GAINS: dict[str, Target] = {
    "vgg16": at_least(5.0),
    "resnet50": at_least(1.7),
    "mobilenetv2": at_least(2.4, 2.8),
    "efficientnet-lite0": at_least(2.0, 2.4),
}
GRAY = (128.0, 128.0, 128.0)
# tf-explain takes minutes for all windows, and as long for each of a patch of twice the side.
COARSER = 2
LONG_S = 30
DIFFERENCE = "strategies/difference"


@dataclass(frozen=True)
class Run:
    """One call: how long it took, the strategy that ran, the loss of the logit under each window."""

    seconds: float
    strategy: str
    windows: NDArray[np.float32]


def run(bench: Bench, network: Network, strategy: str, picture: bytes | None = None) -> Run:
    """One call over HTTP. Raises NotAvailable where the service does not know the strategy."""
    query: dict[str, Any] = {"patch": network.patch, "stride": network.patch, "measure": "logit_drop"}
    picture = picture or bench.pictures.png()
    started = time.perf_counter()
    answer = bench.caller.post(network.id, "occlusion", picture, strategy=strategy, arrays="base64", **query)
    taken = time.perf_counter() - started
    body = answer.json()
    (windows,) = [item for item in body["arrays"] if item["name"] == "windows"]
    values = np.frombuffer(base64.b64decode(windows["data"]), np.float32)
    return Run(taken, body["method"]["parameters"]["strategy"], values)


def warm(bench: Bench, network: Network) -> None:
    """Has every function traced that the calls below need."""
    coarse = {"patch": network.size // 2, "stride": network.size // 2, "measure": "logit_drop"}
    bench.caller.post(network.id, "occlusion", strategy="full", **coarse)
    with contextlib.suppress(NotAvailable):
        run(bench, network, "incremental")


def against_others(bench: Bench, peers: Peers) -> list[Row]:
    """The peers and the tutorial's loop ÷ the service as it is asked by default, which has its turn after each.

    Where it takes most of a minute, it has one turn.
    """
    network = bench.main
    title = f"occlusion on {network.title}, {network.patch} px windows"
    warm(bench, network)
    ours = [run(bench, network, "auto")]
    others: list[tuple[str, float | None, str]] = []
    for name, patch in (("xplique", network.patch), ("tf-explain", network.patch * COARSER)):
        share = (network.size // network.patch) ** 2 // (network.size // patch) ** 2
        note = "" if share == 1 else f"measured with windows of {patch} px, {share} times fewer, and scaled"
        try:
            others.append((name, peers.seconds(name, "occlusion", patch=patch) * share, note))
        except NotAvailable as error:
            others.append((name, None, str(error)))
        ours += [run(bench, network, "auto")] if ours[0].seconds < LONG_S else []
    loop, loop_note = _tutorial_s(bench)
    ours += [run(bench, network, "auto")] if ours[0].seconds < LONG_S else []
    ours_s = statistics.median(call.seconds for call in ours)
    service = f"{seconds(ours_s)} ({ours[0].strategy})"

    def row(key: str, what: str, theirs: tuple[str, float | None, str], target: Target | None = None) -> Row:
        name, taken, note = theirs
        ratio, against = (taken / ours_s, f"{seconds(taken)} {name}") if taken else (None, "")
        key, what = f"occlusion/{network.id}/{key}", f"{title}: {what} ÷ over HTTP"
        return Row(key, what, ratio, target, measured=service, against=against, note=note)

    fastest = min(others, key=lambda other: other[1] or math.inf)
    return [
        row("peers", "fastest peer in process", fastest, at_least(6)),
        row("tutorial", "the tutorial's loop of predict", ("tutorial", loop, loop_note), at_least(10)),
        *(row(other[0], f"{other[0]} in process", other) for other in others),
    ]


def _tutorial_s(bench: Bench) -> tuple[float, str]:
    """Seconds of the tutorial's loop, from its first windows, and a sentence that says so."""
    network, most = bench.main, bench.scale.sampled
    model, image = bench.model(network), network.prepared(bench.pictures.pixels())
    model.predict(image.batch, verbose=0)
    started = time.perf_counter()
    tutorial.occlusion(model, image.batch, 0, image.colour(GRAY), network.patch, network.patch, most)
    count = (network.size // network.patch) ** 2
    taken = (time.perf_counter() - started) * count / min(most, count)
    return taken, f"{min(most, count)} of the loop's {count} windows measured, and scaled"


def strategies(bench: Bench) -> list[Row]:
    """Full ÷ incremental, a row a network, and the largest difference of all."""
    rows, differences, missing = [], [], ""
    for network in bench.scale.networks:
        key, what = f"strategies/{network.id}", f"occlusion on {network.title}, full ÷ incremental, both over HTTP"
        target = GAINS[network.id]
        try:
            if network is not bench.main:
                warm(bench, network)
            fast, full, difference = _compared(bench, network)
        except NotAvailable as error:
            missing = str(error)
            rows.append(Row(key, what, None, target, note=missing))
            continue
        differences.append(difference)
        texts = {"measured": seconds(fast), "against": f"{seconds(full)} full"}
        note = f"windows of {network.patch} px; the maps differ by {difference:.0e} of their range"
        rows.append(Row(key, what, full / fast, target, note=note, **texts))
    what = "largest difference of incremental from full occlusion, as a share of the map's range"
    return [*rows, Row(DIFFERENCE, what, max(differences, default=None), at_most(1e-4), unit="", note=missing)]


def _compared(bench: Bench, network: Network) -> tuple[float, float, float]:
    """Median seconds of incremental and of full on the same new pictures, and their largest difference.

    Once where a call takes most of a minute.
    """
    pairs = []
    for _ in range(1 if network is bench.main else bench.scale.occlusion_rounds):
        picture = bench.pictures.png()
        pairs.append((run(bench, network, "incremental", picture), run(bench, network, "full", picture)))
    difference = max(float(np.abs(fast.windows - full.windows).max() / np.ptp(full.windows)) for fast, full in pairs)
    fast_s, full_s = (statistics.median(pair[place].seconds for pair in pairs) for place in (0, 1))
    return fast_s, full_s, difference
