"""Against the tutorial's own loop on real networks, and what the ascents of whole layers reach."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import nets
import numpy as np
import pytest
import tensorflow as tf

from service.explainers.base import Explanation
from service.models.files.library import Library
from service.models.loaded import LoadedModel, load_model


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_model(Library(None).get("shapes"), tmp_path_factory.mktemp("cache"))


def ask(model: LoadedModel, **params: Any) -> Explanation:
    return nets.explain(model, "maximization", np.zeros(model.input_shape.batch, np.float32), **params)


def tutorial(
    model: LoadedModel, layer: str, channel: int, steps: int, scale: tuple[float, float]
) -> tuple[np.ndarray, list[float]]:
    """One filter by the loop of Deep Learning with Python on levels 0..255; `scale` is (offset, divisor)."""
    cut = keras.Model(model.keras_model.inputs, model.keras_model.get_layer(layer).output)
    size = (*model.input_shape.batch[1:],)
    image = tf.Variable(128 + 20 * np.random.default_rng([0, channel]).uniform(0, 1, (1, *size)), dtype=tf.float32)

    @tf.function
    def gradient() -> Any:
        with tf.GradientTape() as tape:
            maps = cut((image - scale[0]) / scale[1])
            loss = tf.reduce_mean(maps[..., channel])
        return loss, tape.gradient(loss, image)

    losses = []
    for _ in range(steps):
        loss, found = gradient()
        losses.append(float(loss))
        image.assign_add(found / (tf.sqrt(tf.reduce_mean(tf.square(found))) + 1e-5))
    return image.numpy()[0], [*losses, float(gradient()[0])]


def check(model: LoadedModel, layer: str, channels: tuple[int, ...], scale: tuple[float, float]) -> None:
    """The image within 1e-3 after 5 steps, the objective within 1 % after 40.

    A ReLU that switches for the last bit of a float32 changes the pixels it sees: one value in twenty may be off.
    """
    size = f"{model.input_shape.height},{model.input_shape.width}"
    given = {"layer": layer, "channels": channels, "preset": "chollet", "size": size}
    short, whole = ask(model, steps=5, **given), ask(model, **given)
    for place, channel in enumerate(channels):
        image, losses = tutorial(model, layer, channel, 5, scale)
        found = short.arrays["images"][place]
        assert np.linalg.norm(found - image) < 1e-3 * np.linalg.norm(image)
        assert np.isclose(found, image, rtol=1e-3).mean() > 0.95
        np.testing.assert_allclose(short.arrays["history"][place], losses[:5], rtol=1e-3, atol=1e-5)
        _, losses = tutorial(model, layer, channel, 40, scale)
        np.testing.assert_allclose(whole.arrays["activation"][place], losses[-1], rtol=1e-2)


@pytest.mark.parametrize("layer", ["conv2d", "conv2d_3", "conv2d_5"])
def test_the_tutorials_loop_on_shapes(shapes: LoadedModel, layer: str) -> None:
    check(shapes, layer, (6, 9), (0, 255))


@pytest.mark.parametrize("layer", ["block1a_project_conv", "block3b_expand_conv"])
def test_the_tutorials_loop_on_imagenet(lite0: LoadedModel, layer: str) -> None:
    check(lite0, layer, (7, 12), (127, 128))


def test_filter_7_alone_and_among_64(lite0: LoadedModel) -> None:
    given = {"layer": "block3b_expand_conv", "size": 64, "preset": "chollet"}
    alone, among = ask(lite0, channels="7", steps=5, **given), ask(lite0, channels="0-63", steps=5, **given)
    np.testing.assert_allclose(alone.arrays["images"][0], among.arrays["images"][7], rtol=1e-3)
    alone, among = ask(lite0, channels="7", **given), ask(lite0, channels="4-11", **given)
    np.testing.assert_allclose(alone.arrays["activation"][0], among.arrays["activation"][3], rtol=1e-2)


@pytest.mark.parametrize(
    ("layer", "channels", "share", "times"),
    [("stem_conv", 32, 0.7, 15), ("block3b_expand_conv", 64, 0.5, 5), ("top_conv", 64, 0.95, 15)],
)
def test_what_a_layer_reaches(lite0: LoadedModel, layer: str, channels: int, share: float, times: float) -> None:
    """All filters with weights rise. How far depends on the layer: `share` of them tenfold or from below 0, those that
    start above 0 `times` as high in the median. The stem has six filters whose kernels are 0 but for rounding.
    """
    found = ask(lite0, layer=layer, channels=f"0-{channels - 1}", size=64, preset="chollet")
    start, end = found.arrays["start"], found.arrays["activation"]
    live = np.abs(lite0.keras_model.get_layer(layer).get_weights()[0][..., :channels]).max(axis=(0, 1, 2)) > 1e-5
    assert live.sum() >= channels - 6
    assert (end > start)[live].all()
    assert (end >= 10 * np.maximum(start, 0))[live].mean() >= share
    assert np.median((end / start)[live & (start > 0)]) >= times
    assert (np.diff(found.arrays["history"][live].mean(axis=0)) > 0).mean() > 0.9


@pytest.mark.parametrize("layer", ["conv2d_4", "conv2d_5"])
def test_live_filters_of_shapes_rise_tenfold(shapes: LoadedModel, layer: str) -> None:
    """Filters that nothing in a grey image excites; earlier layers see the grey itself, and rise less."""
    found = ask(shapes, layer=layer, channels="0-31", preset="chollet")
    start, end = found.arrays["start"], found.arrays["activation"]
    live = ~np.array([row["dead"] for row in found.statistics["images"]])
    assert live.sum() >= 30
    assert (end >= 10 * np.maximum(start, 0))[live].mean() >= 0.95


def test_dead_filters_of_a_real_network(lite0: LoadedModel) -> None:
    found = ask(lite0, layer="stem_activation", channels="0-31", size=64, preset="chollet", steps=20)
    assert [row["name"] for row in found.statistics["images"] if row["dead"]] == ["11", "14", "16", "28", "29", "31"]
    assert found.warnings[0].code == "dead_filter"


def test_a_class_rises_far_above_the_others(shapes: LoadedModel) -> None:
    """The image made for a class is seen as that class, by either recipe."""
    for preset in ("chollet", "lucid"):
        found = ask(shapes, target="circle,square,triangle", preset=preset, steps=60)
        levels = np.clip(found.arrays["images"], 0, 255) / 255
        logits = np.argmax(shapes.keras_model.predict(levels, verbose=0), axis=1)
        assert logits.tolist() == [0, 1, 2]
        assert [row["name"] for row in found.statistics["images"]] == ["circle", "square", "triangle"]


def test_models_of_the_data_folder(data: Path, tmp_path: Path) -> None:
    """A network without a channel axis, a grey one, and one whose head wants its own size."""
    for name, layer in (
        ("tensorspace__keras_mnist", "Conv2D_1"),
        ("fer__emotion_model", "1"),
        ("cnn_explainer_tinyvgg", "1"),
    ):
        model = load_model(Library(data / "models").get(name), tmp_path)
        found = ask(model, layer=layer, channels="0-2", preset="chollet", steps=10)
        assert (found.arrays["activation"] > found.arrays["start"]).sum() >= 2
