"""What plans and models take in the engine's memory, in a service of its own for each figure."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.benchmarks.bench import SETTINGS, Bench
from tests.benchmarks.callers import Caller, NotAvailable
from tests.benchmarks.measures.methods import every
from tests.benchmarks.measures.processes import child_of, resident_bytes, settled
from tests.benchmarks.networks import Network
from tests.benchmarks.rows import Row, at_most
from tests.conftest import Service, start_service

MOST_MB = 500
# Beside the weights, and beside them twice, folded: for layers, libraries and one plan.
ALONE_MB, WITH_PLAN_MB = 97, 165


@contextmanager
def _fresh(bench: Bench, name: str, **settings: str) -> Iterator[tuple[Caller, Service]]:
    folder = bench.folder / f"memory-{name}"
    service = start_service(folder, models_dir=bench.models, **(SETTINGS | settings))
    service.client.timeout = 900
    try:
        yield Caller(service.client, bench.pictures), service
    finally:
        service.stop()


def _at_rest(bench: Bench, service: Service) -> float:
    """Resident MB of the engine once it has given back what it can."""
    time.sleep(bench.scale.rest_s)
    return resident_bytes(child_of(service.process.pid)) / 1e6


def memory(bench: Bench) -> Iterator[Row]:
    """What the first plans of a model add, and each more; the engine after every method; and within a budget."""
    networks = {network.id: network for network in bench.scale.networks}
    yield from _plans(bench, networks["resnet50"])
    yield _after_everything(bench, networks["efficientnet-lite0"])
    yield _in_turn(bench)


def _plans(bench: Bench, network: Network) -> list[Row]:
    layers = [layer.name for layer in bench.model(network).layers if len(layer.output.shape) == 4][-9:-1]
    weights = sum(weight.numpy().nbytes for weight in bench.model(network).weights) / 1e6
    # With so little room nothing is compiled that nobody asked for, neither for the model alone nor with one plan.
    with _fresh(bench, "no-plan", registry_bytes=str(int((weights + ALONE_MB) * 1e6))) as (_, service):
        service.client.post(f"/v1/models/{network.id}/load").raise_for_status()
        warm = _at_rest(bench, service)
    with _fresh(bench, "first-plan", registry_bytes=str(int((2 * weights + WITH_PLAN_MB) * 1e6))) as (caller, service):
        caller.post(network.id, "predict")
        first = _at_rest(bench, service) - warm
        held = service.client.get("/v1/models").raise_for_status().json()["models"]
        (plans,) = {row["plans"] for row in held if row["id"] == network.id}
    with _fresh(bench, "more-plans") as (caller, service):
        caller.post(network.id, "predict")
        traces = settled(caller, bench.scale.rest_s) or 0
        before = _at_rest(bench, service)
        for layer in layers:
            caller.post(network.id, "cam", layer=layer)
        more = ((caller.traces() or 0) - traces) or 1
        each = (_at_rest(bench, service) - before) / more
    alone = f"plans: {plans}, of predict, with the folded weights that all plans read"
    return [
        Row(
            "memory/first-plan",
            f"memory that the first plan of {network.title} adds ÷ its weights",
            first / weights,
            at_most(1.0),
            measured=f"{first:.0f} MB",
            against=f"{weights:.0f} MB of weights",
            note=alone,
        ),
        Row(
            "memory/more-plans",
            f"memory that each more plan of {network.title} adds",
            each,
            at_most(12),
            "MB",
            note=f"cam at {len(layers)} layers, {more} plans",
        ),
    ]


def _after_everything(bench: Bench, network: Network) -> Row:
    layers = [layer.name for layer in bench.model(network).layers if len(layer.output.shape) == 4]
    count = 0
    with _fresh(bench, "everything") as (caller, service):
        for method, query in every(network.size):
            with contextlib.suppress(NotAvailable):
                caller.post(network.id, method, **query)
                count += 1
        for layer in (layers[len(layers) // 2], layers[-2]):
            for method, query in (("cam", {"layer": layer}), ("activations", {"layers": layer})):
                caller.post(network.id, method, **query)
        peak = resident_bytes(child_of(service.process.pid)) / 1e6
        rest = _at_rest(bench, service)
    return Row(
        "memory/everything",
        f"the engine after every method, variant and two layers on {network.title}",
        max(peak, rest),
        at_most(1500),
        "MB",
        note=f"{count} methods and variants; at rest {rest:.0f} MB",
    )


def _in_turn(bench: Bench) -> Row:
    budget = str(MOST_MB * 10**6)
    used, most = [], 0.0
    with _fresh(bench, "turns", registry_bytes=budget, preload="") as (caller, service):
        bare = resident_bytes(child_of(service.process.pid)) / 1e6
        names = [network.id for network in bench.scale.networks if network is not bench.main] + ["shapes"]
        for name in (*names, *names):
            size = next((network.size for network in bench.scale.networks if network.id == name), 28)
            for method, query in every(size)[:8]:
                with contextlib.suppress(NotAvailable):
                    caller.post(name, method, **query)
            most = max(most, _at_rest(bench, service) - bare)
            used.append(name)
    return Row(
        "memory/budget",
        f"the engine with KERASCOPE_REGISTRY_BYTES of {MOST_MB} MB above the bare one, models in turn",
        most,
        at_most(MOST_MB),
        "MB",
        note=f"{len(set(used))} models, each twice with eight methods; at rest after each; bare {bare:.0f} MB",
    )
