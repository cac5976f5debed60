"""Perturbation maps against second computations: masks painted one by one, every coalition, plain matrices."""

from __future__ import annotations

from itertools import combinations
from math import factorial
from typing import Any

import keras
import nets
import numpy as np
import pytest

from service.arrays import Array, Arrays
from service.errors import DeadlineExceeded, InvalidParameter, MethodNotValid
from service.explainers.base import Progress, Snapshot
from service.explainers.perturbation.masks import ShiftedMasks, cell_side
from service.explainers.perturbation.partitionshap import Group, tree_of
from service.explainers.perturbation.segments import grid_labels
from service.models.loaded import LoadedModel

SIZE = (7, 5)
EIGHT = {"cells": "4,2", "value": "zero", "target": "2"}


@pytest.fixture(scope="module")
def net() -> LoadedModel:
    return nets.loaded(nets.random_net())


@pytest.fixture(scope="module")
def image() -> Array:
    return np.random.default_rng(5).normal(size=(1, *SIZE, 2)).astype(np.float32)


def logits(net: LoadedModel, batch: Array) -> Array:
    """The score of class 2, by Keras itself."""
    before = keras.Model(net.keras_model.inputs, net.keras_model.get_layer("flatten").output)
    kernel, bias = net.keras_model.get_layer("scores").get_weights()
    return (before.predict(batch, verbose=0).astype(np.float64) @ kernel + bias)[:, 2]


def every_score(net: LoadedModel, image: Array, labels: Array) -> Array:
    """The score of every coalition of segments, by the number whose bits are kept."""
    count = int(labels.max()) + 1
    kept = (np.arange(2**count)[:, None] >> np.arange(count) & 1).astype(np.float32)
    return logits(net, image * kept[:, labels][..., None])


def by_segment(found: Arrays, labels: Array, name: str = "heatmap") -> Array:
    """A map's number in each segment, which must be the same in all its pixels."""
    count = int(labels.max()) + 1
    for segment in range(count):
        assert np.ptp(found[name][labels == segment]) == 0
    return np.array([found[name][labels == segment][0] for segment in range(count)])


def test_kernelshap_is_exact_on_eight_segments(net: LoadedModel, image: Array) -> None:
    labels = grid_labels(SIZE, (4, 2))
    scores = every_score(net, image, labels)
    shapley = np.zeros(8)
    for segment in range(8):
        others = [other for other in range(8) if other != segment]
        for size in range(8):
            weight = factorial(size) * factorial(7 - size) / factorial(8)
            for coalition in combinations(others, size):
                number = sum(1 << other for other in coalition)
                shapley[segment] += weight * (scores[number | 1 << segment] - scores[number])
    found = nets.explain(net, "perturbation", image, method="kernelshap", samples=256, **EIGHT)
    np.testing.assert_allclose(by_segment(found.arrays, labels), shapley, atol=1e-6)
    assert found.parameters["exact"] is True
    assert found.parameters["samples_used"] == 256
    assert found.parameters["additivity_residual"] == pytest.approx(0, abs=1e-6)
    assert not found.arrays["standard_error"].any()
    sampled = nets.explain(net, "perturbation", image, method="kernelshap", samples=200, **EIGHT)
    errors = by_segment(sampled.arrays, labels, "standard_error")
    assert (np.abs(by_segment(sampled.arrays, labels) - shapley) < 3 * errors + 1e-6).all()
    assert 0 < errors.max() < 0.2 * np.ptp(shapley)


def owen(group: Group, scores: Array, without: int, share: float, values: Array) -> None:
    """What a group adds to a coalition, shared between its halves, by recursion over every context."""
    number = sum(1 << segment for segment in group.segments)
    if group.halves is None:
        values[group.segments[0]] += share * (scores[without | number] - scores[without])
        return
    left, right = group.halves
    for half, other in ((left, right), (right, left)):
        beside = sum(1 << segment for segment in other.segments)
        owen(half, scores, without, share / 2, values)
        owen(half, scores, without | beside, share / 2, values)


