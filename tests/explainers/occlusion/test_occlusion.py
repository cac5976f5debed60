"""Occlusion: exact on networks that add up their pixels, windows by hand, and the tutorial's own loop."""

from __future__ import annotations

from typing import Any

import nets
import numpy as np
import pytest
from pydantic import ValidationError

from service.errors import InvalidParameter, MethodNotValid
from service.explainers.occlusion.windows import mask_of, painted, window_axes, windows_of
from service.models.loaded import LoadedModel

X = nets.IMAGE[0, ..., 0]


@pytest.fixture(scope="module")
def additive() -> LoadedModel:
    """One logit, the sum of pixel times weight."""
    return nets.loaded(nets.additive())


def heatmap(model: LoadedModel, image: np.ndarray = nets.IMAGE, /, **params: Any) -> np.ndarray:
    return nets.explain(model, "occlusion", image, **{"measure": "logit_drop", "target": "0", **params}).arrays[
        "heatmap"
    ]


def test_exact_on_an_additive_network(additive: LoadedModel) -> None:
    found = heatmap(additive, patch="1", stride="1", value="zero")
    np.testing.assert_allclose(found, X * nets.ADDITIVE, rtol=1e-6)


def test_a_number_and_the_mean_as_cover(additive: LoadedModel) -> None:
    np.testing.assert_allclose(
        heatmap(additive, patch="1", stride="1", value="0.5"), (X - 0.5) * nets.ADDITIVE, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        heatmap(additive, patch="1", stride="1", value="mean"), (X - 0.5) * nets.ADDITIVE, rtol=1e-5, atol=1e-6
    )


def test_a_pixel_gets_the_mean_over_the_windows_that_cover_it(additive: LoadedModel) -> None:
    products = X * nets.ADDITIVE
    left, right = products[:, :2].sum(), products[:, 1:].sum()
    expected = [[left, (left + right) / 2, right]] * 2
    np.testing.assert_allclose(heatmap(additive, patch="2", stride="1", value="zero")[0], expected[0], rtol=1e-5)


def test_windows_are_cropped_at_the_border_so_that_the_rim_is_covered() -> None:
    windows, shape = windows_of(window_axes((5, 7), (2, 3), (2, 3), centred=False))
    assert shape == (3, 3)
    assert windows[0] == (0, 0, 2, 3)
    assert windows[-1] == (4, 6, 5, 7)
    covered = np.zeros((5, 7), int)
    for top, left, bottom, right in windows:
        covered[top:bottom, left:right] += 1
    assert (covered == 1).all()


@pytest.mark.parametrize("size", [(5, 7), (8, 8), (9, 4)])
@pytest.mark.parametrize("patch", [(1, 1), (2, 3), (4, 4)])
@pytest.mark.parametrize("centred", [False, True])
def test_every_pixel_is_covered(size: tuple[int, int], patch: tuple[int, int], centred: bool) -> None:
    for stride in {(1, 1), (max(1, patch[0] - 1), max(1, patch[1] - 1)), patch}:
        covered = np.zeros(size, int)
        for top, left, bottom, right in windows_of(window_axes(size, patch, stride, centred=centred))[0]:
            assert bottom > top
            assert right > left
            covered[top:bottom, left:right] += 1
        assert covered.min() >= 1


def test_centred_windows_surround_their_cells() -> None:
    windows, shape = windows_of(window_axes((28, 28), (10, 10), (2, 2), centred=True))
    assert shape == (14, 14)
    assert windows[0] == (0, 0, 6, 6)
    assert windows[14 * 5 + 5] == (6, 6, 16, 16)
    assert windows[-1] == (22, 22, 28, 28)


def test_cells_are_painted_with_their_own_value() -> None:
    found = painted(np.arange(6.0), [], (3, 5), "cell", (2, 3), (2, 2))
    np.testing.assert_array_equal(found, [[0, 0, 1, 1, 2], [0, 0, 1, 1, 2], [3, 3, 4, 4, 5]])


def test_drop_of_the_probability_and_the_probability_itself() -> None:
    model = nets.loaded(nets.pencil())
    clean = nets.softmax(nets.LOGITS)[1]
    # Covering the cell with 4 by 0 leaves means 3/6 and 4/6.
    covered = nets.softmax(np.array([0.5, 4 / 6]) @ nets.WEIGHTS + nets.BIAS)[1]
    params = {"patch": "1", "stride": "1", "value": "zero", "target": "1"}
    assert heatmap(model, measure="drop", **params)[1, 2] == pytest.approx(clean - covered, rel=1e-4)
    assert heatmap(model, measure="probability", **params)[1, 2] == pytest.approx(covered, rel=1e-5)
    assert heatmap(model, measure="logit_drop", **params)[1, 2] == pytest.approx(0, abs=1e-6)


def test_where_there_is_no_probability_the_drop_is_that_of_the_score() -> None:
    model = nets.loaded(nets.pencil("relu"))
    params = {"patch": "1", "stride": "1", "value": "zero"}
    found = nets.explain(model, "occlusion", target="0", **params)
    assert found.parameters["measure"] == "score_drop"
    with pytest.raises(MethodNotValid, match="use measure=score_drop"):
        heatmap(model, measure="probability", **params)


