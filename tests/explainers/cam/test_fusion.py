"""Maps of several layers as one: on paper, and what is refused."""

from __future__ import annotations

from typing import Any

import keras
import nets
import numpy as np
import pytest
from keras import layers
from pydantic import ValidationError

from service.api.reading.parameters import parse
from service.engine.child.answer import with_model_defaults
from service.errors import InvalidParameter, KerascopeError, MethodNotValid, UnknownLayer
from service.explainers import BY_NAME
from service.explainers.base import Progress, Scale
from service.explainers.cam.fusion import fused
from service.explainers.subject import Subject
from service.explainers.targets import class_targets
from service.explainers.variants import Maps, Warned
from service.models.loaded import LoadedModel

CAM = BY_NAME["cam"]


@pytest.fixture(scope="module")
def pencil() -> LoadedModel:
    return nets.loaded(nets.pencil())


@pytest.fixture(scope="module")
def deep() -> LoadedModel:
    keras.utils.set_random_seed(1)
    image = keras.Input((8, 12, 1), name="image")
    x = layers.Conv2D(3, 3, padding="same", activation="relu", name="first")(image)
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="second")(x)
    x = layers.Conv2D(5, 3, strides=2, padding="same", activation="relu", name="third")(x)
    x = layers.GlobalAveragePooling2D(name="gap")(x)
    return nets.loaded(keras.Model(image, layers.Dense(3, activation="softmax", name="scores")(x)))


def explain(model: LoadedModel, image: np.ndarray = nets.IMAGE, **params: Any) -> Any:
    return nets.explain(model, "cam", image, **params)


def subject_of(model: LoadedModel) -> Subject:
    image = nets.network_input(model, nets.IMAGE)
    return Subject(model.backend, model.graph, image, class_targets(model.head), Progress())


@pytest.mark.parametrize(
    ("fuse", "target", "expected"),
    [
        # Class 0 by `conv` is A_0; by the image, of mean gradient 3/6, x/2. Both are clipped at 0, over their maximum.
        ("max", "0", nets.POSITIVE / 4),
        ("product", "0", (nets.POSITIVE / 4) ** 2),
        # Class 3 by `conv` is -A_0 - A_1, clipped; by the image, of mean gradient (2 - 3)/6, -x/6.
        ("max", "3", nets.NEGATIVE / 3),
        ("mean", "3", nets.NEGATIVE / 6),
        ("product", "3", 0 * nets.NEGATIVE),
    ],
)
def test_two_layers_on_paper(pencil: LoadedModel, fuse: str, target: str, expected: np.ndarray) -> None:
    found = explain(pencil, layers="image,conv", fuse=fuse, target=target)
    np.testing.assert_allclose(found.arrays["heatmap"], expected, rtol=1e-5)
    assert found.parameters == {"layers": ["image", "conv"]}


@pytest.mark.parametrize(
    ("fuse", "expected"),
    [("max", [[1, 1], [0.5, 1]]), ("mean", [[0.75, 1], [0.25, 0.5]]), ("product", [[0.5, 1], [0, 0]])],
)
def test_shares_of_the_maximum_are_fused(pencil: LoadedModel, fuse: str, expected: Any) -> None:
    """What is below 0 in a signed map is cut off, and a map without any evidence stays 0."""
    wide, tall = np.array([[2, 4], [-9, 0]], np.float32), np.array([[6, 6], [3, 6]], np.float32)
    told = Warned("a", "A.")
    found = [
        Maps([each, -abs(each)], nets.LOGITS, {"layer": name, "n": each.size + place}, (told,))
        for place, (name, each) in enumerate((("a", wide), ("b", tall)))
    ]
    both = fused(subject_of(pencil), found, fuse)
    np.testing.assert_allclose(both.values[0], expected)
    np.testing.assert_array_equal(both.values[1], 0 * wide)
    assert (both.parameters, both.warnings) == ({"layers": ["a", "b"], "n": [4, 5]}, (told,))


def test_maps_are_enlarged_to_the_greatest_height_and_width(pencil: LoadedModel) -> None:
    """A row of 0 and 8 over four cells lies at 0, 1/4, 3/4 and 1 between half-pixel centres."""
    maps = [np.array([[0, 8]], np.float32), np.zeros((3, 4), np.float32)]
    found = fused(subject_of(pencil), [Maps([each], nets.LOGITS, {"layer": ""}) for each in maps], "max").values[0]
    np.testing.assert_allclose(found, [[0, 0.25, 0.75, 1]] * 3)