def test_partitionshap_is_owen_values(net: LoadedModel, image: Array) -> None:
    labels = grid_labels(SIZE, (4, 2))
    expected = np.zeros(8)
    owen(tree_of(labels), every_score(net, image, labels), 0, 1.0, expected)
    found = nets.explain(net, "perturbation", image, method="partitionshap", samples=100, **EIGHT)
    np.testing.assert_allclose(by_segment(found.arrays, labels), expected, atol=1e-5)
    # The ends, and two masks for each group in each of its contexts: 2 + 2·(1 + 4 + 16).
    assert (found.parameters["exact"], found.parameters["samples_used"]) == (True, 44)
    assert not found.arrays["unsplit"].any()
    few = nets.explain(net, "perturbation", image, method="partitionshap", samples=16, **EIGHT)
    assert few.parameters["exact"] is False
    assert few.parameters["samples_used"] == 16
    assert few.parameters["additivity_residual"] == pytest.approx(0, abs=1e-6)
    assert few.arrays["unsplit"].any()
    np.testing.assert_allclose(by_segment(few.arrays, labels).sum(), expected.sum(), atol=1e-5)


def test_lime_is_the_weighted_ridge_regression(net: LoadedModel, image: Array) -> None:
    labels = grid_labels(SIZE, (4, 2))
    scores = every_score(net, image, labels)
    kept = np.random.default_rng(3).integers(0, 2, (299, 8))
    kept = np.concatenate([np.ones((1, 8)), kept])
    values = scores[(kept @ (1 << np.arange(8))).astype(int)]
    sizes = kept.sum(axis=1)
    cosine = np.divide(sizes, np.sqrt(sizes) * np.sqrt(8), out=np.zeros(300), where=sizes > 0)
    weights = np.sqrt(np.exp(-((1 - cosine) ** 2) / 0.25**2))
    with_ones = np.concatenate([kept, np.ones((300, 1))], axis=1)
    gram = with_ones.T @ np.diag(weights) @ with_ones + np.diag([1.0] * 8 + [0.0])
    expected = np.linalg.solve(gram, with_ones.T @ (weights * values))[:8]
    found = nets.explain(net, "perturbation", image, method="lime", samples=300, seed=3, **EIGHT)
    np.testing.assert_allclose(by_segment(found.arrays, labels), expected, atol=1e-5)
    assert 0.5 < found.parameters["fit_score"] <= 1


def test_rise_is_the_mean_score_of_masks_that_keep_a_pixel(net: LoadedModel, image: Array) -> None:
    found = nets.explain(net, "perturbation", image, method="rise", samples=50, cells="3,2", value="zero", target="2")
    generator = np.random.default_rng(0)
    masks = []
    for _ in range(50):
        grid = (generator.random(6) < 0.5).astype(np.float32).reshape(1, 3, 2, 1)
        down, across = generator.integers(0, [3, 3])
        large = keras.ops.image.resize(grid, (4 * 3, 3 * 3), interpolation="bilinear")
        masks.append(np.asarray(large)[0, down : down + 7, across : across + 5, 0])
    painted = np.stack(masks).astype(np.float64)
    scores = logits(net, (image * painted[..., None]).astype(np.float32))
    expected = (scores[:, None, None] * painted).sum(axis=0) / painted.sum(axis=0)
    np.testing.assert_allclose(found.arrays["heatmap"], expected, rtol=1e-4, atol=1e-5)
    assert found.parameters["mean_score"] == pytest.approx(scores.mean(), abs=1e-5)


@pytest.mark.parametrize(("size", "cells"), [((7, 5), (3, 2)), ((224, 224), (7, 7)), ((31, 40), (8, 3))])
def test_sums_of_shifted_masks(size: tuple[int, int], cells: tuple[int, int]) -> None:
    generator = np.random.default_rng(1)
    values = generator.random((40, cells[0] * cells[1])).astype(np.float32)
    sides = [cell_side(side, count) for side, count in zip(size, cells, strict=True)]
    masks = ShiftedMasks(size, cells, values, generator.integers(0, sides, (40, 2)))
    down, grids, across = masks.arrays(slice(None))
    weights = generator.normal(size=(2, 30))
    rows = np.arange(5, 35)
    painted = (down @ grids @ across)[rows]
    assert painted.min() >= 0
    assert painted.max() <= 1
    np.testing.assert_allclose(masks.summed(rows, weights), np.tensordot(weights, painted, 1), rtol=1e-5, atol=1e-5)


