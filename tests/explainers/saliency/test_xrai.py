"""Regions of like colours: the greedy order on paper, segments of an image that is drawn, and what XRAI makes of it."""

from __future__ import annotations

import sys
from typing import Any

import nets
import numpy as np
import pytest

from service.errors import DeadlineExceeded, MethodNotValid
from service.explainers import BY_NAME
from service.explainers.base import Progress
from service.explainers.saliency.xrai import by_region, segments_of
from service.explainers.segments import by_colour, grown
from service.models.loaded import LoadedModel

SIDE = 40


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return nets.loaded(nets.any_size_net(side=SIDE))


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """Black with a red square, a little noise over it."""
    drawn = np.zeros((SIDE, SIDE, 3), np.float32)
    drawn[8:28, 10:30, 0] = 1
    return (drawn + 0.01 * np.random.default_rng(0).normal(size=drawn.shape)).astype(np.float32)[None]


def nothing() -> None:
    """Stops nothing."""


def test_regions_on_paper() -> None:
    """The mean over {0, 1} is 4; then 2 and 3 are left of {1, 2, 3}, mean 1.5; {4} is too small, and 4, 5 are last."""
    attribution = np.array([5.0, 3, 2, 1, 9, -3])
    segments = [np.array(each) for each in ([1, 2, 3], [0, 1], [4], [0, 1])]
    means, order = by_region(attribution, segments, 2, nothing)
    np.testing.assert_array_equal(means, [4, 4, 1.5, 1.5, 3, 3])
    np.testing.assert_array_equal(order, [1, 1, 2, 2, 3, 3])
    assert order.dtype == np.int32


def test_grown_segments_reach_as_far_as_a_disk() -> None:
    labels = np.zeros((9, 12), np.int64)
    labels[4, 1] = 1
    rows, columns = np.mgrid[:9, :12]
    near = (rows - 4) ** 2 + (columns - 1) ** 2 <= 9
    around, spot = grown(labels, 3)
    np.testing.assert_array_equal(spot, np.flatnonzero(near))
    assert len(around) == labels.size
    np.testing.assert_array_equal(grown(labels, 0)[1], [4 * 12 + 1])


def test_a_square_is_a_segment(image: np.ndarray) -> None:
    labels = by_colour(image[0], 50, 0.8, 5)
    inside = labels[10:26, 12:28]
    assert inside.min() == inside.max()
    assert not (labels[:6] == inside[0, 0]).any()
    assert by_colour(np.zeros((6, 5, 7), np.float32), 50, 0.8, 1).max() == 0


def test_the_map_is_the_mean_of_each_region(model: LoadedModel, image: np.ndarray) -> None:
    params: dict[str, Any] = {"target": "1", "steps": 8}
    found = nets.explain(model, "saliency", image, method="xrai", **params)
    ig = nets.explain(model, "saliency", image, method="integrated_gradients", baseline="black,white", **params)
    attribution = ig.arrays["gradient"].sum(axis=-1, dtype=np.float64)
    heatmap, regions = found.arrays["heatmap"], found.arrays["regions"]
    assert (regions.dtype, heatmap.shape, regions.shape) == (np.int32, (SIDE, SIDE), (SIDE, SIDE))
    assert set(np.unique(regions)) == set(range(1, regions.max() + 1))
    for number in range(1, regions.max() + 1):
        np.testing.assert_allclose(heatmap[regions == number], attribution[regions == number].mean(), rtol=1e-5)
    means = [heatmap[regions == number][0] for number in range(1, regions.max() + 1)]
    best = max(attribution.ravel()[each].mean() for each in segments_of(image[0], nothing))
    assert means[0] == pytest.approx(best, rel=1e-5)
    assert heatmap.sum(dtype=np.float64) == pytest.approx(attribution.sum(), rel=1e-5)
    assert found.parameters["convergence_delta"] == ig.parameters["convergence_delta"]
    assert (found.parameters["baseline"], found.parameters["sign"]) == ("black,white", "signed")
    assert found.scale == "symmetric"


def test_regions_of_several_targets_have_their_names(model: LoadedModel, image: np.ndarray) -> None:
    found = nets.explain(model, "saliency", image, method="xrai", target="0,2", steps=2, baseline="zero")
    assert [name for name in found.arrays if name.startswith("regions")] == ["regions:0", "regions:2"]
    assert found.parameters["baseline"] == "zero"


def test_a_call_is_stopped_between_regions(model: LoadedModel, image: np.ndarray) -> None:
    class Stop(Progress):
        def __call__(self, done: int, total: int, *_: Any) -> None:
            if done == total:
                raise DeadlineExceeded("stop")

    with pytest.raises(DeadlineExceeded):
        nets.explain(model, "saliency", image, Stop(), method="xrai", steps=2)


def test_where_scikit_image_is_missing(model: LoadedModel, image: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    assert BY_NAME["saliency"].problem("xrai", model.graph, model.head) is None
    monkeypatch.setitem(sys.modules, "skimage", None)
    words = r"pip install 'kerascope\[segments\]'"
    with pytest.raises(MethodNotValid, match=words):
        nets.explain(model, "saliency", image, method="xrai")
    assert "scikit-image" in (BY_NAME["saliency"].problem("xrai", model.graph, model.head) or "")
