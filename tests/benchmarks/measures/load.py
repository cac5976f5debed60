"""Many callers at once, and many feature maps in one answer."""

from __future__ import annotations

import statistics

import numpy as np

from tests.benchmarks import bare
from tests.benchmarks.bench import Bench
from tests.benchmarks.callers import CALLERS
from tests.benchmarks.rows import Row, at_least, at_most, seconds
from tests.benchmarks.timing import medians, timed

TURNS = 2


def concurrent(bench: Bench) -> Row:
    """Images a second of 32 callers ÷ those of one caller in a loop, in turns."""
    network, count = bench.main, bench.scale.burst
    few = max(1, count // 4)
    bench.caller.at_once(count // 2, network.id, "cam")
    one, many = [], []
    for _ in range(TURNS):
        one.append(few / bench.caller.one_after_another(few, network.id, "cam"))
        many.append(count / bench.caller.at_once(count, network.id, "cam"))
    alone, together = statistics.median(one), statistics.median(many)
    return Row(
        f"concurrent/{network.id}",
        f"cam on {network.title}: {CALLERS} callers ÷ one caller in a loop, images a second",
        together / alone,
        at_least(1.7),
        measured=f"{together:.2f} images/s",
        against=f"{alone:.2f} images/s",
        note=f"{count} images by {CALLERS} callers, {few} by one, {TURNS} turns",
    )


def activations(bench: Bench) -> list[Row]:
    """Feature maps of several layers as npz over HTTP ÷ the bare forward pass to the last of them."""
    network, rows = bench.main, []
    batch = network.prepared(bench.pictures.pixels()).batch
    for place, layers in enumerate(network.tapped):
        names = ",".join(layers)
        forward = bare.until(bench.model(network), layers[-1])
        raw = bench.caller.arrays(network.id, "activations", layers=names)
        http = bench.caller.timed(network.id, "activations", layers=names, format="npz")
        found = medians({"http": http, "bare": timed(lambda run=forward: run(batch))}, bench.scale.rounds)
        megabytes = sum(array.nbytes for array in raw.values()) / 1e6
        rows.append(
            Row(
                f"activations/{network.id}/{place}",
                f"activations on {network.title}, {len(layers)} layers to {layers[-1]} as npz ÷ bare forward to it",
                found["http"] / found["bare"],
                at_most(1.6, 1.3),
                measured=seconds(found["http"]),
                against=f"{seconds(found['bare'])} bare",
                note=f"{names}; {megabytes:.0f} MB of float32",
            )
        )
    return rows


def activations_differ(bench: Bench) -> float:
    """Largest difference of the last layer's maps from the bare ones, over the range of those."""
    network = bench.main
    batch = network.prepared(bench.pictures.pixels()).batch
    layer = network.tapped[0][-1]
    wanted = bare.until(bench.model(network), layer)(batch)[0]
    given = bench.caller.arrays(network.id, "activations", batch[0], layers=layer)[layer]
    return float(np.abs(given - wanted).max() / np.ptp(wanted))
