"""The metrics of an evaluation against computations of their own, in float64."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from service.api.reading.parameters import parse
from service.contract.questions import MethodAsked
from service.errors import InvalidParameter, KerascopeError, MethodNotValid
from service.explainers import BY_NAME
from service.explainers.base import Explanation, Progress
from service.explainers.evaluation.alikeness import correlation, entropy, ranks, spearman
from service.explainers.evaluation.comparison import laid
from service.explainers.evaluation.curves import area, removed_counts
from service.explainers.evaluation.fidelity import scaled_errors
from service.explainers.evaluation.localisation import inside
from service.explainers.evaluation.metrics import METRICS
from service.explainers.evaluation.road import imputed
from service.explainers.subject import Subject
from service.explainers.targets import class_targets
from service.models.graph.preprocess import Region
from service.models.loaded import LoadedModel
from tests import nets

NAMES = [metric.name for metric in METRICS]
Rows = dict[str, dict[str, Any]]


def evaluated(model: LoadedModel, image: np.ndarray, **given: Any) -> tuple[Rows, Explanation]:
    """Rows by their names, and the whole explanation, of a call whose parameters are as the route reads them."""
    params, _ = parse(BY_NAME["evaluate"], given)
    found = nets.explain(model, "evaluate", image, **params.model_dump(exclude_unset=True))
    rows: list[dict[str, Any]] = found.statistics["rows"]  # type: ignore[assignment]
    return {row["name"]: row for row in rows}, found


def of_random_net(seed: int = 3, size: tuple[int, int] = (9, 8)) -> tuple[LoadedModel, np.ndarray]:
    model = nets.loaded(nets.random_net(seed, size))
    return model, np.random.default_rng(seed).normal(size=(1, *size, 2)).astype(np.float32)


def probability(model: LoadedModel, images: np.ndarray, target: int) -> np.ndarray:
    """Keras's own answer, (n,) float64."""
    return np.asarray(model.keras_model.predict(images, verbose=0))[:, target].astype(np.float64)


def curve_of(model: LoadedModel, image: np.ndarray, values: np.ndarray, target: int, steps: int, start: str) -> float:
    """Deletion to the image's mean colour, or insertion into it, one pixel after the other, from the definition."""
    order = np.argsort(-values.ravel(), kind="stable")
    colour = image.mean(axis=(1, 2), dtype=np.float64)[0]
    images = []
    for step in range(steps + 1):
        changed = order[: round(step / steps * len(order))]
        flat = image.reshape(-1, image.shape[-1]).copy()
        if start == "deletion":
            flat[changed] = colour
        else:
            keep = flat[changed].copy()
            flat[:] = colour
            flat[changed] = keep
        images.append(flat.reshape(image.shape[1:]))
    measured = probability(model, np.stack(images), target)
    return float(((measured[1:] + measured[:-1]) / 2).mean())


def two_models(request: pytest.FixtureRequest, name: str) -> tuple[LoadedModel, np.ndarray]:
    if name == "lite0":
        return request.getfixturevalue("lite0"), request.getfixturevalue("chelsea")
    return of_random_net()


@pytest.mark.parametrize("name", ["random net", "lite0"])
def test_curves_equal_images_that_are_altered_one_by_one(request: pytest.FixtureRequest, name: str) -> None:
    model, image = two_models(request, name)
    rows, found = evaluated(model, image, methods="gradient", metrics="deletion,insertion", canvas="mean", steps=8)
    target = found.targets.pairs[0][0] if found.targets else -1
    for place, row in enumerate(("gradient", "random_pixels")):
        values = found.arrays["heatmaps"][place].astype(np.float64)
        assert len(np.unique(values)) > 0.9 * values.size
        for metric in ("deletion", "insertion"):
            expected = curve_of(model, image, values, target, 8, metric)
            # Float32 gradients may be equal where their order is then drawn.
            assert rows[row][metric] == pytest.approx(expected, abs=1e-4)
    assert found.arrays["deletion"][0, 0] == pytest.approx(found.statistics["measured"], abs=1e-6)
    assert found.arrays["insertion"][0, -1] == pytest.approx(found.statistics["measured"], abs=1e-6)


