"""The dashboard shows what the running service exports, and everything that it exports of its own."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from tests.checks import CAM, PNG, saved, triangle
from tests.conftest import ROOT, Service
from tests.metrics.scrape import scrape

DOCKER = ROOT / "docker"
DASHBOARD = json.loads((DOCKER / "grafana" / "kerascope.json").read_text(encoding="utf-8"))
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


@pytest.fixture(scope="module")
def exported(service: Service) -> tuple[set[str], set[str]]:
    """Names of samples, and names of labels."""
    assert service.client.post(CAM, content=saved(triangle()), headers=PNG).status_code == 200
    found = scrape(service.client)
    return found.names, {name for _, labels in found.samples for name, _ in labels}


@pytest.mark.parametrize("query", QUERIES)
def test_every_name_in_a_query_is_exported(query: str, exported: tuple[set[str], set[str]]) -> None:
    names = set(re.findall(r"\b(?:kerascope|process)_\w+", query))
    assert names
    assert names - exported[0] == set()
    grouped = {label for labels in re.findall(r"by \(([^)]*)\)", query) for label in labels.split(", ")}
    assert grouped - exported[1] == set()


def test_everything_of_ours_is_shown(exported: tuple[set[str], set[str]]) -> None:
    shown = " ".join(QUERIES)
    ours = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exported[0] if name.startswith("kerascope_")}
    assert {name for name in ours if name not in shown} == set()


def test_panels_lie_side_by_side() -> None:
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_the_dashboard_asks_the_data_source_that_is_provisioned() -> None:
    text = (DOCKER / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text(encoding="utf-8")
    (source,) = yaml.safe_load(text)["datasources"]
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {source["uid"]}
    assert source["url"] == "http://prometheus:9090"
