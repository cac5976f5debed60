"""Gradient maps of real networks against Keras and TensorFlow, called here and not by the service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import nets
import numpy as np
import pytest
import tensorflow as tf

from service.explainers.covers import blurred
from service.models.files.spec import ModelSpec, Preprocessing
from service.models.loaded import LoadedModel, load_model

CLASS = 281
MOBILENET = "mobilenetv2_from_coral_ptq.h5"


@dataclass(frozen=True)
class Network:
    """The service's model, Keras's own, and an image that it takes."""

    model: LoadedModel
    image: np.ndarray

    @cached_property
    def biased(self) -> list[tuple[Any, np.ndarray]]:
        """The layers with a map that add a constant, with it: normalisation, and convolutions with a bias."""
        found = []
        for layer in self.model.keras_model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                scale = np.float64(layer.gamma) / np.sqrt(np.float64(layer.moving_variance) + layer.epsilon)
                found.append((layer, np.float64(layer.beta) - scale * np.float64(layer.moving_mean)))
            elif getattr(layer, "use_bias", False) and len(layer.output.shape) == 4:
                found.append((layer, np.float64(layer.bias)))
        return found

    @cached_property
    def inner(self) -> Any:
        own = self.model.keras_model
        return keras.Model(own.inputs, [*(layer.output for layer, _ in self.biased), own.layers[-1].input])

    def gradients(self, batch: np.ndarray) -> list[np.ndarray]:
        """∂logit/∂ of the image, and of what each of the biased layers gives; the logit last."""
        head = self.model.keras_model.layers[-1]
        image = tf.constant(batch, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(image)
            *maps, features = self.inner(image, training=False)
            logit = (tf.matmul(features, head.kernel.value) + head.bias.value)[:, CLASS]
        return [*(np.asarray(each, np.float64) for each in tape.gradient(logit, [image, *maps])), np.asarray(logit)]

    def at(self, point: np.ndarray) -> np.ndarray:
        return self.gradients(point[None])[0][0]


@pytest.fixture(scope="module", params=["efficientnet-lite0", "mobilenetv2"])
def network(request: pytest.FixtureRequest, lite0: LoadedModel, chelsea: np.ndarray, data: Path) -> Network:
    if request.param == "efficientnet-lite0":
        return Network(lite0, chelsea)
    spec = ModelSpec(
        id=request.param, weights=MOBILENET, folder=data / "models", preprocessing=Preprocessing(mode="tf")
    )
    return Network(load_model(spec, data), chelsea)


def close(found: np.ndarray, expected: np.ndarray) -> None:
    """Compares most values to 1e-4 of the largest, and all by their norm: where rounding opens a ReLU or shuts it, the
    gradient of the pixels before it is another. Normalisation is folded in the service, and is not in Keras."""
    assert np.quantile(np.abs(found - expected), 0.8) < 1e-4 * np.abs(expected).max()
    assert np.linalg.norm(found - expected) < 0.01 * np.linalg.norm(expected)


def gauss(at: Callable[[np.ndarray], np.ndarray], image: np.ndarray, start: np.ndarray) -> np.ndarray:
    nodes, weights = np.polynomial.legendre.leggauss(3)
    steps = zip((nodes + 1) / 2, weights / 2, strict=True)
    return (image - start) * sum(weight * at(start + node * (image - start)) for node, weight in steps)


def explained(network: Network, method: str, **params: Any) -> Any:
    return nets.explain(network.model, "saliency", network.image, method=method, target=str(CLASS), **params)


def test_integrated_from_two_baselines(network: Network) -> None:
    image = network.image[0].astype(np.float64)
    mean = np.broadcast_to(image.mean(axis=(0, 1)), image.shape)
    expected = (gauss(network.at, image, 0 * image) + gauss(network.at, image, mean)) / 2
    found = explained(network, "integrated_gradients", baseline="zero,mean", steps=3)
    close(found.arrays["gradient"], expected)


def test_out_of_the_blur(network: Network) -> None:
    levels = [blurred(network.image, 56 * (1 - step / 6) ** 2)[0].astype(np.float64) for step in range(7)]
    expected = sum(network.at(levels[step]) * (levels[step + 1] - levels[step - 1]) for step in (1, 3, 5))
    close(explained(network, "blur_ig", steps=3).arrays["gradient"], expected)


def test_expected_gradients(network: Network) -> None:
    image = network.image[0].astype(np.float64)
    products = []
    for sample in range(3):
        random = np.random.default_rng([7, sample])
        way = image + 0.1 * np.ptp(image) * random.standard_normal(image.shape)
        products.append(way * network.at(random.uniform() * way))
    close(explained(network, "gradient_shap", samples=3, seed=7, noise=0.1).arrays["gradient"], np.mean(products, 0))


def test_the_full_gradient(network: Network) -> None:
    """Each layer's map is enlarged by TensorFlow, whose own centres are half-pixel ones, too."""
    gradient, *others, logit = network.gradients(network.image)
    parts = [gradient[0] * network.image[0]]
    parts += [bias * other[0] for (_, bias), other in zip(network.biased, others, strict=True)]
    expected = np.zeros(network.image.shape[1:3])
    for part in parts:
        size = np.abs(part)
        rescaled = ((size - size.min()) / np.ptp(size)).sum(axis=-1)
        expected += tf.image.resize(rescaled[..., None], expected.shape).numpy()[..., 0]
    found = explained(network, "fullgrad")
    close(found.arrays["heatmap"], expected)
    bias = float(network.model.keras_model.layers[-1].bias.value[CLASS])
    missed = sum(part.sum() for part in parts) + bias - float(logit[0])
    assert found.parameters["completeness_delta"] == pytest.approx(missed, abs=1e-3)
    assert found.parameters["biased_layers"] == len(network.biased)


def test_a_guided_path(network: Network) -> None:
    """Out of a blur: from one colour most gradients are equal, and rounding would decide which values go first. So that
    it does not here, either, the gradients are the service's own."""

    def slopes_at(point: np.ndarray) -> np.ndarray:
        batch = point[None].astype(np.float32)
        found = nets.explain(network.model, "saliency", batch, target=str(CLASS)).arrays["gradient"]
        return found.astype(np.float64)

    image, start = network.image[0].astype(np.float64), blurred(network.image, 14)[0].astype(np.float64)
    at, total, whole = np.zeros_like(image), np.zeros_like(image), np.abs(image - start)
    for step in (1, 2):
        slopes, before = slopes_at(start + at * (image - start)), at
        at, left = np.maximum(at, step / 2 - 0.2), np.abs(slopes)
        last = min(1.0, step / 2 + 0.2)
        while (whole * at).sum() < whole.sum() * step / 2 * (1 - 1e-9):
            left = np.where((at < last) & (whole > 0), left, np.inf)
            moving = (left <= np.quantile(left, 0.25, method="lower")) & (left < np.inf)
            share = (whole.sum() * step / 2 - (whole * at).sum()) / (whole * (last - at))[moving].sum()
            at = np.where(moving, at + min(1.0, share) * (last - at), at)
        total += slopes * (at - before) * (image - start)
    found = explained(network, "guided_ig", steps=2, max_dist=0.2, baseline="blur")
    np.testing.assert_allclose(found.arrays["gradient"], total, rtol=0, atol=1e-4 * np.abs(total).max())