@pytest.mark.parametrize("name", ["random net", "lite0"])
def test_fidelity_equals_sets_that_are_covered_one_by_one(request: pytest.FixtureRequest, name: str) -> None:
    model, image = two_models(request, name)
    rows, found = evaluated(
        model, image, methods="gradient_x_input,occlusion", metrics="mufidelity,infidelity",
        samples=40, cells=4, share=0.25, seed=7, value="zero",
    )  # fmt: skip
    target = found.targets.pairs[0][0] if found.targets else -1
    drawn = np.random.default_rng(7).random((40, 16))
    covered = drawn <= np.sort(drawn, axis=1)[:, 3:4]
    height, width = image.shape[1:3]
    cell = (np.arange(height) * 4 // height)[:, None] * 4 + np.arange(width) * 4 // width
    images = np.stack([np.where(covered[place][cell][..., None], 0, image[0]) for place in range(40)])
    drops = probability(model, image, target)[0] - probability(model, images.astype(np.float32), target)
    for place, row in enumerate(("gradient_x_input", "occlusion", "random_pixels", "random_cells")):
        values = found.arrays["heatmaps"][place].astype(np.float64)
        sums = np.array([values[each[cell]].sum() for each in covered])
        assert rows[row]["mufidelity"] == pytest.approx(np.corrcoef(sums, drops)[0, 1], abs=1e-4)
        beta = np.linalg.lstsq(sums[:, None], drops, rcond=None)[0]
        expected = ((sums * max(beta[0], 0) - drops) ** 2).mean()
        assert rows[row]["infidelity"] == pytest.approx(expected, rel=1e-3, abs=1e-8)


def test_what_is_filled_in_solves_the_equations_of_its_neighbours() -> None:
    draw = np.random.default_rng(1)
    image = draw.normal(size=(6, 7, 2)).astype(np.float32)
    removed = draw.random((6, 7)) < 0.6
    places = {tuple(place): number for number, place in enumerate(np.argwhere(removed))}
    matrix, right = np.zeros((len(places), len(places))), np.zeros((len(places), 2))
    for (row, column), number in places.items():
        for down in (-1, 0, 1):
            for across in (-1, 0, 1):
                near = (row + down, column + across)
                if (down or across) and 0 <= near[0] < 6 and 0 <= near[1] < 7:
                    weight = 1 / 12 if down and across else 1 / 6
                    matrix[number, number] += weight
                    if near in places:
                        matrix[number, places[near]] -= weight
                    else:
                        right[number] += weight * image[near]
    expected = image.astype(np.float64)
    expected[removed] = np.linalg.solve(matrix, right)
    np.testing.assert_allclose(imputed(image, removed), expected, atol=1e-5)
    assert np.array_equal(imputed(image, np.zeros_like(removed)), image)


def test_road_is_what_is_left_without_the_highest_and_without_the_lowest() -> None:
    model, image = of_random_net()
    rows, found = evaluated(model, image, methods="gradient", metrics="road")
    highest_gone, lowest_gone = found.arrays["road"][0]
    assert rows["gradient"]["road"] == pytest.approx(float((lowest_gone - highest_gone).mean()) / 2, abs=1e-6)
    values = found.arrays["heatmaps"][0]
    order = np.argsort(np.argsort(-values.ravel(), kind="stable")).reshape(values.shape)
    noise = 0.01 * image.std(dtype=np.float64) * np.random.default_rng(0).standard_normal(image.shape)
    removed = order < round(0.3 * values.size)
    altered = imputed(image[0], removed)
    altered[removed] += noise[0][removed].astype(np.float32)
    target = found.targets.pairs[0][0] if found.targets else -1
    assert highest_gone[1] == pytest.approx(probability(model, altered[None], target)[0], abs=1e-5)


def test_max_sensitivity_is_the_largest_change_of_the_map() -> None:
    model, image = of_random_net()
    rows, found = evaluated(model, image, methods="gradient", metrics="max_sensitivity", draws=5, radius=0.1, seed=2)
    target = found.targets.pairs[0][0] if found.targets else -1
    original = found.arrays["heatmaps"][0].astype(np.float64)
    draw, largest = np.random.default_rng(2), 0.0
    radius = 0.1 * float(image.max() - image.min())
    for _ in range(5):
        altered = image + draw.uniform(-radius, radius, image.shape).astype(np.float32)
        values = nets.explain(model, "saliency", altered, method="gradient", target=str(target)).arrays["heatmap"]
        largest = max(largest, float(np.linalg.norm(values - original) / np.linalg.norm(original)))
    assert rows["gradient"]["max_sensitivity"] == pytest.approx(largest, rel=1e-4)
    assert rows["random_pixels"]["max_sensitivity"] is None


def normalised_net(seed: int = 5) -> Any:
    keras.utils.set_random_seed(seed)
    net = keras.Sequential(
        [
            keras.Input((8, 8, 2), name="image"),
            layers.Conv2D(4, 3, padding="same", name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(name="relu"),
            layers.DepthwiseConv2D(3, name="depthwise"),
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(3, activation="softmax", name="scores"),
        ]
    )
    draw = np.random.default_rng(seed)
    net.get_layer("norm").set_weights([draw.uniform(0.5, 2, 4) for _ in range(4)])
    return net


# One of each kind that reads weights: by passes, by the biases, by the head's own kernel, by rules of its own.
CASCADED = (
    ("saliency", "gradient"),
    ("cam", "gradcam"),
    ("saliency", "fullgrad"),
    ("cam", "cam"),
    ("saliency", "lrp"),
    ("occlusion", None),
)


@pytest.mark.parametrize("in_keras_2", [False, True])
def test_randomization_shuffles_layer_after_layer_and_leaves_the_model_alone(in_keras_2: bool) -> None:
    net = normalised_net()
    model = nets.loaded(nets.in_keras_2(net) if in_keras_2 else net)
    image = np.random.default_rng(0).normal(size=(1, 8, 8, 2)).astype(np.float32)
    before = nets.explain(model, "saliency", image, method="gradient").arrays["heatmap"]
    with model.backend.shuffled(model.graph, model.heads[0].logits, 4) as (_, network):
        names = [path.removesuffix(":linear") for path in network.layers]
        assert names == ["conv", "norm", "depthwise", "scores"]
        (unchanged,) = network.graph.run({network.graph.inputs[0]: image}, [network.graph.outputs[0]])
        np.testing.assert_allclose(unchanged, net.predict(image, verbose=0), atol=1e-5)
        network.shuffle(2, 4)
        (changed,) = network.graph.run({network.graph.inputs[0]: image}, [network.graph.outputs[0]])
    other = normalised_net()
    for place, name in ((2, "depthwise"), (3, "scores")):
        draw = np.random.default_rng((4, place))
        weights = other.get_layer(name).get_weights()
        other.get_layer(name).set_weights([draw.permutation(each.ravel()).reshape(each.shape) for each in weights])
    np.testing.assert_allclose(changed, other.predict(image, verbose=0), atol=1e-5)
    rows, found = evaluated(
        model,
        image,
        methods=[{"method": family} | ({"variant": method} if method else {}) for family, method in CASCADED],
        metrics="randomization",
        stages=2,
        seed=4,
    )
    target = str(found.targets.pairs[0][0] if found.targets else -1)
    draw = np.random.default_rng((4, 0))
    weights = other.get_layer("conv").get_weights()
    other.get_layer("conv").set_weights([draw.permutation(each.ravel()).reshape(each.shape) for each in weights])
    gamma, beta, mean, variance = other.get_layer("norm").get_weights()
    draw, scale = np.random.default_rng((4, 1)), gamma / np.sqrt(variance + 1e-3)
    scale, offset = draw.permutation(scale), draw.permutation(beta - mean * scale)
    other.get_layer("norm").set_weights([scale, offset, np.zeros(4), np.full(4, 1 - 1e-3)])
    last = nets.loaded(nets.in_keras_2(other) if in_keras_2 else other)
    unfolded = nets.loaded(nets.in_keras_2(net) if in_keras_2 else net)
    for each in (last, unfolded):
        each.graph.folds.copies = False
    for place, (family, method) in enumerate(CASCADED):
        asked = {"target": target} | ({} if method is None else {"method": method})
        first, second = (nets.explain(each, family, image, **asked).arrays["heatmap"] for each in (unfolded, last))
        alike = spearman(first.astype(np.float64), second.astype(np.float64)) or 0.0
        assert found.arrays["randomization"][place, 1] == pytest.approx(alike, abs=2e-3), method or family
    assert list(rows)[:4] == ["saliency", "cam", "saliency#3", "cam#4"]
    np.testing.assert_array_equal(nets.explain(model, "saliency", image, method="gradient").arrays["heatmap"], before)


def test_numbers_worked_out_on_paper() -> None:
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]
    assert correlation(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])) == pytest.approx(1)
    assert correlation(np.array([1.0, 1.0]), np.array([2.0, 4.0])) is None
    assert spearman(np.array([1.0, 2.0, 9.0]), np.array([9.0, 2.0, 1.0])) == pytest.approx(-1)
    assert entropy(np.array([[1.0, -1.0], [0.0, 2.0]])) == pytest.approx(1.5 * np.log(2))
    assert entropy(np.zeros((2, 2))) is None
    assert area(np.array([1.0, 0.5, 0.0])) == pytest.approx(0.5)
    assert removed_counts(10, 4).tolist() == [0, 2, 5, 8, 10]
    assert scaled_errors(np.array([1.0, 2.0]), np.array([2.0, 4.0])).tolist() == [0, 0]
    assert scaled_errors(np.zeros(2), np.array([2.0, 4.0])).tolist() == [4, 16]
    # A map of the opposite explains nothing.
    assert scaled_errors(np.array([-1.0, -2.0]), np.array([2.0, 4.0])).tolist() == [4, 16]


