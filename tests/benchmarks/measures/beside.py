"""How long a light call takes beside heavier ones, against alone."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

import numpy as np

from tests.benchmarks.bench import Bench
from tests.benchmarks.callers import Caller, NotAvailable
from tests.benchmarks.measures.methods import every
from tests.benchmarks.rows import Row, at_most, seconds

HEAVIEST = ("resnet50", "mobilenetv2", "efficientnet-lite0")
PERCENTILE = 95


def beside(bench: Bench) -> list[Row]:
    """Predictions on the last network, alone, beside warm calls of every method, and beside plans that are new."""
    network = bench.scale.networks[-1]
    send = bench.caller.timed(network.id, "predict")
    for _ in range(5):
        send()
    alone = np.percentile([send() for _ in range(bench.scale.beside)], PERCENTILE)
    others = [each for each in bench.scale.networks if each.id in HEAVIEST]
    warm: list[tuple[str, Callable[[Caller], object]]] = []
    for other in others:
        for method, query in every(other.size):
            with contextlib.suppress(NotAvailable):
                bench.caller.post(other.id, method, **query)
                named = f"{method} {query.get('method', query.get('strategy', ''))}".strip()
                warm.append((f"{named} on {other.title}", _call(other.id, method, query)))
    worst, slowest = 0.0, ""
    for name, call in warm:
        found = _p95(bench, send, [call] * 1000)
        if found > worst:
            worst, slowest = found, name
    biggest = others[0]
    layers = [layer.name for layer in bench.model(biggest).layers if len(layer.output.shape) == 4]
    new = [_call(biggest.id, "cam", {"layer": layer}) for layer in layers[-12:-2]]
    compiled = _p95(bench, send, new)
    base = f"p95 of predict on {network.title}"
    return [
        Row("beside/warm", f"{base} beside any other warm call ÷ alone", worst / alone, at_most(4),
            measured=seconds(worst), against=f"{seconds(alone)} alone", note=f"the slowest beside {slowest}"),
        Row("beside/new", f"{base} beside first calls on {biggest.title} ÷ alone", compiled / alone, at_most(8),
            measured=seconds(compiled), against=f"{seconds(alone)} alone", note=f"cam at {len(new)} layers"),
    ]  # fmt: skip


def _call(model: str, method: str, query: dict[str, object]) -> Callable[[Caller], object]:
    return lambda caller: caller.post(model, method, **query)


def _p95(bench: Bench, send: Callable[[], float], calls: list[Callable[[Caller], object]]) -> float:
    """Gives that of predictions which are made while another caller makes `calls`, one after another."""
    done = threading.Event()
    ended = threading.Event()

    def run() -> None:
        for call in calls:
            if done.is_set():
                break
            call(bench.caller)
        ended.set()

    other = threading.Thread(target=run)
    other.start()
    time.sleep(0.05)
    taken = []
    while len(taken) < bench.scale.beside and not ended.is_set():
        taken.append(send())
    done.set()
    other.join()
    return float(np.percentile(taken, PERCENTILE))
