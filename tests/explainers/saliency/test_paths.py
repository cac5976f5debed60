"""Gradients along paths, worked out on paper: on linear networks every path gives the same, on others its own."""

from __future__ import annotations

from typing import Any

import nets
import numpy as np
import pytest
from pydantic import ValidationError

from service.explainers.base import Explanation, Progress
from service.explainers.covers import blurred
from service.explainers.saliency.guided_ig import GuidedPath
from service.explainers.saliency.params import SaliencyParams
from service.models.loaded import LoadedModel

PATHS = ("integrated_gradients", "guided_ig", "blur_ig", "gradient_shap")
X = nets.IMAGE[0, ..., 0]
WHITE = 1.0
SMOOTH = np.random.default_rng(0).normal(size=(1, 7, 5, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def additive() -> LoadedModel:
    return nets.loaded(nets.additive())


@pytest.fixture(scope="module")
def smooth() -> LoadedModel:
    return nets.loaded(nets.smooth_net())


def found(model: LoadedModel, image: np.ndarray = nets.IMAGE, /, **params: Any) -> Explanation:
    return nets.explain(model, "saliency", image, sign="signed", **params)


@pytest.mark.parametrize(
    ("baseline", "start"),
    [
        ("zero", 0 * X),
        ("white", 0 * X + WHITE),
        ("mean", 0 * X + X.mean()),
        ("black,white", 0 * X + WHITE / 2),
        (["white", "mean", "zero"], 0 * X + (WHITE + X.mean()) / 3),
    ],
)
@pytest.mark.parametrize("method", ["integrated_gradients", "guided_ig"])
def test_a_linear_network_from_the_mean_of_the_baselines(
    additive: LoadedModel, method: str, baseline: Any, start: np.ndarray
) -> None:
    answer = found(additive, method=method, target="0", baseline=baseline, steps=3)
    np.testing.assert_allclose(answer.arrays["heatmap"], (X - start) * nets.ADDITIVE, rtol=1e-5, atol=1e-6)
    assert abs(answer.parameters["convergence_delta"]) < 1e-5
    assert answer.parameters["baseline"] == (baseline if isinstance(baseline, str) else ",".join(baseline))


def test_a_linear_network_out_of_the_blur(additive: LoadedModel) -> None:
    answer = found(additive, method="blur_ig", target="0", max_deviation=2, steps=5)
    expected = (X - blurred(nets.IMAGE, 2)[0, ..., 0]) * nets.ADDITIVE
    np.testing.assert_allclose(answer.arrays["heatmap"], expected, rtol=1e-5, atol=1e-6)
    assert answer.parameters["max_deviation"] == 2
    assert found(additive, method="blur_ig", target="0").parameters["max_deviation"] == 3 / 4


def test_expected_gradients_of_a_linear_network(additive: LoadedModel) -> None:
    """Only the noise is left of chance: of 7 copies the baselines start 3, 2 and 2."""
    params: dict[str, Any] = {"samples": 7, "noise": 0.2, "seed": 5, "baseline": "zero,white,mean"}
    answer = found(additive, method="gradient_shap", target="0", **params)
    noise = [np.random.default_rng([5, copy]).standard_normal((2, 3)) for copy in range(7)]
    starts = [(0.0, WHITE, X.mean())[copy % 3] for copy in range(7)]
    ways = [(X + 0.2 * 7 * each - start) * nets.ADDITIVE for each, start in zip(noise, starts, strict=True)]
    np.testing.assert_allclose(answer.arrays["heatmap"], np.mean(ways, axis=0), rtol=1e-5, atol=1e-5)
    sums = np.sum(ways, axis=(1, 2))
    assert answer.parameters["standard_error"] == pytest.approx(sums.std(ddof=1) / np.sqrt(7), rel=1e-5)
    missed = np.mean(sums) - ((X - np.mean(starts)) * nets.ADDITIVE).sum()
    assert answer.parameters["convergence_delta"] == pytest.approx(missed, rel=1e-4)
    assert answer.parameters["deviation"] == pytest.approx(1.4)


def test_a_guided_path_on_paper() -> None:
    """Three values 1 away, and one that does not move. Each step is a third of the way, of which 1 + 1/3 + 1/3 make
    one: the value with the least gradient goes as far ahead as it may, then the next, and none falls further behind."""
    path = GuidedPath(np.array([1.0, 1, 1, 0]), fraction=0.1, reach=1.0)
    first = path.moved(np.zeros(4), np.array([3.0, -1, 2, 0]), 1 / 3)
    np.testing.assert_allclose(first, [0, 1, 0, 1])
    np.testing.assert_allclose(path.moved(first, np.array([0.5, 9, 9, 9]), 1 / 2), [0.5, 1, 0, 1])
    bounded = GuidedPath(np.array([1.0, 1, 1, 0]), fraction=0.1, reach=0.1)
    places = bounded.moved(np.zeros(4), np.array([3.0, -1, 2, 0]), 1 / 3)
    # 0.433 at most; the places sum to 1, and none is below 0.233.
    np.testing.assert_allclose(places, [1 / 3 - 0.1, 1 / 3 + 0.1, 1 / 3, 1 / 3 + 0.1])


def test_without_reach_the_path_is_straight(smooth: LoadedModel) -> None:
    """Then it is the sum of integrated gradients at the left of each step."""
    answer = found(smooth, SMOOTH, method="guided_ig", target="1", max_dist=0, steps=4)
    gradients = [found(smooth, step / 4 * SMOOTH, target="1").arrays["gradient"] for step in range(4)]
    expected = SMOOTH[0] * np.mean(gradients, axis=0)
    np.testing.assert_allclose(answer.arrays["gradient"], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("guided_ig", {"steps": 400}),
        ("blur_ig", {"steps": 200}),
        ("integrated_gradients", {"baseline": "black,white,blur"}),
        ("gradient_shap", {"samples": 1000, "noise": 0.001, "baseline": "mean"}),
    ],
)
def test_a_smooth_network_is_explained_completely(smooth: LoadedModel, method: str, params: dict[str, Any]) -> None:
    answer = found(smooth, SMOOTH, method=method, target="2", **params)
    limit = 4 * answer.parameters["standard_error"] if "standard_error" in answer.parameters else 0.02
    assert abs(answer.parameters["convergence_delta"]) < limit
    assert method == "gradient_shap" or not answer.warnings


def test_what_is_missed_is_told(smooth: LoadedModel) -> None:
    for method, words in {"guided_ig": "smaller max_dist", "blur_ig": "more steps", "gradient_shap": "samples"}.items():
        few: dict[str, Any] = {"samples": 2} if method == "gradient_shap" else {"steps": 2}
        answer = found(smooth, 9 * SMOOTH, method=method, target="0,1", **few)
        assert len(answer.parameters["convergence_delta"]) == 2
        told = [warning.detail for warning in answer.warnings if warning.code == "convergence_delta"]
        assert told
        assert words in told[0]


@pytest.mark.parametrize("method", PATHS)
def test_how_the_work_is_cut_changes_nothing(smooth: LoadedModel, method: str) -> None:
    seen: list[tuple[int, int]] = []

    class Record(Progress):
        def __call__(self, done: int, total: int, *_: Any) -> None:
            seen.append((done, total))

    params = {"samples" if method == "gradient_shap" else "steps": 6, "target": "0,3"}
    if method != "blur_ig":
        params["baseline"] = "zero,white"
    whole = found(smooth, SMOOTH, method=method, **params)
    single = nets.explain(smooth, "saliency", SMOOTH, Record(), 1, method=method, sign="signed", **params)
    for name in whole.arrays:
        np.testing.assert_allclose(single.arrays[name], whole.arrays[name], rtol=1e-4, atol=1e-6)
    total = {"guided_ig": 24, "integrated_gradients": 12}.get(method, 6)
    assert seen == [(step, total) for step in range(total)]


@pytest.mark.parametrize(
    ("given", "kept"),
    [("white", ("white",)), ("black, white", ("black", "white")), (["blur", "zero"], ("blur", "zero")), (None, None)],
)
def test_baselines_are_a_text_or_a_list(given: Any, kept: Any) -> None:
    params = SaliencyParams(baseline=given)
    assert params.baseline == kept
    assert params.model_dump(mode="json")["baseline"] == (None if kept is None else ",".join(kept))
    assert SaliencyParams.model_validate(params.model_dump(mode="json")) == params


@pytest.mark.parametrize(
    ("given", "words"),
    [("grey", "'zero', 'black', 'white'"), ("black,black", "'black' is named twice"), ("", "write at least one of")],
)
def test_other_baselines_are_refused(given: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        SaliencyParams(baseline=given)


def test_a_wide_blur_is_that_of_a_repeated_rim() -> None:
    """Against sums over an image that is padded as far as the kernel reaches."""
    image = np.random.default_rng(1).normal(size=(1, 6, 4, 2)).astype(np.float32)

    def by_hand(deviation: float) -> np.ndarray:
        reach = max(1, round(3 * deviation))
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
        padded = np.pad(image[0].astype(np.float64), ((reach, reach), (reach, reach), (0, 0)), mode="edge")
        for axis in (0, 1):
            padded = np.apply_along_axis(np.convolve, axis, padded, kernel / kernel.sum(), "valid")
        return padded

    for deviation in (0.1, 0.7, 2.0, 40.0):
        np.testing.assert_allclose(blurred(image, deviation)[0], by_hand(deviation), rtol=1e-6, atol=1e-7)
    assert blurred(image, 0) is image
