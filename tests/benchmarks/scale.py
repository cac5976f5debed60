"""How much is measured: all of it, or just enough to see that the harness itself is right."""

from __future__ import annotations

from dataclasses import dataclass

from tests.benchmarks.networks import FULL as FULL_NETWORKS
from tests.benchmarks.networks import SMALL, Network


@dataclass(frozen=True)
class Scale:
    """`networks` are those of the rows, the first the one that is compared with peers and tutorials.

    `rounds` are turns of short calls, `peer_rounds` of those with peers. `sampled` windows of the tutorial's occlusion
    are measured, and scaled. `burst` images are sent at once. `filters` are maximized, at `side` px in `steps` steps;
    `requests` of `shapes` image sizes look for growing memory; `/livez` is asked for at least `livez_s` seconds, and
    `beside` predictions are made beside each other call. `rest_s` after its last call the engine is at rest: it gives
    back what it does not need after one second. `long` says whether those rows are measured that start services of
    their own and call every method.
    """

    networks: tuple[Network, ...]
    rounds: int
    peer_rounds: int
    occlusion_rounds: int
    sampled: int
    burst: int
    filters: int
    side: int
    steps: int
    requests: int
    shapes: int
    livez_s: float
    beside: int
    rest_s: float
    starts: int
    peers: bool
    long: bool


FULL = Scale(
    FULL_NETWORKS,
    rounds=10,
    peer_rounds=3,
    occlusion_rounds=2,
    sampled=32,
    burst=32,
    filters=64,
    side=64,
    steps=40,
    requests=2000,
    shapes=200,
    livez_s=15,
    beside=60,
    rest_s=3.0,
    starts=3,
    peers=True,
    long=True,
)
QUICK = Scale(
    SMALL,
    rounds=2,
    peer_rounds=1,
    occlusion_rounds=1,
    sampled=16,
    burst=8,
    filters=2,
    side=32,
    steps=5,
    requests=40,
    shapes=10,
    livez_s=0.5,
    beside=4,
    rest_s=0.1,
    starts=1,
    peers=False,
    long=False,
)
