"""The newer maps on two ImageNet networks, against tapes over the Keras models themselves and NumPy in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import nets
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from service.models.files.spec import ModelSpec, Preprocessing
from service.models.graph.preprocess import prepare
from service.models.loaded import LoadedModel, load_model

Array = np.ndarray
TARGET = 285
# Of each network a layer of the middle and the last one.
LAYERS = {"efficientnet-lite0": ("block4b_add", "top_activation"), "mobilenetv2": ("block_9_add", "out_relu")}


@dataclass(frozen=True, eq=False)
class Seen:
    """A network, and a photograph as it takes it."""

    model: LoadedModel
    image: Array
    layers: tuple[str, ...]
    known: dict[Any, tuple[Array, Array]] = field(default_factory=dict)

    def at(self, layer: str, weights: Array) -> tuple[Array, Array]:
        """The layer's activations and the gradient of Σ weights·logits, (h, w, k) float64; the head is a Dense."""
        key = layer, weights.tobytes()
        if key not in self.known:
            self.known[key] = self.taped(layer, weights, self.image)
        return self.known[key]

    def taped(self, layer: str, weights: Array, image: Array) -> tuple[Array, Array]:
        net = self.model.keras_model
        last = net.layers[-1]
        twin = keras.Model(net.inputs[0], [net.get_layer(layer).output, last.input])
        with tf.GradientTape() as tape:
            maps, features = twin(image, training=False)
            logits = tf.tensordot(features, last.kernel.value, 1) + last.bias
            total = tf.reduce_sum(logits[0] * weights.astype(np.float32))
        gradient = tape.gradient(total, maps)
        return maps.numpy()[0].astype(np.float64), gradient.numpy()[0].astype(np.float64)

    def heatmap(self, **params: Any) -> Array:
        return nets.explain(self.model, "cam", self.image, **{"target": str(TARGET), **params}).arrays["heatmap"]


@pytest.fixture(scope="module", params=LAYERS)
def seen(request: pytest.FixtureRequest, data: Path, lite0: LoadedModel, tmp_path_factory: Any) -> Seen:
    model = lite0
    if request.param == "mobilenetv2":
        spec = ModelSpec(
            id="mobilenetv2", weights="mobilenetv2_from_coral_ptq.h5", folder=data / "models", labels="imagenet",
            preprocessing=Preprocessing(mode="tf"),
        )  # fmt: skip
        model = load_model(spec, tmp_path_factory.mktemp("cache"))
    pixels = np.asarray(Image.open(data / "images" / "skimage_chelsea.png").convert("RGB"))
    image = prepare(pixels, model.input_shape, model.spec.input, model.preprocessing).batch
    return Seen(model, image, LAYERS[request.param])


def one(index: int = TARGET) -> Array:
    return np.eye(1000)[index]


def close(found: Array, expected: Array) -> None:
    assert expected.max() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def component(channels: Array) -> Array:
    """From the smaller of the two products of the centred cells with themselves, not by singular values."""
    cells = channels.reshape(-1, channels.shape[2])
    centred = cells - cells.mean(0)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    projected = (vectors[:, -1] * np.sqrt(values[-1])).reshape(channels.shape[:2])
    return projected * np.sign(np.sum(projected * channels.sum(2)))


def gradcam(a: Array, g: Array) -> Array:
    return np.maximum(a @ g.mean((0, 1)), 0)


FORMULAS: dict[str, tuple[dict[str, Any], Callable[[Array, Array], Array]]] = {
    "elementwise": ({"method": "gradcam_elementwise"}, lambda a, g: np.maximum(a * g, 0).sum(2)),
    "eigengradcam": ({"method": "eigengradcam"}, lambda a, g: component(a * g)),
    "eigen": ({"smooth": "eigen"}, lambda a, g: np.maximum(component(a * g.mean((0, 1))), 0)),
    # All behind these layers is piecewise linear.
    "shapleycam": ({"method": "shapleycam"}, gradcam),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_formulas(seen: Seen, name: str) -> None:
    params, formula = FORMULAS[name]
    for layer in seen.layers:
        close(seen.heatmap(layer=layer, **params), formula(*seen.at(layer, one())))


def test_finercam(seen: Seen) -> None:
    logits = nets.explain(seen.model, "predict", seen.image).arrays["logits"].astype(np.float64)
    others = [each for each in np.argsort(abs(logits - logits[TARGET])) if each != TARGET][:3]
    weights = one() - 0.6 * np.mean([one(each) for each in others], axis=0)
    for layer in seen.layers:
        found = seen.heatmap(layer=layer, method="finercam", references=3, strength=0.6)
        close(found, gradcam(*seen.at(layer, weights)))


def enlarged(values: Array, size: int) -> Array:
    """Bilinear between half-pixel centres, one axis after the other."""
    places = (np.arange(size) + 0.5) * len(values) / size - 0.5
    rows = np.array([np.interp(places, np.arange(len(values)), column) for column in values.T]).T
    return np.array([np.interp(places, np.arange(values.shape[1]), row) for row in rows])


@pytest.mark.parametrize("fuse", ["max", "mean", "product"])
def test_fused(seen: Seen, fuse: str) -> None:
    maps = [gradcam(*seen.at(layer, one())) for layer in seen.layers]
    shares = np.stack([enlarged(each / each.max(), len(maps[0])) for each in maps])
    expected = {"max": shares.max, "mean": shares.mean, "product": shares.prod}[fuse](axis=0)
    close(seen.heatmap(layers=",".join(seen.layers), fuse=fuse), expected)


def test_the_mean_over_views(seen: Seen) -> None:
    layer, maps = seen.layers[-1], []
    for turn in (slice(None), slice(None, None, -1)):
        for factor in (1.1, 1, 0.9):
            view = seen.image[:, :, turn] * np.float32(factor)
            maps.append(gradcam(*seen.taped(layer, one(), view))[:, turn])
    close(seen.heatmap(layer=layer, smooth="augment"), np.mean(maps, axis=0))