def test_masks() -> None:
    values = np.array([[0.5, 0.8], [0.9, 1.0]], np.float32)
    np.testing.assert_array_equal(mask_of(values, "probability", 0.85), [[True, True], [False, False]])
    drops = np.array([[0.2, 0.1], [1.0, -0.5]], np.float32)
    np.testing.assert_array_equal(mask_of(drops, "drop", 0.85), [[True, False], [True, False]])
    assert not mask_of(-drops[:, 1:] - 1, "logit_drop", 0.85).any()


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"patch": "4"}, "larger than the model's input of 2×3 px"),
        ({"patch": "1", "stride": "2"}, "larger than the patch"),
        ({"stride": "2"}, "larger than the patch"),
        ({"value": "1,2,300"}, "from 0 to 255"),
    ],
)
def test_what_does_not_fit(additive: LoadedModel, params: dict[str, str], reason: str) -> None:
    with pytest.raises((InvalidParameter, ValidationError), match=reason):
        heatmap(additive, **params)


@pytest.mark.parametrize("params", [{"stride": "0"}, {"patch": "1,2,3"}, {"patch": "x"}, {"value": "nan"}])
def test_what_cannot_be_read(additive: LoadedModel, params: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        heatmap(additive, **params)


def test_colour_levels_go_through_the_models_preprocessing(lite0: LoadedModel, chelsea: np.ndarray) -> None:
    from service.explainers.covers import covering

    image = nets.network_input(lite0, chelsea)
    np.testing.assert_allclose(covering(image, "255,127,0")[0, 0, 0], [1, 0, -127 / 128], rtol=1e-6)
    np.testing.assert_allclose(covering(image, "gray")[0, 5, 5], [1 / 128] * 3, rtol=1e-6)
    np.testing.assert_allclose(covering(image, "0.25")[0, 5, 5], [0.25] * 3)


@pytest.mark.soak
def test_the_tutorials_loop(lite0: LoadedModel, chelsea: np.ndarray) -> None:
    """Cells of 14 px, the window two cells beyond on every side, the probability painted into the cell."""
    side, size = 14, 224
    padded = np.pad(chelsea[0], ((2 * side, 2 * side), (2 * side, 2 * side), (0, 0)))
    batch = []
    for y in range(0, size, side):
        for x in range(0, size, side):
            covered = padded.copy()
            covered[y : y + 5 * side, x : x + 5 * side] = 1 / 128
            batch.append(covered[2 * side : 2 * side + size, 2 * side : 2 * side + size])
    probabilities = lite0.keras_model.predict(np.stack(batch), batch_size=32, verbose=0)[:, 285].reshape(16, 16)
    expected = probabilities.repeat(side, axis=0).repeat(side, axis=1)
    found = nets.explain(
        lite0,
        "occlusion",
        chelsea,
        patch="70",
        stride="14",
        paint="cell",
        measure="probability",
        value="gray",
        target="285",
    )
    np.testing.assert_allclose(found.arrays["heatmap"], expected, atol=1e-5)
    np.testing.assert_array_equal(found.arrays["mask"], expected / expected.max() < 0.85)


def strategies(model: LoadedModel, image: np.ndarray, **params: Any) -> tuple[Any, Any]:
    """The same call, every window run whole and only what it changes."""
    whole, windows = (
        nets.explain(model, "occlusion", image, strategy=name, **params) for name in ("full", "incremental")
    )
    assert (whole.parameters["strategy"], whole.parameters["arithmetic_saved"]) == ("full", 0)
    assert windows.parameters["strategy"] == "incremental"
    return whole, windows


@pytest.mark.parametrize(
    "params", [{"patch": "32", "stride": "32"}, {"patch": "40,25", "stride": "37,25", "paint": "cell"}]
)
def test_incremental_and_full_agree_on_a_real_network(
    lite0: LoadedModel, chelsea: np.ndarray, params: dict[str, str]
) -> None:
    whole, windows = strategies(lite0, chelsea, target="285,281", measure="logit_drop", value="blur", **params)
    for name in whole.maps:
        values = whole.arrays[name]
        assert np.ptp(values) > 0.3
        np.testing.assert_allclose(windows.arrays[name], values, atol=1e-4 * np.ptp(values))
    np.testing.assert_allclose(windows.scores, whole.scores, atol=1e-4)
    assert 0.2 < windows.parameters["arithmetic_saved"] < 0.5


def test_incremental_and_full_agree_on_a_probability_and_a_neuron() -> None:
    model = nets.loaded(nets.random_net(size=(23, 17)))
    image = np.random.default_rng(8).normal(size=(1, 23, 17, 2)).astype(np.float32)
    for target in ("2", "top2", "neuron:first:3,4,1", "neuron:second:0"):
        whole, windows = strategies(model, image, patch="5,3", stride="3,2", target=target)
        for name in whole.arrays:
            np.testing.assert_allclose(windows.arrays[name], whole.arrays[name], rtol=1e-4, atol=1e-6)
        assert whole.arrays[whole.primary].any()


def test_one_trace_serves_all_images_and_covers() -> None:
    model = nets.loaded(nets.random_net(size=(23, 17)))
    for seed, value in enumerate(("mean", "zero", "blur")):
        image = np.random.default_rng(seed).normal(size=(1, 23, 17, 2)).astype(np.float32)
        nets.explain(model, "occlusion", image, chunk=seed + 1, patch="5", strategy="incremental", value=value)
        assert model.backend.traces == 2


def test_where_nothing_can_be_saved_incremental_is_refused_and_auto_runs_whole(additive: LoadedModel) -> None:
    with pytest.raises(MethodNotValid, match=r"no convolution comes before 'flatten'.*use strategy=full"):
        heatmap(additive, patch="1", strategy="incremental")
    assert nets.explain(additive, "occlusion", patch="1", target="0").parameters["strategy"] == "full"