def test_maps_are_laid_over_the_input_as_keras_enlarges_and_pillow_shrinks_them() -> None:
    values = np.random.default_rng(0).normal(size=(7, 5))
    enlarged = np.asarray(keras.ops.image.resize(values[None, ..., None], (28, 31), interpolation="bilinear"))
    np.testing.assert_allclose(laid(values, (28, 31)), enlarged[0, ..., 0], atol=1e-5)
    large = np.random.default_rng(0).normal(size=(60, 40)).astype(np.float32)
    shrunk = np.asarray(Image.fromarray(large).resize((9, 11), Image.Resampling.BILINEAR))
    # At the rim Pillow's triangle is centred beyond the first pixel's centre, as ours is but for the repeated rim.
    np.testing.assert_allclose(laid(large.astype(np.float64), (11, 9)), shrunk, atol=1e-5)
    assert laid(values, (7, 5)).tolist() == values.tolist()


def test_maps_of_any_size_compile_nothing() -> None:
    model, image = of_random_net()
    evaluated(model, image, methods="gradient", metrics="complexity")
    before = model.backend.traces
    for side in (3, 11, 50):
        evaluated(model, image, methods="gradient", metrics="complexity", own_map=np_base64(np.eye(side)))
    assert model.backend.traces == before


def test_box_and_map_of_ones_own(data: Path) -> None:
    model, image = of_random_net(size=(10, 8))
    own = np.zeros((10, 8), np.float32)
    own[2:5, 3:6] = 2
    own[9, 7] = -1
    rows, _ = evaluated(
        model, image, methods="gradient", own_map=np_base64(own), box="2,3,5,6",
        metrics="pointing,energy,complexity,agreement",
    )  # fmt: skip
    assert rows["own_map"]["pointing"] == 1
    assert rows["own_map"]["energy"] == pytest.approx(1)
    shares = np.array([2] * 9 + [1]) / 19
    assert rows["own_map"]["complexity"] == pytest.approx(-(shares * np.log(shares)).sum())
    assert rows["random_pixels"]["energy"] == pytest.approx(9 / 80, abs=0.05)
    shown = nets.network_input(model, image)
    moved = type(shown)(shown.batch, Region(100.0, 50.0, 20.0, 16.0), shown.colour)
    assert inside(moved, (104, 56, 110, 62)) == (slice(2, 5), slice(3, 6))


