"""The mean over views of an image, and the component in place of a sum: on paper, and where they make no sense."""

from __future__ import annotations

from typing import Any

import nets
import numpy as np
import pytest

from service.errors import DeadlineExceeded, MethodNotValid
from service.explainers.base import Progress
from service.explainers.cam.weighted import summed
from service.models.loaded import LoadedModel

IMAGE = np.random.default_rng(4).normal(size=(1, 7, 5, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def pencil() -> LoadedModel:
    return nets.loaded(nets.pencil())


@pytest.fixture(scope="module")
def random() -> LoadedModel:
    return nets.loaded(nets.random_net())


def heatmap(model: LoadedModel, image: np.ndarray = nets.IMAGE, **params: Any) -> np.ndarray:
    return nets.explain(model, "cam", image, **params).arrays["heatmap"]


@pytest.mark.parametrize("method", ["gradcam", "layercam", "cam", "eigengradcam", "shapleycam"])
def test_a_network_that_treats_all_views_alike(pencil: LoadedModel, method: str) -> None:
    """A 1×1 convolution and a mean know no sides, and all is linear in the factor: the mean over 1.1, 1 and 0.9 is the
    map itself."""
    for target in ("0", "1"):
        found = heatmap(pencil, method=method, target=target, smooth="augment")
        np.testing.assert_allclose(found, heatmap(pencil, method=method, target=target), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "params", [{"method": "gradcam"}, {"method": "scorecam"}, {"method": "hirescam", "layers": "first,second"}]
)
def test_the_mean_of_six_calls(random: LoadedModel, params: dict[str, Any]) -> None:
    maps = []
    for factor in (1.1, 1, 0.9):
        for turn in (slice(None), slice(None, None, -1)):
            view = IMAGE[:, :, turn] * np.float32(factor)
            maps.append(heatmap(random, view, target="2", **params)[:, turn].astype(np.float64))
    found = nets.explain(random, "cam", IMAGE, target="2", smooth="augment", **params)
    np.testing.assert_allclose(found.arrays["heatmap"], np.mean(maps, axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found.scores, nets.explain(random, "cam", IMAGE, **params).scores)


def test_ranks_are_those_of_the_image() -> None:
    """Scores 7f and 8f - 1.05 of the image times f: class 0 is the highest but for f = 1.1."""
    net = nets.pencil()
    kernel = np.array([[6, 0, 0, 0], [0, 12, 0, 0]], np.float32)
    net.get_layer("scores").set_weights([kernel, np.array([0, -1.05, -50, -50], np.float32)])
    model = nets.loaded(net)
    assert nets.explain(model, "cam", np.float32(1.1) * nets.IMAGE, target="top2").maps[0] == "heatmap:1"
    found = nets.explain(model, "cam", nets.IMAGE, target="top2", smooth="augment")
    assert found.maps == ("heatmap:0", "heatmap:1")
    np.testing.assert_allclose(found.arrays["heatmap:0"], nets.POSITIVE, rtol=1e-5)
    np.testing.assert_allclose(found.arrays["heatmap:1"], 2 * nets.NEGATIVE, rtol=1e-5)


def test_a_component_of_two_channels_on_paper() -> None:
    """The channels are 3 and 4 times one pattern of mean 0: the component is 5 times it, and their sum 7 times."""
    pattern = np.array([[1.0, 2.0, -1.0], [0.0, -3.0, 1.0]])
    channels = np.stack([3 * pattern + 10, 4 * pattern - 20], axis=2)
    np.testing.assert_allclose(summed(channels, "eigen"), np.maximum(5 * pattern, 0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(summed(-channels, "eigen"), np.maximum(-5 * pattern, 0), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(summed(channels, "none"), np.maximum(7 * pattern - 10, 0).astype(np.float32))


@pytest.mark.parametrize("method", ["scorecam", "ablationcam", "finercam"])
def test_a_component_of_one_channel(pencil: LoadedModel, method: str) -> None:
    """The score of class 0 depends on one channel alone, and scorecam is told to weigh one: A_0 less its mean 7/6."""
    params: dict[str, Any] = {"max_channels": 1} if method == "scorecam" else {}
    params |= {"strength": 0} if method == "finercam" else {}
    found = heatmap(pencil, method=method, target="0", smooth="eigen", **params)
    np.testing.assert_allclose(found, np.maximum(nets.POSITIVE - 7 / 6, 0), rtol=1e-5)


@pytest.mark.parametrize(
    ("method", "smooth", "words"),
    [
        ("eigencam", "eigen", "eigencam is no such sum"),
        ("kpcacam", "eigen", "kpcacam is no such sum"),
        ("eigengradcam", "eigen", "eigengradcam is no such sum"),
        ("cam", "eigen", "cam is no such sum"),
        ("eigencam", "augment", "the sign of a component is set view by view"),
        ("kpcacam", "augment", "the sign of a component is set view by view"),
    ],
)
def test_where_smoothing_makes_no_sense(pencil: LoadedModel, method: str, smooth: str, words: str) -> None:
    with pytest.raises(MethodNotValid, match=words):
        heatmap(pencil, method=method, smooth=smooth)


def test_views_are_not_traced_anew_and_can_be_stopped(random: LoadedModel) -> None:
    heatmap(random, IMAGE)
    traces = random.backend.traces
    heatmap(random, IMAGE, smooth="augment")
    heatmap(random, IMAGE, smooth="eigen")
    assert random.backend.traces == traces

    class Stop(Progress):
        def __call__(self, done: int, total: int, *_: Any) -> None:
            assert total == 6
            if done == 2:
                raise DeadlineExceeded("stop")

    with pytest.raises(DeadlineExceeded):
        nets.explain(random, "cam", IMAGE, progress=Stop(), smooth="augment")
