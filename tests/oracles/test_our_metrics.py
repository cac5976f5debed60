"""Our metrics against the values of Quantus, captum, pytorch-grad-cam and xplique, with their maps and their draws."""

from __future__ import annotations

import base64
import io
from functools import cache
from typing import Any

import numpy as np
import pytest

from service.api.reading.parameters import parse
from service.explainers import BY_NAME
from service.explainers.base import Progress
from service.explainers.evaluation.alikeness import correlation, entropy, spearman
from service.explainers.evaluation.comparison import Comparison, Sets
from service.explainers.evaluation.fidelity import scaled_errors
from service.explainers.evaluation.road import SHARES, imputed
from service.explainers.perturbation.masks import SegmentMasks
from service.explainers.perturbation.segments import grid_labels
from service.explainers.subject import Subject
from service.explainers.targets import parse_targets
from service.models.loaded import LoadedModel
from tests import nets
from tests.oracles.network import SIDE, keras_net
from tests.oracles.row import fixture
from tests.oracles.test_metrics import MAPS, assert_close, image, kept, ranked, scores


@cache
def model() -> LoadedModel:
    return nets.loaded(keras_net(fixture("given")))


def given_target() -> str:
    return str(int(fixture("given")["target"]))


def judged(name: str, **given: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The row of a map of theirs, and the curves of it."""
    stream = io.BytesIO()
    np.save(stream, kept(f"map_{name}").astype(np.float32))
    own = base64.b64encode(stream.getvalue()).decode()
    asked = {"methods": "gradient", "own_map": own, "target": given_target(), "value": "zero", **given}
    params, _ = parse(BY_NAME["evaluate"], asked)
    batch = image()[None].astype(np.float32)
    found = nets.explain(model(), "evaluate", batch, **params.model_dump(exclude_unset=True))
    rows: Any = found.statistics["rows"]
    return rows[1], {key: values[1] for key, values in found.arrays.items()}


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize(("measure", "form"), [("score", "logit"), ("probability", "probability")])
def test_deletion_and_insertion(name: str, measure: str, form: str) -> None:
    _, curves = judged(name, metrics="deletion", measure=measure, steps=36)
    assert_close(curves["deletion"][1:], f"pixel_flipping_{name}_zero_{form}")
    row, curves = judged(name, metrics="deletion,insertion", measure=measure, steps=12, canvas="zero")
    for kind in ("deletion", "insertion"):
        assert_close(curves[kind], f"{kind}_{name}_{form}_points", "tensorflow")
        assert_close(row[kind], f"{kind}_{name}_{form}", "tensorflow")


@pytest.mark.parametrize("name", MAPS)
def test_where_a_map_lies_and_how_concentrated_it_is(name: str) -> None:
    row, _ = judged(name, metrics="pointing,energy,complexity", box="6,8,18,20")
    assert row["pointing"] == kept(f"pointing_game_{name}")[0]
    assert_close(row["energy"], f"attribution_localisation_{name}")
    assert_close(row["complexity"], f"complexity_{name}")
    assert_close(entropy(kept(f"map_{name}").astype(np.float64)), f"complexity_{name}", "tensorflow")


@pytest.mark.parametrize("name", MAPS)
def test_mu_fidelity(name: str) -> None:
    params: Any = BY_NAME["evaluate"].Params(measure="score", target=given_target())
    given = nets.network_input(model(), image()[None].astype(np.float32))
    targets = parse_targets(given_target(), model().graph, model().head, ())
    comparison = Comparison(Subject(model().backend, model().graph, given, targets, Progress()), params, 1)
    stays = kept(f"mu_fidelity_{name}_kept", "tensorflow").reshape(-1, 64)
    labels = grid_labels((SIDE, SIDE), (8, 8))
    under = comparison.under(SegmentMasks(labels, stays.astype(np.float32)), "zero", Progress())
    sets = Sets(labels, ~stays.astype(bool), comparison.clean - under)
    assert_close(
        spearman(sets.sums(kept(f"map_{name}").astype(np.float64)), sets.drops), f"mu_fidelity_{name}", "tensorflow"
    )


@pytest.mark.parametrize("name", ["gradient", "product"])
def test_faithfulness_correlation(name: str) -> None:
    masks, values = kept(f"faithfulness_masks_{name}"), kept(f"map_{name}").astype(np.float64)
    values = values if values.ndim == 3 else values[..., None].repeat(3, axis=2)
    falls = scores(image()[None]) - scores(image() * ~masks)
    assert_close(correlation((masks * values).sum(axis=(1, 2, 3)), falls), f"faithfulness_{name}")


def test_infidelity() -> None:
    noise, values = kept("infidelity_noise").astype(np.float64), kept("map_gradient").astype(np.float64)
    falls = scores(image()[None]) - scores(image() + noise)
    assert_close(scaled_errors(-(noise * values).sum(axis=(1, 2, 3)), falls).mean(), "captum_infidelity_scaled")


def test_road() -> None:
    filled = []
    for share in SHARES:
        removed = np.zeros(SIDE * SIDE, bool)
        removed[ranked("largest")[: int(SIDE * SIDE * share)]] = True
        filled.append(imputed(image().astype(np.float32), removed.reshape(SIDE, SIDE)))
    assert_close(np.stack(filled), "road_filled")


def test_ranks_of_maps_of_randomised_networks() -> None:
    plain = kept("map_gradient").astype(np.float64)
    for place, theirs in enumerate(kept("mprt_maps")):
        assert spearman(plain, theirs.astype(np.float64)) == pytest.approx(kept("mprt")[place], abs=1e-5)
