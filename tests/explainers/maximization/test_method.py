"""Ascents whose every step is worked out on paper, dead filters, sizes, what is done the same way twice."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import keras
import nets
import numpy as np
import pytest
from keras import layers

from service.errors import InvalidParameter, TooCostly
from service.explainers.base import Explanation
from service.explainers.maximization import displayed
from service.models.backends.tensorflow import TensorFlowBackend
from service.models.loaded import LoadedModel

PRESETS = ("chollet", "keras-io", "keras-vis", "lucid")
# One cell of relu(x / 255) in the mean over six: the gradient of every pixel, and what is left of a step of 1.
SLOPE = 1 / (6 * 255)
LENGTH = SLOPE / (SLOPE + 1e-5)


@pytest.fixture(scope="module")
def pencil() -> LoadedModel:
    return nets.loaded(nets.one_dead_filter())


@pytest.fixture(scope="module")
def any_size() -> LoadedModel:
    return nets.loaded(nets.any_size_net(side=16))


def ask(model: LoadedModel, image: np.ndarray | None = None, **params: Any) -> Explanation:
    given = np.zeros(model.input_shape.batch, np.float32) if image is None else image
    return nets.explain(model, "maximization", given, **params)


def same(first: Explanation, second: Explanation) -> None:
    assert list(first.arrays) == list(second.arrays)
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(array, second.arrays[name])


def test_every_step_of_chollets_recipe(pencil: LoadedModel) -> None:
    """Noise in 128 … 148; 40 times `LENGTH` for each pixel; the objective is the mean over 255."""
    found = ask(pencil, layer="conv", channels="0")
    start = 128 + 20 * np.random.default_rng([0, 0]).uniform(0, 1, (2, 3, 1))
    np.testing.assert_allclose(found.arrays["images"][0], start + 40 * LENGTH, rtol=1e-5)
    expected = (start.mean() + LENGTH * np.arange(40)) / 255
    np.testing.assert_allclose(found.arrays["history"][0], expected, rtol=1e-5)
    np.testing.assert_allclose(found.arrays["start"], expected[:1], rtol=1e-5)
    np.testing.assert_allclose(found.arrays["activation"], [expected[0] + 40 * LENGTH / 255], rtol=1e-5)
    assert found.primary == "images"
    assert {array.dtype for array in found.arrays.values()} == {np.dtype(np.float32)}


def test_a_step_of_keras_io(pencil: LoadedModel) -> None:
    """Values in -1 … 1 stand for levels: x / 255 rises by 1/2 a unit of value; 10 over the norm of six equal slopes.

    Of two rows and three columns, all but the middle column would be border; one cell must be left in each direction.
    """
    found = ask(pencil, layer="conv", channels="0", preset="keras-io", init="gray", steps=1, crop=0)
    assert found.parameters["border"] == 0
    whole = found.arrays["images"][0] - 127.5
    shown = ((found.arrays["images"][0] > 128).sum(), whole.max())
    assert shown == (2, pytest.approx(10 / 2**0.5 * 127.5, rel=1e-5))


def test_a_step_of_adam_on_pixels(pencil: LoadedModel) -> None:
    """Every pixel's first step is 0.05 in front of the sigmoid."""
    still = {"jitter": 0, "rotate": 0, "scale": 0, "pad": 0, "parametrization": "pixel"}
    found = ask(pencil, layer="conv", channels="0", preset="lucid", init="gray", steps=1, **still)
    np.testing.assert_allclose(found.arrays["images"], 255 / (1 + np.exp(-0.05)), rtol=1e-3)


def test_penalties_pull_back(pencil: LoadedModel) -> None:
    """Slope of 100·mean((x - 127.5)²) at 127.5 + d is 200·d/6: far more than the objective's."""
    free = ask(pencil, layer="conv", channels="0", init="gray", steps=30)
    held = ask(pencil, layer="conv", channels="0", init="gray", steps=30, l2=100)
    assert free.arrays["images"].mean() > 127.5 + 25
    assert abs(held.arrays["images"].mean() - 127.5) < 1.5


def test_the_best_image_is_kept(pencil: LoadedModel) -> None:
    """Without penalties each step is better than the last: the best image seen is the one before the last step."""
    plain = {"total_variation": 0, "lp": 0, "preset": "keras-vis", "layer": "conv", "channels": "0"}
    found = ask(pencil, steps=8, **plain)
    np.testing.assert_allclose(found.arrays["activation"], found.arrays["history"][:, -1], rtol=1e-6)
    assert (np.diff(found.arrays["history"]) > 0).all()