def np_base64(values: np.ndarray) -> str:
    stream = io.BytesIO()
    np.save(stream, values)
    return base64.b64encode(stream.getvalue()).decode()


def linear_net(size: tuple[int, int], seed: int = 1) -> Any:
    """Scores that are sums over pixels, so that what each pixel adds is known."""
    keras.utils.set_random_seed(seed)
    x = keras.Input((*size, 3), name="image")
    y = layers.Flatten(name="flatten")(x)
    y = layers.Dense(2, name="scores")(y)
    return keras.Model(x, y)


def test_the_map_of_an_oracle_beats_random_ones_on_every_photograph(data: Path) -> None:
    model = nets.loaded(linear_net((48, 48)), head="logits")
    photographs = sorted(path for path in (data / "images").iterdir() if path.suffix in (".jpg", ".jpeg", ".png"))
    assert len(photographs) > 20
    for path in photographs:
        image = np.asarray(Image.open(path).convert("RGB").resize((48, 48)), np.float32)[None] / 255
        kernel = model.keras_model.get_layer("scores").get_weights()[0][:, 0].reshape(48, 48, 3)
        oracle = ((image[0] - image.mean(axis=(1, 2))) * kernel).sum(axis=2)
        rows, _ = evaluated(
            model, image, methods="gradient", own_map=np_base64(oracle.astype(np.float32)), target="0",
            metrics="deletion,insertion,mufidelity,infidelity", canvas="mean", measure="score", steps=12,
        )  # fmt: skip
        own = rows.pop("own_map")
        assert own["rank"] == 1, path.name
        assert own["mufidelity"] == pytest.approx(1, abs=1e-4)
        for row in rows.values():
            assert own["deletion"] < row["deletion"], path.name
            assert own["insertion"] > row["insertion"], path.name


