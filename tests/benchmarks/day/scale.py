"""How long the day is: all of it, a share of it, or just enough to see that the harness itself is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import keras

from service.models.files.spec import Preprocessing
from tests.benchmarks.networks import FULL as FULL_NETWORKS
from tests.benchmarks.networks import SMALL, Network

NONE = Preprocessing(mode="none")
TORCH = Preprocessing(mode="torch")


@dataclass(frozen=True)
class DayScale:
    """`shares` says how much each network is asked, by its ID.

    Of the `calls`, each variant that takes a layer is asked at `layers` of them, occlusion with `grids` pairs of
    windows and steps, and `jobs` are submitted to run in the background. `callers` ask at once, the memory is looked
    at every `sample_s` seconds, and `budget_bytes` is the service's KERASCOPE_REGISTRY_BYTES.
    """

    networks: tuple[Network, ...]
    shares: Mapping[str, float]
    calls: int
    layers: int
    grids: int
    jobs: int
    callers: int
    sample_s: float
    budget_bytes: int

    def of(self, calls: int) -> DayScale:
        """A shorter or longer day of the same mix."""
        part = calls / self.calls
        layers, grids, jobs = (max(1, round(part * each)) for each in (self.layers, self.grids, self.jobs))
        return replace(self, calls=calls, layers=layers, grids=grids, jobs=jobs)


FULL = DayScale(
    (
        *FULL_NETWORKS,
        Network(
            "efficientnetb0", "EfficientNetB0", lambda: keras.applications.EfficientNetB0(weights=None), NONE,
            "top_activation", 224, 16,
        ),
        Network(
            "densenet121", "DenseNet121", lambda: keras.applications.DenseNet121(weights=None), TORCH, "relu", 224, 16
        ),
    ),
    # Most of a day goes to what answers soon.
    {
        "mobilenetv2": 0.38, "efficientnet-lite0": 0.38, "efficientnetb0": 0.12, "resnet50": 0.06, "densenet121": 0.04,
        "vgg16": 0.02,
    },
    calls=10_000,
    layers=40,
    grids=200,
    jobs=50,
    callers=4,
    sample_s=1.0,
    # Less than the six networks take with all that is compiled for them in a day.
    budget_bytes=2 * 10**9,
)  # fmt: skip
QUICK = DayScale(
    SMALL[2:3],
    {SMALL[2].id: 1.0},
    calls=60,
    layers=1,
    grids=3,
    jobs=2,
    callers=2,
    sample_s=0.1,
    # Nearly what it takes with all that is compiled for it.
    budget_bytes=16 * 10**6,
)