def test_a_filter_that_is_dead_at_the_start_is_revived(pencil: LoadedModel) -> None:
    """relu(-x) of bright noise is 0 and has no gradient. Seven redirected steps of 20 bring the darkest pixels below
    0; from then on these have a gradient of their own, and the 33 steps that are left are theirs alone.
    """
    found = ask(pencil, layer="conv", channels="1", step_size=20)
    pushed = 128 + 20 * np.random.default_rng([0, 1]).uniform(0, 1, (2, 3, 1)) - 7 * 20 * LENGTH
    below = pushed < 0
    assert 0 < below.sum() < 6
    assert found.arrays["history"][0, :7].tolist() == [0] * 7
    np.testing.assert_allclose(found.arrays["history"][0, 7], -(pushed * below).mean() / 255, rtol=1e-3)
    step = 20 * SLOPE / (SLOPE * below.mean() ** 0.5 + 1e-5)
    np.testing.assert_allclose(found.arrays["images"][0], pushed - 33 * step * below, rtol=1e-3, atol=1e-3)
    assert not found.statistics["images"][0]["dead"]
    assert found.statistics["images"][0]["redirected"]
    assert found.parameters["redirected_steps"] == 16
    assert ask(pencil, layer="conv", channels="0").parameters["redirected_steps"] == 0
    assert found.warnings == ()


def test_too_short_a_push_does_not_revive(pencil: LoadedModel) -> None:
    """16 steps of 1 do not reach 0, and then nothing pushes any more."""
    found = ask(pencil, layer="conv", channels="1")
    start = 128 + 20 * np.random.default_rng([0, 1]).uniform(0, 1, (2, 3, 1))
    np.testing.assert_allclose(found.arrays["images"][0], start - 16 * LENGTH, rtol=1e-5)
    assert found.statistics["images"][0]["dead"]


def test_truly_dead_filters_are_listed(pencil: LoadedModel) -> None:
    found = ask(pencil, layer="conv", channels="0-2", step_size=20)
    assert [row["dead"] for row in found.statistics["images"]] == [False, False, True]
    assert [(item.code, item.detail) for item in found.warnings] == [
        ("dead_filter", "1 of 'conv' stayed at 0 for the whole ascent: 2")
    ]
    live = ask(pencil, layer="conv", channels="0", step_size=20)
    np.testing.assert_allclose(found.arrays["images"][:1], live.arrays["images"], rtol=1e-6)


def test_statistics(pencil: LoadedModel) -> None:
    found = ask(pencil, layer="conv", channels="0,2")
    first, second = found.statistics["images"]
    assert first["gain"] == pytest.approx(40 * LENGTH / 255, rel=1e-4)
    assert first["activation"] == pytest.approx(first["start"] + first["gain"], rel=1e-6)
    assert second == {"name": "2", "start": 0, "activation": 0, "gain": 0, "dead": True, "redirected": True,
                      "history": [0] * 40}  # fmt: skip


@pytest.mark.parametrize("preset", PRESETS)
def test_a_filter_does_not_depend_on_its_company(any_size: LoadedModel, preset: str) -> None:
    how = {"layer": "second", "preset": preset, "steps": 6}
    alone, among = ask(any_size, channels="3", **how), ask(any_size, channels="0-4", **how)
    for name, array in alone.arrays.items():
        scale = np.abs(array).max()
        np.testing.assert_allclose(array[0], among.arrays[name][3], atol=1e-3 * scale, rtol=1e-3)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_same_again_and_another_for_another_seed(any_size: LoadedModel, preset: str) -> None:
    how = {"target": "1,2-0", "preset": preset, "steps": 4}
    first = ask(any_size, **how)
    same(first, ask(any_size, **how))
    assert not np.allclose(first.arrays["images"], ask(any_size, seed=1, **how).arrays["images"], atol=1e-2)


@pytest.mark.parametrize("preset", PRESETS)
def test_nothing_is_traced_again(preset: str) -> None:
    model = nets.loaded(nets.any_size_net(side=16))
    before = nets.state(model.keras_model)
    # A bias of 9 for every filter, so that none is dead at the start and asks for a plan of its own.
    ask(model, layer="first:linear", channels="0", preset=preset, steps=3)
    traces = model.backend.traces
    assert traces == 2
    ask(model, layer="first:linear", channels="1-5", preset=preset, steps=5, seed=3, step_size=0.5)
    ask(model, layer="first:linear", direction="1,2,3,-1,0,1", preset=preset, steps=1, init="gray", frames=2)
    assert model.backend.traces == traces
    assert nets.state(model.keras_model) == before


@pytest.mark.parametrize("side", [9, 16, 40])
@pytest.mark.parametrize("preset", PRESETS)
def test_any_size_the_network_takes(any_size: LoadedModel, preset: str, side: int) -> None:
    found = ask(any_size, layer="second", channels="0,1", preset=preset, size=f"{side},{side + 3}", steps=3)
    assert found.arrays["images"].shape == (2, side, side + 3, 3)
    assert found.parameters["size"] == [side, side + 3]
    drawn = displayed(found.arrays["images"], found.parameters)
    crop = found.parameters["crop"]
    assert drawn.shape == (2, side - 2 * crop, side + 3 - 2 * crop, 3)