def test_the_ranking_is_of_mean_places_and_warns_of_what_is_no_better_than_random() -> None:
    model, image = of_random_net()
    rows, found = evaluated(model, image, methods="gradient,occlusion", metrics="deletion,mufidelity,complexity")
    names = list(rows)
    assert found.statistics["ranked_by"] == ["deletion", "mufidelity"]
    metrics: Any = found.statistics["metrics"]
    assert [metric["within"] for metric in metrics] == [0, pytest.approx(2 / np.sqrt(200)), 0]
    falls = ranks(np.array([rows[name]["deletion"] for name in names]))
    values = [rows[name]["mufidelity"] for name in names]
    follows = [
        1 + sum(other > value + 2 / np.sqrt(200) for other in values)
        + (sum(abs(other - value) <= 2 / np.sqrt(200) for other in values) - 1) / 2
        for value in values
    ]  # fmt: skip
    assert [rows[name]["mean_place"] for name in names] == pytest.approx(list((falls + follows) / 2))
    chance = min(rows["random_pixels"]["mean_place"], rows["random_cells"]["mean_place"])
    warned = {said.detail.split(" ")[0] for said in found.warnings if said.code == "no_better_than_random"}
    assert warned == {name for name in ("gradient", "occlusion") if rows[name]["mean_place"] >= chance}


def test_a_box_that_reaches_beyond_the_photograph_is_cut_and_said() -> None:
    model, image = of_random_net(size=(10, 8))
    rows, found = evaluated(model, image, methods="gradient", metrics="energy", box="2,3,99,99")
    inside_rows, _ = evaluated(model, image, methods="gradient", metrics="energy", box="2,3,10,8")
    assert rows == inside_rows
    assert [said.code for said in found.warnings] == ["box_clipped"]
    assert "2,3,10,8" in found.warnings[0].detail


def test_steps_of_a_call_are_thousandths_that_never_fall() -> None:
    model, image = of_random_net()
    seen: list[tuple[int, int]] = []

    class Watching(Progress):
        def __call__(self, done: int, total: int, *_: Any, **__: Any) -> None:
            seen.append((done, total))

    params, _ = parse(BY_NAME["evaluate"], {"methods": "gradcam,rise,occlusion", "metrics": "deletion,randomization"})
    nets.explain(model, "evaluate", image, Watching(), **params.model_dump(exclude_unset=True))
    steps = [done for done, _ in seen]
    assert {total for _, total in seen} == {1000}
    assert steps == sorted(steps)
    assert 0 <= steps[0] < 100
    assert steps[-1] > 800


def test_whatever_the_cut_and_the_company_the_numbers_are_the_same() -> None:
    model, image = of_random_net()
    alone, _ = evaluated(model, image, methods="gradient", metrics="deletion,mufidelity,randomization")
    among, _ = evaluated(model, image, methods="occlusion,gradient,gradcam", metrics=",".join(NAMES), box="1,1,5,5")
    for metric in ("deletion", "mufidelity", "randomization"):
        assert among["gradient"][metric] == pytest.approx(alone["gradient"][metric], abs=1e-6)


