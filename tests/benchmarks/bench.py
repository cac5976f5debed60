"""What every measurement works on: the running service, the networks it has, and a caller."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks import bare
from tests.benchmarks.callers import Caller
from tests.benchmarks.networks import Network
from tests.benchmarks.pictures import Pictures
from tests.benchmarks.scale import Scale
from tests.conftest import Service, start_service

# Far beyond what anything here takes, so that a slow machine gives a slow figure and no error.
SETTINGS = {"call_deadline_s": "900", "preload": "", "queue_limit": "128"}


@dataclass(frozen=True)
class Bench:
    """`models` is the folder with the networks, `folder` for what else is written."""

    scale: Scale
    service: Service
    folder: Path
    models: Path
    pictures: Pictures
    _loaded: dict[str, Any] = field(default_factory=dict)
    _bare: dict[str, dict[str, bare.Arithmetic]] = field(default_factory=dict)

    @property
    def main(self) -> Network:
        """The network that is compared with peers and tutorials."""
        return self.scale.networks[0]

    @property
    def caller(self) -> Caller:
        return Caller(self.service.client, self.pictures)

    def model(self, network: Network) -> Any:
        """The network in this process, from the file the service has."""
        if network.id not in self._loaded:
            self._loaded[network.id] = network.load(self.models)
        return self._loaded[network.id]

    def bare(self, network: Network) -> dict[str, bare.Arithmetic]:
        """Its bare arithmetic, compiled once."""
        if network.id not in self._bare:
            self._bare[network.id] = bare.functions(self.model(network), network.cam_layer)
        return self._bare[network.id]


@contextmanager
def opened(scale: Scale) -> Iterator[Bench]:
    """Builds the networks and starts the service with them."""
    with tempfile.TemporaryDirectory(prefix="kerascope-bench-") as name:
        folder = Path(name)
        for network in scale.networks:
            network.save(folder / "models")
        service = start_service(folder / "service", models_dir=folder / "models", **SETTINGS)
        service.client.timeout = 900
        try:
            yield Bench(scale, service, folder, folder / "models", Pictures())
        finally:
            service.stop()
