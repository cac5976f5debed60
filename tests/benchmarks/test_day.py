"""A day on small networks: every call is answered, and the section, its figures and its plot are what was sampled."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.benchmarks.day.__main__ import main
from tests.benchmarks.day.day import Day
from tests.benchmarks.day.figures import rows
from tests.benchmarks.day.mix import Mix
from tests.benchmarks.day.offer import Offer
from tests.benchmarks.day.plot import Axis
from tests.benchmarks.day.scale import FULL, QUICK
from tests.benchmarks.section import keeping, section_of, with_section

BENCH = "# Measured\n\n| what | figure |\n|---|---|\n| start | 1.5 s |\n\n## Times\n\nNotes.\n"
SVG = "{http://www.w3.org/2000/svg}"
LAYERS = {
    "cam": [f"block{number}" for number in range(60)],
    "activations": [f"block{number}" for number in range(60)],
    "kernels": [f"conv{number}" for number in range(30)],
}


@pytest.fixture(scope="module")
def offers() -> Sequence[Offer]:
    """The last network has no ReLU to guide gradients by."""
    refused = [*([{"cam"}] * (len(FULL.networks) - 1)), {"cam", "guided_gradcam", "guided_backprop"}]
    return [Offer(network, LAYERS, names) for network, names in zip(FULL.networks, refused, strict=True)]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("day") / "RESULTS.md"
    path.write_text(BENCH, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def day(results: Path) -> Day:
    return main(QUICK, results, lambda text: None)


@pytest.mark.benchmark
def test_every_call_is_answered(day: Day) -> None:
    assert day.callers.refused == []
    assert day.callers.answered.total() == day.samples[-1].calls == QUICK.calls
    assert day.callers.jobs == {"succeeded": QUICK.jobs}


@pytest.mark.benchmark
def test_every_figure_is_there(day: Day) -> None:
    found = {row.key: row for row in rows(day)}
    assert found["day/refused"].figure == found["day/restarts"].figure == 0
    assert found["day/highest"].figure > 0
    assert all(sample.told < sample.bare + sample.budget + 2**30 for sample in day.samples)
    assert all(sample.engine > sample.api > 50e6 for sample in day.samples)


@pytest.mark.benchmark
def test_the_section_stands_behind_what_was_there(day: Day, results: Path) -> None:
    text = results.read_text(encoding="utf-8")
    assert text.startswith(BENCH)
    section = section_of(text, "day")
    assert "![Memory of the engine and the api over a day's mix](day.svg)" in section
    assert len(re.findall(r"^\| (?:10|25|50|75|100) % \|", section, re.M)) == 5
    assert f"{QUICK.calls} calls by {QUICK.callers} callers" in section


@pytest.mark.benchmark
def test_the_plot_has_a_point_a_sample(day: Day, results: Path) -> None:
    root = ElementTree.parse(results.with_name("day.svg")).getroot()
    lines = {line.get("class"): line.get("points", "").split() for line in root.iter(f"{SVG}polyline")}
    assert set(lines) == {"engine", "told", "api", "budget"}
    assert {len(points) for points in lines.values()} == {len(day.samples)}
    assert len(day.samples) > 10
    sides = root.get("viewBox", "").split()[2:]
    for point in (point for points in lines.values() for point in points):
        assert all(0 < float(at) < float(side) for at, side in zip(point.split(","), sides, strict=True))


def test_the_full_day_asks_for_everything(offers: Sequence[Offer]) -> None:
    calls = Mix(FULL, offers).calls()
    assert len(calls) == 10_000
    assert sum(call.job for call in calls) == 50
    grids = {(call.query["patch"], call.query["stride"]) for call in calls if "," in call.query.get("patch", "")}
    assert len(grids) == 200
    for variant in ("gradcam", "layercam", "scorecam", "ablationcam", "eigencam"):
        asked = {(call.model, call.query["layer"]) for call in calls
                 if call.query.get("method") == variant and "layer" in call.query}  # fmt: skip
        assert len(asked) == 40
    for network in FULL.networks:
        own = [call for call in calls if call.model == network.id]
        assert len({call.query["layers"] for call in own if "layers" in call.query}) == 40
        assert {call.query.get("method") for call in own if call.method == "saliency"} >= {"deconvnet", "vargrad"}
    for offer in offers:
        own = {call.query.get("method") for call in calls if call.model == offer.network.id}
        assert not own & set(offer.refused)
    assert 0.01 < sum(call.model == "vgg16" for call in calls) / len(calls) < 0.06
    assert calls == Mix(FULL, offers).calls()


def test_a_shorter_day_is_of_the_same_mix() -> None:
    day = FULL.of(500)
    assert (day.calls, day.layers, day.grids, day.jobs, day.callers) == (500, 2, 10, 2, 4)


def test_a_section_is_replaced_and_kept() -> None:
    once = with_section(BENCH, "day", "## A day\n\nfirst")
    assert once == BENCH + "\n<!-- day: made by `make day` -->\n## A day\n\nfirst\n<!-- end of day -->\n"
    twice = with_section(once, "day", "## A day\n\nsecond \\1")
    assert "first" not in twice
    assert twice.count("## A day") == 1
    assert keeping("# Measured\n\nanew\n", twice, "day") == "# Measured\n\nanew\n\n" + section_of(twice, "day")
    assert keeping("anew\n", BENCH, "day") == "anew\n"


def test_ticks_are_round() -> None:
    assert Axis.over(23.7, 0, 100, 8).ticks == [0, 5, 10, 15, 20]
    assert Axis.over(3.1, 0, 100, 5).ticks == [0, 1, 2, 3]
    assert Axis.over(0.9, 0, 100, 5).ticks == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
