"""Filters by gradient ascent as a background job, against the tutorial's ascent of one filter after another."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks import tutorial
from tests.benchmarks.bench import Bench
from tests.benchmarks.callers import traces_row
from tests.benchmarks.rows import Row, at_least, seconds

PRESET = "chollet"
# Its noise: 20 levels from 128 on.
DARKEST, LEVELS = 128, 20


def against_tutorial(bench: Bench) -> Row:
    """The loop ÷ the job. Half of the loop comes before the job and half after it."""
    network, scale = bench.main, bench.scale
    layer = network.filters[0]
    first, _ = bench.caller.job(network.id, "maximization", **_wish(bench, layer, 1))
    half = scale.filters // 2
    extractor = tutorial.without_head(bench.model(network), layer, scale.side)
    loop = _loop(bench, extractor, range(half))
    ours, _ = bench.caller.job(network.id, "maximization", **_wish(bench, layer, scale.filters))
    loop += _loop(bench, extractor, range(half, scale.filters))
    return Row(
        f"maximization/{network.id}",
        f"{scale.filters} filters of {layer} in {network.title}: the tutorial's loop ÷ a job",
        loop / ours,
        at_least(1.15),
        measured=seconds(ours),
        against=f"{seconds(loop)} tutorial",
        note=f"{scale.side} px, {scale.steps} steps; submitted and waited for over HTTP; traced before by a job of one "
        f"filter, which took {seconds(first)}",
    )


def traces(bench: Bench) -> Row:
    """How many functions the filters of another layer have traced, at the same size."""
    network = bench.main
    before = bench.caller.traces(network.id)
    bench.caller.job(network.id, "maximization", **_wish(bench, network.filters[1], 2))
    what = f"traces that filters of a second layer of {network.title} add, same size"
    return traces_row(f"maximization/{network.id}/traces", what, before, bench.caller.traces(network.id))


def objectives(bench: Bench, filters: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The final mean activations, ours and the tutorial's, from the same photograph of the network's input size."""
    network, steps = bench.main, bench.scale.steps
    layer, pixels = network.filters[0], bench.pictures.pixels((network.size, network.size))
    wish = _wish(bench, layer, filters) | {"size": network.size, "init": "image"}
    _, arrays = bench.caller.job(network.id, "maximization", pixels, **wish)
    extractor = tutorial.without_head(bench.model(network), layer, network.size)
    start = network.prepared(pixels).batch
    loop = [tutorial.ascent(extractor, channel, start, steps)[1] for channel in range(filters)]
    return arrays["activation"].astype(np.float64), np.array(loop)


def _wish(bench: Bench, layer: str, filters: int) -> dict[str, str | int]:
    scale = bench.scale
    return {
        "layer": layer,
        "channels": f"0-{filters - 1}",
        "preset": PRESET,
        "size": scale.side,
        "steps": scale.steps,
    }


def _loop(bench: Bench, extractor: object, channels: range) -> float:
    """Seconds of the tutorial's ascents, from noise."""
    network, side = bench.main, bench.scale.side
    random = np.random.default_rng(0)
    started = time.perf_counter()
    for channel in channels:
        noise = DARKEST + LEVELS * random.random((side, side, 3), np.float32)
        offset = network.prepared(np.zeros((side, side, 3), np.uint8)).batch[0, 0, 0]
        tutorial.ascent(extractor, channel, (noise + offset)[None], bench.scale.steps)
    return time.perf_counter() - started
