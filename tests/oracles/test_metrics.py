"""The metrics of Quantus, captum, pytorch-grad-cam and xplique in `fixtures` are what their notes say.

Each is worked out again from its formula, in float64 where no network is asked, with the draws of the fixture.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from tests.oracles.network import FIXTURES, SIDE, keras_net
from tests.oracles.row import fixture

PIXELS = SIDE * SIDE
MAPS = ("largest", "product")
PERCENT = (10, 30, 50, 70, 90)


@cache
def logits_of() -> Any:
    return keras_net(fixture("given"), head=None)


def scores(images: np.ndarray) -> np.ndarray:
    """(n,): the target's logits of images (n, h, w, c)."""
    found = np.asarray(logits_of()(np.asarray(images, np.float32)))
    return found[:, int(fixture("given")["target"])].astype(np.float64)


def probabilities(images: np.ndarray) -> np.ndarray:
    found = np.asarray(logits_of()(np.asarray(images, np.float32))).astype(np.float64)
    powers = np.exp(found - found.max(axis=1, keepdims=True))
    return np.asarray((powers / powers.sum(axis=1, keepdims=True))[:, int(fixture("given")["target"])])


def kept(name: str, of: str = "torch") -> np.ndarray:
    return fixture(f"metrics_{of}")[name]


def image() -> np.ndarray:
    return np.asarray(fixture("given")["image"][0].astype(np.float64))


def ranked(name: str) -> np.ndarray:
    """(576,): the pixels, the largest of the map first."""
    return np.argsort(-kept(f"map_{name}").ravel().astype(np.float64), kind="stable")


def without(pixels: np.ndarray, value: float = 0.0) -> np.ndarray:
    """(h, w, c): the image with these pixels at a value."""
    found = image().reshape(PIXELS, 3)
    found[pixels] = value
    return found.reshape(SIDE, SIDE, 3)


def gini(values: np.ndarray) -> float:
    n, ordered = values.size, np.sort(values, axis=None)
    return float(((2 * np.arange(1, n + 1) - n - 1) * ordered).sum() / (n * ordered.sum()))


def assert_close(found: Any, name: str, of: str = "torch", tolerance: float = 1e-4) -> None:
    """Relative to the peer's largest value."""
    theirs = kept(name, of).astype(np.float64).ravel()
    np.testing.assert_allclose(np.ravel(found), theirs, atol=tolerance * max(np.abs(theirs).max(), 1e-3), rtol=0)