def test_the_size_by_default() -> None:
    """Sizes are at most 128 px for channels, unless the network does not take that; its own for neurons and classes."""
    open_net = nets.loaded(nets.any_size_net())
    assert ask(open_net, layer="first", channels="0", steps=1).parameters["size"] == [128, 128]
    assert ask(open_net, layer="first", steps=1).parameters["size"] == [128, 128]
    assert ask(open_net, layer="first", neuron="99,0,1", steps=1).parameters["size"] == [224, 224]
    assert ask(open_net, target="1", steps=1).parameters["size"] == [224, 224]
    x = keras.Input((130, 140, 3), name="image")
    y = layers.Flatten(name="flat")(layers.Conv2D(2, 8, strides=61, name="conv")(x))
    fixed = nets.loaded(keras.Model(x, layers.Dense(3, name="scores")(y)))
    assert ask(fixed, layer="scores", channels="0", steps=1).parameters["size"] == [130, 140]
    assert ask(fixed, layer="conv", channels="0", steps=1).parameters["size"] == [128, 128]


def test_sizes_that_are_refused(any_size: LoadedModel) -> None:
    flat = nets.loaded(nets.random_net(size=(12, 10)))
    with pytest.raises(
        InvalidParameter, match="not take images of 20×20 px up to 'scores:linear'; its own size is 12×10"
    ):
        ask(flat, target="1", size="20")
    assert ask(flat, layer="second", channels="0", size="20", steps=1).parameters["size"] == [20, 20]
    x = keras.Input((40, 40, 3), name="image")
    large = nets.loaded(keras.Model(x, layers.Conv2D(2, 12, name="conv")(x)))
    with pytest.raises(InvalidParameter, match="does not take images of 8×8 px up to 'conv'; its own size is 40×40 px"):
        ask(large, layer="conv", size="8")
    with pytest.raises(InvalidParameter, match="the map of 'first' has 4×4 cells at this size"):
        ask(any_size, layer="first", neuron="6,6,0", size="10")
    with pytest.raises(InvalidParameter, match="512 images of 512×512 px are too much for one call"):
        ask(any_size, layer="first", channels=",".join(["0"] * 512), size="512")


def test_an_image_that_takes_too_much_memory_is_refused() -> None:
    model = nets.loaded(nets.any_size_net(side=16))
    model = replace(model, backend=TensorFlowBackend(call_bytes=2**20))
    with pytest.raises(TooCostly, match="an image of 1000×1000 px takes too much memory in this network"):
        ask(model, layer="first", channels="0", size="1000")


def test_a_network_without_a_channel_axis() -> None:
    x = keras.Input((12, 9), name="image")
    y = layers.Conv2D(2, 3, name="conv", kernel_initializer="ones")(layers.Reshape((12, 9, 1), name="reshape")(x))
    model = nets.loaded(keras.Model(x, layers.GlobalAveragePooling2D(name="gap")(y)))
    found = ask(model, layer="conv", channels="0,1", steps=2)
    assert found.arrays["images"].shape == (2, 12, 9, 1)
    assert (found.arrays["activation"] > found.arrays["start"]).all()
    with pytest.raises(InvalidParameter, match="its own size is 12×9 px"):
        ask(model, layer="conv", channels="0", size="20", steps=1)


def test_networks_of_other_channels_get_the_presets_values() -> None:
    found = ask(nets.loaded(nets.random_net()), layer="second", channels="0", steps=2, preset="keras-io", crop=0)
    assert found.arrays["images"].shape == (1, 7, 5, 2)


def test_the_image_that_is_sent_is_where_it_starts(any_size: LoadedModel) -> None:
    image = np.random.default_rng(0).uniform(0.1, 0.9, (1, 16, 16, 3)).astype(np.float32)
    for preset in PRESETS:
        found = ask(any_size, image, layer="second", channels="0", init="image", preset=preset, steps=1, step_size=1e-9)
        np.testing.assert_allclose(found.arrays["images"][0], image[0] * 255, atol=0.2)
    found = ask(any_size, image, layer="second", channels="0", init="image", size="32", steps=1, step_size=1e-9)
    np.testing.assert_allclose(found.arrays["images"].mean(), image.mean() * 255, rtol=0.02)


def test_two_threads_get_what_one_gets(any_size: LoadedModel) -> None:
    how = [{"layer": "second", "channels": "0-2", "steps": 8, "preset": preset} for preset in ("chollet", "lucid")]
    alone = [ask(any_size, **params) for params in how]
    found: dict[int, list[Explanation]] = {0: [], 1: []}

    def work(place: int) -> None:
        for _ in range(3):
            found[place].append(ask(any_size, **how[place]))

    threads = [threading.Thread(target=work, args=(place,)) for place in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for place, results in found.items():
        assert len(results) == 3
        for result in results:
            for name, array in alone[place].arrays.items():
                np.testing.assert_allclose(result.arrays[name], array, rtol=1e-4, atol=1e-3)
