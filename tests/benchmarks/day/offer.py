"""What the service offers for one network: which variants hold for it, and at which layers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import httpx
import numpy as np

from tests.benchmarks.networks import Network


@dataclass(frozen=True)
class Offer:
    """`layers` by method, in the network's order; `refused` are the variants that are not valid for it."""

    network: Network
    layers: Mapping[str, Sequence[str]]
    refused: Collection[str]

    def spread(self, method: str, count: int) -> list[str]:
        """At most so many of the method's layers, from the first to the last at even distances."""
        layers = self.layers[method]
        places = np.linspace(0, len(layers) - 1, min(count, len(layers)))
        return [layers[round(place)] for place in places]


def offer_of(client: httpx.Client, network: Network) -> Offer:
    """Asks the catalogue, which loads the network."""
    client.post(f"/v1/models/{network.id}/load").raise_for_status()
    rows = client.get("/v1/methods", params={"model": network.id}).raise_for_status().json()["methods"]
    validity = {row["name"]: row["validity"] for row in rows}
    refused = frozenset(variant for each in validity.values() for variant in each["not_valid"])
    return Offer(network, {name: each["layers"] for name, each in validity.items()}, refused)
