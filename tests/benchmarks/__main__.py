"""`make bench`: measures, prints the table and writes it to RESULTS.md."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from tests.benchmarks import report
from tests.benchmarks.bench import Bench, opened
from tests.benchmarks.day.report import NAME as DAY
from tests.benchmarks.measures import answers, load, maximization, occlusion, processes
from tests.benchmarks.measures.beside import beside
from tests.benchmarks.measures.first_calls import first_calls
from tests.benchmarks.measures.memory import memory
from tests.benchmarks.measures.photographs import photographs
from tests.benchmarks.peers.environment import Peers, started
from tests.benchmarks.rows import Row
from tests.benchmarks.scale import FULL, Scale
from tests.benchmarks.section import keeping

PEER_IMAGES = 8


def measured(bench: Bench, peers: Peers) -> Iterator[Row]:
    """Every row, in the order of the table."""
    for network in bench.scale.networks:
        yield from answers.against_bare(bench, network)
    yield from answers.against_peers(bench, peers)
    yield from occlusion.against_others(bench, peers)
    yield from occlusion.strategies(bench)
    yield load.concurrent(bench)
    yield maximization.against_tutorial(bench)
    yield maximization.traces(bench)
    yield from load.activations(bench)
    yield from photographs(bench)
    if bench.scale.long:
        yield from long_rows(bench)
    yield processes.starts(bench)
    yield from processes.memory(bench)
    yield processes.responsive(bench)


def long_rows(bench: Bench) -> Iterator[Row]:
    """What takes every method on services of their own."""
    yield from beside(bench)
    yield from first_calls(bench)
    yield from memory(bench)


def main(scale: Scale, tell: Callable[[str], object]) -> tuple[Sequence[Row], str]:
    """All rows and the text of RESULTS.md; `tell` is told each row as soon as there is one."""
    begun = time.perf_counter()
    with opened(scale) as bench, _peers(bench) as peers:
        rows = []
        for row in measured(bench, peers):
            rows.append(row)
            tell(f"{time.perf_counter() - begun:6.0f} s  {row.what}: {row.shown}\n")
        return rows, report.text(rows, peers.versions, time.perf_counter() - begun)


def _peers(bench: Bench) -> AbstractContextManager[Peers]:
    if not bench.scale.peers:
        return nullcontext(Peers(None, {}, "not asked for"))
    network = bench.main
    images = np.concatenate([network.prepared(bench.pictures.pixels()).batch for _ in range(PEER_IMAGES)])
    best = int(bench.bare(network)["predict"](images[:1]).argmax())
    path = bench.models / network.id / "model.keras"
    return started(path, images, best, network.cam_layer, bench.folder / "peers.log")


if __name__ == "__main__":
    _, written = main(FULL, sys.stderr.write)
    before = report.RESULTS.read_text(encoding="utf-8") if report.RESULTS.is_file() else ""
    report.RESULTS.write_text(keeping(written, before, DAY), encoding="utf-8")
    sys.stdout.write(written)