@pytest.mark.parametrize("name", MAPS)
def test_deletion(name: str) -> None:
    order = ranked(name)
    for baseline, value in (("zero", 0.0), ("minimum", image().min())):
        steps = np.stack([without(order[: 16 * k], value) for k in range(1, 37)])
        assert_close(scores(steps), f"pixel_flipping_{name}_{baseline}_logit")
        assert_close(probabilities(steps), f"pixel_flipping_{name}_{baseline}_probability")
    for form, of in (("logit", scores), ("probability", probabilities)):
        for kind in ("deletion", "insertion"):
            counts = kept(f"{kind}_{name}_{form}_pixels", "tensorflow")
            np.testing.assert_array_equal(counts, PIXELS * np.arange(13) // 12)
            cut = [without(order[:count]) for count in counts]
            steps = np.stack([each if kind == "deletion" else image() - each for each in cut])
            found = of(steps)
            assert_close(found, f"{kind}_{name}_{form}_points", "tensorflow")
            assert_close((found[1:] + found[:-1]).mean() / 2, f"{kind}_{name}_{form}", "tensorflow")


@pytest.mark.parametrize("name", MAPS)
def test_regions(name: str) -> None:
    squares = np.arange(PIXELS).reshape(4, 6, 4, 6).transpose(0, 2, 1, 3).reshape(16, 36)
    sums = kept(f"map_{name}").astype(np.float64).ravel()[squares].sum(axis=1)
    order = squares[np.argsort(-sums)]
    steps = np.stack([without(order[:k].ravel()) for k in range(1, 17)])
    assert_close(scores(image()[None]) - scores(steps), f"region_perturbation_{name}")


@pytest.mark.parametrize("name", ["gradient", "product"])
def test_faithfulness_correlation(name: str) -> None:
    masks, values = kept(f"faithfulness_masks_{name}"), kept(f"map_{name}").astype(np.float64)
    values = values if values.ndim == 3 else values[..., None].repeat(3, axis=2)
    falls = scores(image()[None]) - scores(image() * ~masks)
    assert_close(np.corrcoef(falls, (masks * values).sum(axis=(1, 2, 3)))[0, 1], f"faithfulness_{name}")


@pytest.mark.parametrize("name", MAPS)
def test_mu_fidelity(name: str) -> None:
    stays = kept(f"mu_fidelity_{name}_kept", "tensorflow").repeat(3, axis=1).repeat(3, axis=2)
    falls = scores(image()[None]) - scores(image() * stays[..., None])
    assert_close(
        spearmanr(falls, (~stays * kept(f"map_{name}")).sum(axis=(1, 2)))[0], f"mu_fidelity_{name}", "tensorflow"
    )


def test_infidelity() -> None:
    noise, values = kept("infidelity_noise").astype(np.float64), kept("map_gradient").astype(np.float64)
    expected = -(noise * values).sum(axis=(1, 2, 3))
    falls = scores(image()[None]) - scores(image() + noise)
    plain = ((expected - falls) ** 2).mean()
    assert_close(plain, "infidelity")
    assert_close(plain, "captum_infidelity")
    share = (expected * falls).sum() / (expected**2).sum()
    assert_close(((share * expected - falls) ** 2).mean(), "captum_infidelity_scaled")
    squares = np.arange(PIXELS).reshape(4, 6, 4, 6).transpose(0, 2, 1, 3).reshape(16, 36)
    steps = np.stack([without(squares[:k].ravel()) for k in range(1, 17)])
    falls = scores(image()[None]) - scores(steps)
    assert_close(((((image() - steps) * values).sum(axis=(1, 2, 3)) - falls) ** 2).mean(), "infidelity_squares")


def gradient(weights: Any, images: np.ndarray) -> np.ndarray:
    """The target's gradient of logits."""
    import tensorflow as tf

    model, target = keras_net(weights, head=None), int(fixture("given")["target"])
    x = tf.constant(np.asarray(images, np.float32))
    with tf.GradientTape() as tape:
        tape.watch(x)
        score = tf.reduce_sum(model(x)[:, target])
    return np.asarray(tape.gradient(score, x)).astype(np.float64)


def test_max_sensitivity() -> None:
    given = fixture("given")
    moved, plain = gradient(given, image() + kept("sensitivity_noise")), gradient(given, image()[None])
    found = np.sqrt(((moved - plain) ** 2).sum(axis=(1, 2, 3))).max() / np.sqrt((plain**2).sum())
    assert_close(found, "max_sensitivity")
    assert_close(found, "captum_sensitivity_max")


def test_randomised_parameters() -> None:
    weights, plain = dict(fixture("given")), kept("map_gradient").ravel()
    for place, layer in enumerate((None, "scores", "hidden", "second", "first")):
        if layer:
            weights |= {f"{layer}_{part}": kept(f"mprt_{layer}_{part}") for part in ("kernel", "bias")}
        theirs = kept("mprt_maps")[place]
        found = gradient(weights, image()[None])[0]
        np.testing.assert_allclose(found, theirs, atol=1e-4 * np.abs(theirs).max())
        assert spearmanr(plain, theirs.ravel())[0] == pytest.approx(kept("mprt")[place], abs=1e-5)
        ranks = spearmanr(np.abs(plain), np.abs(theirs.ravel()))[0]
        assert ranks == pytest.approx(kept("mprt_absolute")[place], abs=1e-5)


@pytest.mark.parametrize("name", MAPS)
def test_where_a_map_lies(name: str) -> None:
    box, values = kept("box"), kept(f"map_{name}").astype(np.float64)
    assert kept(f"pointing_game_{name}")[0] == box.ravel()[ranked(name)[0]]
    assert_close(box.ravel()[ranked(name)[: box.sum()]].mean(), f"rank_accuracy_{name}")
    assert_close(values[box].sum() / values.sum(), f"mass_accuracy_{name}")
    positive = np.maximum(values, 0)
    assert_close(positive[box].sum() / positive.sum(), f"attribution_localisation_{name}")


@pytest.mark.parametrize("name", MAPS)
def test_how_concentrated_a_map_is(name: str) -> None:
    values = np.abs(kept(f"map_{name}").astype(np.float64))
    shares = values / values.sum()
    entropy = -(shares * np.log(shares + 1e-12)).sum()
    for of in ("torch", "tensorflow"):
        assert_close(entropy, f"complexity_{name}", of)
        assert_close(gini(values), f"sparseness_{name}", of)


def imputed(removed: np.ndarray) -> np.ndarray:
    """(h, w, c): the image whose removed pixels (h, w) are weighted means of their neighbours."""
    weights = {(down, across): 1 / 6 if 0 in (down, across) else 1 / 12 for down in (-1, 0, 1) for across in (-1, 0, 1)}
    weights.pop((0, 0))
    places = np.argwhere(removed)
    number = {tuple(place): row for row, place in enumerate(places)}
    matrix, right = np.zeros((len(places),) * 2), np.zeros((len(places), 3))
    for row, (y, x) in enumerate(places):
        for (down, across), weight in weights.items():
            near = (y + down, x + across)
            if not (0 <= near[0] < SIDE and 0 <= near[1] < SIDE):
                continue
            matrix[row, row] += weight
            if near in number:
                matrix[row, number[near]] -= weight
            else:
                right[row] += weight * image()[near]
    found = image()
    found[removed] = np.linalg.solve(matrix, right)
    return found


def test_road() -> None:
    order = ranked("largest")
    steps = []
    for share in PERCENT:
        removed = np.zeros(PIXELS, bool)
        removed[order[: PIXELS * share // 100]] = True
        steps.append(imputed(removed.reshape(SIDE, SIDE)))
    assert_close(np.stack(steps), "road_filled")
    assert_close(scores(np.stack(steps)), "road_logits")
    assert kept("quantus_road_fails"), "Quantus's ROAD takes images of colour now: its own values can be kept"


def test_road_of_grad_cam() -> None:
    plane = kept("map_largest") / kept("map_largest").max()

    def rises(values: np.ndarray, percentiles: tuple[int, ...]) -> np.ndarray:
        removed = [values >= np.percentile(values, each) for each in percentiles]
        return scores(np.stack([imputed(each) for each in removed])) - scores(image()[None])

    assert_close(rises(plane, tuple(100 - share for share in PERCENT)), "grad_cam_road_most")
    combined = (rises(1 - plane, PERCENT).mean() - rises(plane, PERCENT).mean()) / 2
    assert_close(combined, "grad_cam_road_combined", tolerance=1e-3)


def test_every_value_has_its_note() -> None:
    for of in ("torch", "tensorflow"):
        notes = json.loads((FIXTURES / f"metrics_{of}.json").read_text(encoding="utf-8"))["notes"]
        for name in fixture(f"metrics_{of}"):
            assert any(name.startswith(noted) for noted in notes), name
