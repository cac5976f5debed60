"""The harness measures what it says: with `--quick` on small networks, without it on the true ones."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks import tutorial
from tests.benchmarks.__main__ import long_rows, measured
from tests.benchmarks.bench import Bench, opened
from tests.benchmarks.callers import NotAvailable
from tests.benchmarks.measures import answers, load, maximization
from tests.benchmarks.measures.occlusion import GRAY
from tests.benchmarks.peers import environment
from tests.benchmarks.peers.environment import Peers
from tests.benchmarks.report import text
from tests.benchmarks.rows import Row
from tests.benchmarks.scale import FULL, QUICK

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]
NETWORKS = ("vgg16", "resnet50", "mobilenetv2", "efficientnet-lite0")
KEYS = {
    *(f"{method}/{network}" for method in ("predict", "cam", "saliency") for network in NETWORKS),
    *(f"cam/vgg16/{peer}" for peer in ("peers", "tf-keras-vis", "tf-explain", "xplique")),
    *(f"saliency/vgg16/{peer}" for peer in ("tf-keras-vis", "xplique")),
    *(f"occlusion/vgg16/{other}" for other in ("peers", "tutorial", "tf-explain", "xplique")),
    *(f"strategies/{item}" for item in (*NETWORKS, "difference")),
    *("concurrent/vgg16", "maximization/vgg16", "maximization/vgg16/traces"),
    *("activations/vgg16/0", "activations/vgg16/1"),
    *("photograph/png", "photograph/jpeg"),
    *("start", "memory/start", "memory/api", "memory/slope", "memory/traces", "livez"),
}


LONG = {
    *("beside/warm", "beside/new", "first/efficientnet-lite0", "first/resnet50"),
    *("memory/first-plan", "memory/more-plans", "memory/everything", "memory/budget"),
}


@pytest.fixture(scope="module")
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with opened(QUICK if request.config.getoption("--quick") else FULL) as bench:
        yield bench


@pytest.fixture(scope="module")
def rows(bench: Bench) -> Sequence[Row]:
    return list(measured(replace(bench, scale=replace(bench.scale, long=False)), Peers(None, {}, "not asked for")))


@pytest.mark.soak
def test_the_rows_of_every_method(bench: Bench) -> None:
    rows = list(long_rows(bench))
    assert {row.key for row in rows} == LONG
    assert all(row.figure is not None and np.isfinite(row.figure) for row in rows)


def test_every_row_is_there(rows: Sequence[Row]) -> None:
    assert len(rows) == len(KEYS)
    assert {row.key for row in rows} == KEYS


def test_every_figure_is_a_positive_number_or_says_why_not(rows: Sequence[Row]) -> None:
    for row in rows:
        if row.figure is None:
            assert row.note
            assert row.met == "–"
        elif row.unit == "×":
            assert 0 < row.figure < 1e4, row
        else:
            assert np.isfinite(row.figure), row


def test_only_peers_and_what_is_not_built_are_missing(rows: Sequence[Row]) -> None:
    for row in rows:
        if row.figure is None:
            assert row.note.startswith(("not asked for", "not available: the service "))


def test_the_report_has_every_row(rows: Sequence[Row]) -> None:
    written = text(rows, {"xplique": "2.0.2"}, 61)
    assert all(f"| {row.what} | {row.shown} | {row.target} | {row.met} |\n" in written for row in rows if row.target)
    assert written.count("\n| ") == 2 + len(rows) + sum(row.target is not None for row in rows)
    assert "xplique 2.0.2" in written
    assert "The run took 1 min." in written


@pytest.mark.parametrize("place", range(len(NETWORKS)), ids=NETWORKS)
@pytest.mark.parametrize("method", ["cam", "saliency"])
def test_bare_arithmetic_gives_the_service_s_map(bench: Bench, method: str, place: int) -> None:
    assert answers.difference(bench, bench.scale.networks[place], method) < 1e-4


def test_bare_prediction_gives_the_service_s_probabilities(bench: Bench) -> None:
    network = bench.main
    batch = network.prepared(bench.pictures.pixels()).batch
    (probabilities,) = bench.bare(network)["predict"](batch)
    answer = bench.caller.on_array(network.id, "predict", batch[0], preprocess="false").json()
    best = answer["predictions"][0]
    assert best["class_index"] == probabilities.argmax()
    assert best["probability"] == pytest.approx(probabilities.max(), rel=1e-4)


def test_bare_forward_gives_the_service_s_activations(bench: Bench) -> None:
    assert load.activations_differ(bench) < 1e-5


def test_the_tutorial_s_occlusion_gives_the_service_s_map(bench: Bench) -> None:
    network, index, picture = bench.main, 3, bench.pictures.pixels()
    stride = network.size // 8
    patch = 5 * stride
    image = network.prepared(picture)
    wanted = tutorial.occlusion(bench.model(network), image.batch, index, image.colour(GRAY), patch, stride)
    wish = {"target": index, "patch": patch, "stride": stride, "paint": "cell", "measure": "probability"}
    answer = bench.caller.on_array(network.id, "occlusion", picture, value="gray", format="npy", **wish)
    found = np.load(io.BytesIO(answer.content))
    assert found.shape == (network.size, network.size)
    assert np.ptp(wanted) > 0
    assert np.abs(found[::stride, ::stride].ravel() - wanted).max() < 1e-4 * np.ptp(wanted)


def test_the_tutorial_s_ascent_reaches_the_service_s_objective(bench: Bench) -> None:
    ours, loop = maximization.objectives(bench, filters=2)
    assert loop.min() > 0
    np.testing.assert_allclose(ours, loop, rtol=0.01)


def test_peers_that_cannot_be_installed_say_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("./nothing-of-that-name.whl\n")
    monkeypatch.setattr(environment, "REQUIREMENTS", tmp_path / "requirements.txt")
    monkeypatch.setattr(environment, "FOLDER", tmp_path / "peers")
    monkeypatch.setattr(environment, "PYTHON", tmp_path / "peers" / "bin" / "python")
    monkeypatch.setattr(environment, "INSTALLED", tmp_path / "peers" / ".installed")
    with environment.started(
        tmp_path / "m.keras", np.zeros((1, 2, 2, 3), np.float32), 0, "", tmp_path / "log"
    ) as peers:
        assert peers.missing.startswith("not installed: ")
        with pytest.raises(NotAvailable, match="not installed: "):
            peers.seconds("xplique", "cam")
    assert not (tmp_path / "peers" / ".installed").exists()


def test_peers_that_do_not_start_say_so(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environment, "install", lambda: None)
    monkeypatch.setattr(environment, "PYTHON", sys.executable)
    images = np.zeros((1, 32, 32, 3), np.float32)
    with environment.started(tmp_path / "missing.keras", images, 0, "", tmp_path / "peers.log") as peers:
        assert peers.missing.startswith("they do not start: ")
        assert "missing.keras" in peers.missing