REFUSED: list[tuple[dict[str, Any], type[KerascopeError], str]] = [
    ({"target": "0,1"}, InvalidParameter, "one score"),
    ({"metrics": "pointing"}, InvalidParameter, "box=top,left,bottom,right"),
    ({"metrics": "energy", "box": "50,50,60,60"}, InvalidParameter, "outside"),
    ({"metrics": "energy", "box": "5,5,5,6"}, InvalidParameter, "empty"),
    ({"metrics": "energy", "box": "a,5,5,6"}, InvalidParameter, "four numbers"),
    ({"metrics": "speed"}, InvalidParameter, "there is no metric 'speed'; there are deletion"),
    ({"metrics": "deletoin"}, InvalidParameter, "the closest is 'deletion'"),
    ({"metrics": "energy", "box": "0.1,0.1,0.5,0.5"}, InvalidParameter, "narrower than one pixel"),
    ({"methods": "activations"}, InvalidParameter, "gives no map of the image"),
    ({"methods": [{"method": "gradcam", "target": "1"}]}, InvalidParameter, "beside 'methods'"),
    ({"methods": [{"method": "gradient", "reduce": "rgb"}]}, InvalidParameter, "a map a colour"),
    ({"methods": []}, InvalidParameter, "must be a list"),
    ({"methods": ["gradient"] * 25}, InvalidParameter, "24"),
    ({"methods": ["gradient"] * 100_000}, InvalidParameter, "24"),
    ({"methods": [{"method": "lime", "segment_map": "AAAA"}] * 5}, InvalidParameter, "4 of one call may"),
    ({"methods": "evaluate"}, KerascopeError, "cannot be one of several methods"),
    ({"methods": "gradient", "layer": "first"}, InvalidParameter, "none of the methods takes it"),
    ({"stages": 3}, InvalidParameter, "randomization"),
    ({"methods": "gradcam,rise", "layer": "flatten", "value": "1,2,300"}, InvalidParameter, "0 to 255"),
    ({"methods": "gradcam", "layer": "flatten"}, KerascopeError, "gradcam"),
    ({"cells": "99", "metrics": "infidelity"}, InvalidParameter, "99"),
    ({"own_map": "AAAA"}, InvalidParameter, "own_map"),
]


@pytest.mark.parametrize(("given", "error", "said"), REFUSED)
def test_what_is_refused_says_what_would_be_right(
    given: dict[str, Any], error: type[KerascopeError], said: str
) -> None:
    model, image = of_random_net()
    with pytest.raises(error) as raised:
        evaluated(model, image, **given)
    assert said in raised.value.detail


def test_methods_that_a_model_cannot_have_are_left_out_unless_they_are_asked_for() -> None:
    model = nets.loaded(nets.without_maps())
    image = np.random.default_rng(0).normal(size=(1, *model.keras_model.input_shape[1:])).astype(np.float32)
    rows, found = evaluated(model, image, metrics="complexity", target="0")
    left_out: Any = found.statistics["left_out"]
    assert "gradcam" in left_out
    assert "smoothgrad" in rows
    with pytest.raises(MethodNotValid, match="gradcam"):
        evaluated(model, image, methods="gradcam", metrics="complexity", target="0")


def test_estimates_count_the_passes_of_every_part() -> None:
    model, image = of_random_net()
    explainer: Any = BY_NAME["evaluate"]
    head = model.heads[0]
    subject = Subject(model.backend, model.graph, nets.network_input(model, image), class_targets(head), Progress())

    def passes(**given: Any) -> int:
        return int(explainer.passes(subject, parse(explainer, {"methods": "gradient", **given})[0]))

    base = passes(metrics="complexity")
    assert passes(metrics="deletion", steps=10) - base == 3 * 11
    assert passes(metrics="mufidelity,infidelity", samples=50) - base == 50
    assert passes(metrics="max_sensitivity", draws=7) - base == 7 * 3
    assert passes(metrics="randomization", stages=4) - base == 5 * 3


@pytest.mark.parametrize("box", ["0,0.00001,100,100", "0,0,1.5,2.25", [0, 1e-7, 1e2, 3], "-5,-5,1e3,1000"])
def test_what_is_asked_is_read_again_as_it_was(box: Any) -> None:
    """Between the processes and in the job queue a call is JSON."""
    params, _ = parse(BY_NAME["evaluate"], {"metrics": "energy", "box": box, "methods": "gradcam,rise"})
    asked = MethodAsked(name="evaluate", params=params)
    assert MethodAsked.model_validate_json(asked.model_dump_json()) == asked
