"""Predictions, class activation maps and saliency over HTTP, against the bare arithmetic and against the peers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tests.benchmarks.bench import Bench
from tests.benchmarks.callers import NotAvailable
from tests.benchmarks.networks import Network
from tests.benchmarks.peers.environment import Peers
from tests.benchmarks.rows import Row, Target, at_least, at_most, seconds
from tests.benchmarks.timing import medians, timed

CAM_TARGETS: Mapping[str, Target] = {
    "vgg16": at_most(1.1, 1.0),
    "resnet50": at_most(1.15),
    "mobilenetv2": at_most(1.6),
    "efficientnet-lite0": at_most(1.6, 1.2),
}
PEERS = {"cam": ("tf-keras-vis", "tf-explain", "xplique"), "saliency": ("tf-keras-vis", "xplique")}
WISHES: Mapping[str, Mapping[str, str]] = {
    "predict": {},
    "cam": {"outputs": "overlay", "format": "png"},
    "saliency": {"outputs": "overlay"},
}
RAW = {"cam": "heatmap", "saliency": "gradient"}


def against_bare(bench: Bench, network: Network) -> list[Row]:
    """A row a method: over HTTP ÷ bare, and by how much their raw maps differ."""
    batch = network.prepared(bench.pictures.pixels()).batch
    bare = bench.bare(network)

    def calling(name: str) -> Callable[[], object]:
        return lambda: bare[name](batch)

    over_http = {f"{name} http": bench.caller.timed(network.id, name, **WISHES[name]) for name in bare}
    alone = {f"{name} bare": timed(calling(name)) for name in bare}
    found = medians(over_http | alone, bench.scale.rounds)
    rows = []
    for name in bare:
        http, plain = found[f"{name} http"], found[f"{name} bare"]
        rows.append(
            Row(
                f"{name}/{network.id}",
                f"{name} on {network.title} over HTTP ÷ bare arithmetic",
                http / plain,
                CAM_TARGETS.get(network.id) if name == "cam" else None,
                measured=seconds(http),
                against=f"{seconds(plain)} bare",
                note=f"raw arrays differ by {difference(bench, network, name):.0e} of their range"
                if name in RAW
                else "",
            )
        )
    return rows


def difference(bench: Bench, network: Network, method: str) -> float:
    """Largest difference of the service's raw array from the bare one, over the range of that.

    Both are given the same network input. Raises ValueError where the bare array is constant: nothing to compare.
    """
    batch = network.prepared(bench.pictures.pixels()).batch
    wanted = bench.bare(network)[method](batch)[0]
    given = bench.caller.arrays(network.id, method, batch[0])[RAW[method]]
    spread = float(np.ptp(wanted))
    if spread == 0:
        raise ValueError(f"the {method} of {network.title} is the same everywhere")
    return float(np.abs(given - wanted).max()) / spread


def against_peers(bench: Bench, peers: Peers) -> list[Row]:
    """A row a peer and method: the peer, called in its own process ÷ the service over HTTP; and the fastest of them."""
    rows = []
    for method, names in PEERS.items():
        able, reasons = {}, {}
        for name in names:
            try:
                peers.seconds(name, method)
                able[name] = peers.timed(name, method)
            except NotAvailable as error:
                reasons[name] = str(error)
        ours = {"": bench.caller.timed(bench.main.id, method, **WISHES[method])} if able else {}
        found = medians(ours | able, bench.scale.peer_rounds)
        key = f"{method} on {bench.main.title}"
        for name in names:
            what, note = f"{key}: {name} in process ÷ over HTTP", reasons.get(name, "")
            if name in able:
                ratio = found[name] / found[""]
                texts = {"measured": seconds(found[""]), "against": f"{seconds(found[name])} {name}"}
                rows.append(Row(f"{method}/{bench.main.id}/{name}", what, ratio, **texts))
            else:
                rows.append(Row(f"{method}/{bench.main.id}/{name}", what, None, note=note))
        if method == "cam":
            rows.insert(0, _fastest(bench, found, reasons))
    return rows


def _fastest(bench: Bench, found: Mapping[str, float], reasons: Mapping[str, str]) -> Row:
    what = f"cam on {bench.main.title}: fastest peer in process ÷ over HTTP"
    key, target = f"cam/{bench.main.id}/peers", at_least(4)
    theirs = {name: value for name, value in found.items() if name}
    if not theirs:
        return Row(key, what, None, target, note=next(iter(reasons.values()), ""))
    best = min(theirs, key=lambda name: theirs[name])
    texts = {"measured": seconds(found[""]), "against": f"{seconds(theirs[best])} {best}"}
    return Row(key, what, theirs[best] / found[""], target, **texts)