def test_sobol_of_a_sum_is_each_part_of_the_variance() -> None:
    """The total index of j is a_j²/Σa² for Σ a_j·m_j with m_j even in 0..1; logit 2 of the pencil net is such a sum,
    Σ x⁻ - Σ x⁺, where a pixel is multiplied by m."""
    found = nets.explain(
        nets.loaded(nets.pencil()), "perturbation", method="sobol", samples=4000, cells="2,3", value="zero", target="2"
    )
    effects = (nets.WEIGHTS[0, 2] * nets.POSITIVE + nets.WEIGHTS[1, 2] * nets.NEGATIVE).astype(np.float64) ** 2
    expected, errors = effects / effects.sum(), found.arrays["standard_error"]
    assert (np.abs(found.arrays["heatmap"] - expected) <= 3 * errors + 1e-3).all()
    assert errors.max() < 0.03
    assert found.parameters["draws"] == 500


def test_hsic_is_the_trace_of_centred_kernels(net: LoadedModel, image: Array) -> None:
    labels = grid_labels(SIZE, (4, 2))
    halves = np.random.default_rng(0).random((60, 8)).argsort(axis=0) < 30
    values = every_score(net, image, labels)[(halves @ (1 << np.arange(8))).astype(int)]
    distances = np.abs(values[:, None] - values)
    width = np.median([distances[a, b] for a, b in combinations(range(60), 2)])
    kernel = np.exp(-(distances**2) / (2 * width**2))
    centring = np.eye(60) - 1 / 60
    expected = []
    for column in halves.T.astype(np.float64):
        own = 0.5 - (column[:, None] - column) ** 2
        expected.append(np.trace(own @ centring @ kernel @ centring) / 60**2)
    found = nets.explain(net, "perturbation", image, method="hsic", samples=60, **EIGHT)
    np.testing.assert_allclose(by_segment(found.arrays, labels), expected, rtol=1e-4)


def test_all_agree_on_an_additive_score() -> None:
    """Logit 1 of the pencil net is 2·Σx⁻ + 1: each pixel's part is 2·x⁻, whoever asks."""
    net = nets.loaded(nets.pencil())
    expected = 2 * nets.NEGATIVE
    asked: dict[str, Any] = {"cells": "2,3", "value": "zero", "target": "1"}
    for method, samples in (("kernelshap", 64), ("kernelshap", 40), ("partitionshap", 100)):
        found = nets.explain(net, "perturbation", method=method, samples=samples, **asked)
        np.testing.assert_allclose(found.arrays["heatmap"], expected, atol=1e-5)
    fitted = nets.explain(net, "perturbation", method="lime", samples=5000, kernel_width=10, **asked)
    np.testing.assert_allclose(fitted.arrays["heatmap"], expected, rtol=0.01, atol=1e-3)
    assert fitted.parameters["fit_score"] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("method", ["rise", "kernelshap", "lime", "sobol", "hsic"])
def test_the_error_is_that_of_another_draw(net: LoadedModel, image: Array, method: str) -> None:
    """Four times the samples of another seed lie within three standard errors of both, all but one in twenty."""
    asked: dict[str, Any] = {**EIGHT, "method": method}
    few = nets.explain(net, "perturbation", image, samples=240, seed=1, **asked).arrays
    many = nets.explain(net, "perturbation", image, samples=960, seed=2, **asked).arrays
    limits = 3 * np.hypot(few["standard_error"], many["standard_error"]) + 1e-6
    inside = np.abs(few["heatmap"] - many["heatmap"]) <= limits
    assert inside.mean() > 0.9
    ratio = many["standard_error"].mean() / max(few["standard_error"].mean(), 1e-12)
    assert ratio < 0.85


def test_a_tolerance_stops_early_and_alike_however_the_work_is_cut(net: LoadedModel, image: Array) -> None:
    asked: dict[str, Any] = {"method": "rise", "samples": 4000, "tolerance": 0.2, "cells": "3,2", "target": "2"}
    found = [nets.explain(net, "perturbation", image, chunk=chunk, **asked) for chunk in (7, 64)]
    used = [each.parameters["samples_used"] for each in found]
    assert used[0] == used[1] < 4000
    np.testing.assert_array_equal(found[0].arrays["heatmap"], found[1].arrays["heatmap"])
    share = found[0].arrays["standard_error"].max() / np.ptp(found[0].arrays["heatmap"])
    assert share <= 0.2
    split = nets.explain(net, "perturbation", image, method="partitionshap", tolerance=0.7, samples=1000, **EIGHT)
    assert split.parameters["samples_used"] == 12


