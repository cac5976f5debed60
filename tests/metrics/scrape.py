"""Reading what `/metrics` says."""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx
from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Scrape:
    """Each sample by its name and labels; `kinds` are counter, gauge, histogram and summary by family."""

    samples: dict[tuple[str, Labels], float] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)

    def __call__(self, name: str, **labels: str) -> float:
        """The sum of the samples with these labels among theirs; 0 where there are none."""
        wanted = set(labels.items())
        return sum(value for (known, has), value in self.samples.items() if known == name and wanted <= has)

    def has(self, name: str, **labels: str) -> bool:
        wanted = set(labels.items())
        return any(known == name and wanted <= has for known, has in self.samples)

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.samples}


def scrape(client: httpx.Client, **headers: str) -> Scrape:
    """Parsed by Prometheus's own parser."""
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found = Scrape()
    for family in text_string_to_metric_families(answer.text):
        found.kinds[family.name] = family.type
        for sample in family.samples:
            found.samples[sample.name, frozenset(sample.labels.items())] = sample.value
    return found