@pytest.mark.parametrize("method", ["gradcam", "eigencam", "scorecam"])
def test_one_layer_is_its_own_share(deep: LoadedModel, method: str) -> None:
    image = np.random.default_rng(2).normal(size=(1, 8, 12, 1)).astype(np.float32)
    alone = explain(deep, image, method=method, layer="second").arrays["heatmap"]
    found = explain(deep, image, method=method, layers="second").arrays["heatmap"]
    np.testing.assert_allclose(found, np.maximum(alone, 0) / alone.max(), rtol=1e-5)


@pytest.mark.parametrize("target", ["top2", "1"])
def test_ranges_of_layers_and_several_targets(deep: LoadedModel, target: str) -> None:
    image = np.random.default_rng(2).normal(size=(1, 8, 12, 1)).astype(np.float32)
    found = explain(deep, image, layers="1-3", target=target)
    assert found.parameters["layers"] == ["first", "second", "third"]
    assert len(found.maps) == (2 if target == "top2" else 1)
    for name in found.maps:
        assert found.arrays[name].shape == (8, 12)
        assert 0 <= found.arrays[name].min() < found.arrays[name].max() <= 1


def test_a_fused_map_is_drawn_as_one_without_a_sign(deep: LoadedModel) -> None:
    image = np.ones((1, 8, 12, 1), np.float32)
    for params, scale in (({"layers": "1,2"}, Scale.MAX), ({"layer": "1"}, Scale.SYMMETRIC)):
        assert explain(deep, image, method="eigencam", colormap="coolwarm", **params).scale is scale


def test_the_models_own_layer_is_for_calls_that_name_none(pencil: LoadedModel) -> None:
    for given, layer in (({}, "conv"), ({"layers": "image,conv"}, None)):
        assert with_model_defaults(CAM, CAM.Params.model_validate(given), pencil).layer == layer


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        ({"layers": "first,nope,gap,third,9"}, UnknownLayer, ["no layer 'nope'", "'gap' cannot be used", "no layer 9"]),
        ({"layers": "gap,scores"}, MethodNotValid, ["'gap' cannot be used", "'scores' cannot be used"]),
        ({"layers": "1,first"}, InvalidParameter, ["names 'first' twice, as '1' and as 'first'"]),
        ({"layers": "1,2,third", "method": "cam"}, MethodNotValid, ["pooled layer only"]),
        ({"layers": "gap,1", "method": "eigencam", "smooth": "eigen"}, MethodNotValid, ["no such sum", "'gap' cannot"]),
    ],
)
def test_all_that_is_wrong_is_said_at_once(
    deep: LoadedModel, params: dict[str, Any], error: type[KerascopeError], words: list[str]
) -> None:
    with pytest.raises(error) as caught:
        explain(deep, np.ones((1, 8, 12, 1), np.float32), **params)
    for word in words:
        assert caught.value.detail.count(word) == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"layers": "0-16"}, "at most 16"),
        ({"layers": "conv,image", "layer": "conv"}, "in 'layers', not in both"),
        ({"fuse": "mean"}, "fuse: it says how the maps of several layers become one; name 'layers' too"),
        ({"layers": "conv,image", "fuse": "sum"}, "'max', 'mean' or 'product'"),
        ({"kernel": "rbf"}, "gradcam does not take it; it is for kpcacam"),
    ],
)
def test_what_is_refused_when_it_is_read(given: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        parse(CAM, given)
    assert words in caught.value.detail


def test_a_fusion_that_is_not_read_is_not_in_the_answer() -> None:
    assert "fuse" in CAM.unused(CAM.Params())
    assert "fuse" not in CAM.unused(CAM.Params.model_validate({"layers": "1,2"}))
    with pytest.raises(ValidationError):
        CAM.Params.model_validate({"layers": ""})


def test_progress_over_layers_rises(deep: LoadedModel) -> None:
    seen: list[float] = []

    class Record(Progress):
        def __call__(self, done: int, total: int, *_: Any) -> None:
            seen.append(done / total)

    image = np.ones((1, 8, 12, 1), np.float32)
    nets.explain(deep, "cam", image, progress=Record(), chunk=1, method="scorecam", layers="1,2,3", smooth="augment")
    assert seen == sorted(seen)
    assert len(seen) > 6 * 3 * 3
    assert seen[-1] < 1