class Stopping(Progress):
    """Keeps the last snapshot, and ends the call after some steps; what is saved comes back."""

    def __init__(self, steps: int | None, saved: Arrays | None = None) -> None:
        self.steps, self.saved, self.seen = steps, saved, 0
        self.previews: list[Snapshot] = []

    def __call__(self, done: int, total: int, loss: float | None = None, snapshot: Any = None) -> None:
        self.seen += 1
        assert 0 <= done <= total
        if snapshot is not None:
            self.previews.append(snapshot())
        if self.steps is not None and self.seen >= self.steps:
            raise DeadlineExceeded("enough")

    def resume(self) -> Arrays | None:
        return self.saved


@pytest.mark.parametrize("method", ["rise", "kernelshap", "partitionshap", "lime", "sobol", "hsic"])
def test_a_job_goes_on_where_it_was(net: LoadedModel, image: Array, method: str) -> None:
    asked: dict[str, Any] = {"method": method, "samples": 44, "cells": "4,2" if method != "sobol" else "2,3"}
    whole = nets.explain(net, "perturbation", image, chunk=5, **asked)
    first = Stopping(4)
    with pytest.raises(DeadlineExceeded):
        nets.explain(net, "perturbation", image, progress=first, chunk=5, **asked)
    last = first.previews[-1]
    assert last.preview.arrays["heatmap"].shape == SIZE
    assert np.isfinite(last.preview.arrays["heatmap"]).all()
    second = Stopping(None, last.state)
    again = nets.explain(net, "perturbation", image, progress=second, chunk=5, **asked)
    assert second.seen < -(-whole.parameters["samples_used"] // 5) + 8 - len(first.previews)
    for name, values in whole.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], values)


REFUSED = [
    ({"method": "rise", "cells": "9,2"}, "9×2 cells do not fit the model's input of 7×5 px"),
    ({"method": "lime", "cells": "1"}, "1×1 cells: there must be 2 to 1024"),
    ({"method": "hsic", "samples": 2001}, "at most 2000 samples"),
    ({"method": "sobol", "samples": 20}, "at least 4 draws, which are 148 samples"),
    ({"method": "kernelshap", "samples": 60, "cells": "7,5"}, "kernelshap needs at least 72"),
    ({"method": "rise", "value": "255,0,0"}, "a colour of red, green and blue"),
]


@pytest.mark.parametrize(("params", "said"), REFUSED)
def test_what_does_not_fit_is_refused(net: LoadedModel, image: Array, params: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidParameter, match=said):
        nets.explain(net, "perturbation", image, **params)


def test_a_probability_needs_one(net: LoadedModel, image: Array) -> None:
    with pytest.raises(MethodNotValid, match="use measure=score"):
        nets.explain(net, "perturbation", image, measure="probability", target="0-1")
    found = nets.explain(net, "perturbation", image, method="partitionshap", measure="probability", **EIGHT)
    assert found.arrays["heatmap"].sum() != 0
    assert 0 <= found.parameters["base_score"] <= 1


@pytest.mark.parametrize("segments", ["slic", "quickshift"])
def test_superpixels_follow_the_colours(segments: str) -> None:
    """Two halves of one colour each: no segment reaches over the border between them."""
    pytest.importorskip("skimage")
    model = nets.loaded(nets.random_net(size=(24, 24)))
    image = np.zeros((1, 24, 24, 2), np.float32)
    image[:, :, 11:] = (1, 3)
    found = nets.explain(
        model, "perturbation", image, method="partitionshap", segments=segments, segment_count=8, samples=64
    )
    labels = found.arrays["segments"]
    assert labels.dtype == np.int32
    assert set(labels[:, :11].ravel()).isdisjoint(labels[:, 11:].ravel())
    assert found.parameters["segment_count"] == labels.max() + 1 >= 2
