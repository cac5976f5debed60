"""The calls of a day, drawn from a seed: mostly light ones, and among them everything that the service can do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from service.explainers import BY_NAME
from tests.benchmarks.day.call import Call, Media
from tests.benchmarks.day.offer import Offer
from tests.benchmarks.day.scale import DayScale
from tests.benchmarks.measures.methods import SMALL, every

SEED = 20_261_127
# (height, width) in px and how often.
SIZES = (((240, 360), 0.5), ((64, 64), 0.1), ((480, 640), 0.25), ((333, 250), 0.1), ((1080, 1440), 0.05))
MEDIA: tuple[Media, ...] = ("image/png", "image/jpeg")
# What most of a day is made of; `other` is any variant, `at a layer` any layer of the network.
USUAL = {
    "predict": 0.45, "cam": 0.3, "cam other": 0.03, "cam at a layer": 0.01, "saliency": 0.08, "saliency other": 0.02,
    "activations": 0.02, "activations at a layer": 0.02, "explain": 0.03, "kernels": 0.04,
}  # fmt: skip
# Every channel of these costs a pass from the layer on: they are asked for in the deeper half of light networks.
DEEP = "ablationcam"
Queries = Mapping[str, Any]


class Mix:
    """Draws the calls. `offers` are those of the networks, in the order of the scale."""

    def __init__(self, scale: DayScale, offers: Sequence[Offer]) -> None:
        self._scale = scale
        self._offers = offers
        self._random = np.random.default_rng(SEED)
        shares = np.array([scale.shares[offer.network.id] for offer in offers])
        self._shares = shares / shares.sum()
        # With how deep each lies in its network, from 0 to 1.
        self._layers = [
            (offer, layer, place / len(layers))
            for offer in offers
            for layers in [offer.spread("cam", scale.layers)]
            for place, layer in enumerate(layers, start=1)
        ]

    def calls(self) -> list[Call]:
        """All calls of the day in the order in which they are made."""
        special = [*self._variants(), *self._at_layers(), *self._grids(), *self._jobs()]
        special = special[: self._scale.calls]
        calls = special + [self._usual() for _ in range(self._scale.calls - len(special))]
        return [calls[place] for place in self._random.permutation(len(calls))]

    def _variants(self) -> Iterator[Call]:
        """Every method and variant on every network for which it is valid, at its default layer."""
        for offer in self._offers:
            for method, query in every(offer.network.size):
                if query.get("method", method) not in offer.refused:
                    yield self._call(offer, method, query)

    def _at_layers(self) -> Iterator[Call]:
        """Every layer of the day once, and every variant that takes one at as many as the scale says."""
        for offer, layer, _ in self._layers:
            yield self._call(offer, "activations", {"layers": layer})
        for variant in (each.name for each in BY_NAME["cam"].variants):
            for offer, layer in self._some_layers(variant):
                yield self._call(offer, "cam", {"method": variant, "layer": layer, **SMALL.get(variant, {})})
        for offer, layer in self._some_layers("guided_gradcam"):
            yield self._call(offer, "saliency", {"method": "guided_gradcam", "layer": layer})

    def _some_layers(self, variant: str) -> list[tuple[Offer, str]]:
        """Draws different layers of networks it is valid for; the original CAM has no other than its own."""
        if variant == "cam":
            return []
        light = float(np.median(self._shares))
        fit = [
            (offer, layer)
            for offer, layer, depth in self._layers
            if variant not in offer.refused
            and (variant != DEEP or (depth >= 0.5 and self._scale.shares[offer.network.id] >= light))
        ]
        weights = np.array([self._scale.shares[offer.network.id] for offer, _ in fit])
        count = min(len(fit), self._scale.layers)
        chosen = self._random.choice(len(fit), count, replace=False, p=weights / weights.sum())
        return [fit[place] for place in chosen]

    def _grids(self) -> Iterator[Call]:
        """Occlusion, each time with another pair of window and step."""
        seen: set[tuple[int, ...]] = set()
        while len(seen) < self._scale.grids:
            offer = self._network()
            low, high = offer.network.size // 4, offer.network.size // 2
            patch = self._random.integers(low, high, 2, endpoint=True)
            stride = [int(self._random.integers(side // 2 + 1, side, endpoint=True)) for side in patch]
            grid = (*map(int, patch), *stride)
            if grid not in seen:
                seen.add(grid)
                strategy = "full" if self._random.random() < 0.2 else "auto"
                sides = {"patch": f"{grid[0]},{grid[1]}", "stride": f"{grid[2]},{grid[3]}"}
                yield self._call(offer, "occlusion", sides | {"strategy": strategy})

    def _jobs(self) -> Iterator[Call]:
        """Every kind of job in turn: filters in each recipe, a dream, a class, and what else takes long."""
        presets = [each.name for each in BY_NAME["maximization"].variants]
        for number in range(self._scale.jobs):
            offer = self._network()
            layer = self._one_of(offer.layers["kernels"])
            side = {"size": min(64, offer.network.size), "steps": 8}
            kinds: list[tuple[str, Queries, bool]] = [
                *(("maximization", {"preset": preset, "layer": layer, "channels": "0-1", **side}, False)
                  for preset in presets),
                ("maximization", {"layer": layer, "init": "image", **side}, True),
                ("maximization", {"target": 3, "steps": 4}, False),
                ("saliency", {"method": "smoothgrad", "samples": 8}, True),
                ("occlusion", {"patch": offer.network.size // 4, "stride": offer.network.size // 8}, True),
                ("cam", {"method": "layercam", "target": "top3"}, True),
            ]  # fmt: skip
            method, query, sends = kinds[number % len(kinds)]
            yield self._call(offer, method, query, sends=sends, job=True)

    def _usual(self) -> Call:
        """One of the light calls."""
        kind = self._weighted(USUAL)
        method, _, how = kind.partition(" ")
        offer = self._network()
        if kind == "explain":
            return self._call(offer, method, {"methods": "predict,cam,saliency"})
        if kind == "kernels":
            return self._call(offer, method, {"layer": self._often(offer.layers["kernels"])}, sends=False)
        if how == "other":
            names = [each.name for each in BY_NAME[method].variants if each.name not in (*offer.refused, DEEP)]
            variant = self._one_of(names)
            return self._call(offer, method, {"method": variant, **SMALL.get(variant, {})})
        if how == "at a layer":
            layer = self._often(offer.spread("cam", self._scale.layers))
            return self._call(offer, method, {"layers" if method == "activations" else "layer": layer})
        return self._call(offer, method, {})

    def _call(self, offer: Offer, method: str, query: Queries, *, sends: bool = True, job: bool = False) -> Call:
        form = {} if job else self._form(method)
        said = {key: str(value) for key, value in (query | form).items()}
        size = self._weighted(dict(SIZES)) if sends else None
        return Call(offer.network.id, method, said, size, MEDIA[int(self._random.integers(2))], job)

    def _form(self, method: str) -> dict[str, str]:
        """What the answer is written as."""
        if method in ("predict", "explain"):
            return {"format": self._weighted({"json": 0.8, "npz": 0.2})}
        if method in ("activations", "kernels"):
            return {"format": self._weighted({"png": 0.4, "jpeg": 0.3, "npz": 0.3})}
        form = self._weighted({"png": 0.4, "jpeg": 0.25, "json": 0.2, "npz": 0.15})
        return {"format": form} | ({"picture": "jpeg"} if form == "json" else {})

    def _network(self) -> Offer:
        return self._offers[int(self._random.choice(len(self._offers), p=self._shares))]

    def _weighted(self, weights: Mapping[Any, float]) -> Any:
        values = np.array(list(weights.values()))
        return list(weights)[int(self._random.choice(len(values), p=values / values.sum()))]

    def _one_of(self, names: Sequence[str]) -> str:
        return names[int(self._random.integers(len(names)))]

    def _often(self, names: Sequence[str]) -> str:
        """Draws a few names often and the others seldom."""
        return names[int(len(names) * self._random.random() ** 3)]
