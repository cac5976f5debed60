"""Networks of Keras 2, explained as they are: every method against a direct computation with tf_keras."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nets
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from service.models.files.entries import spec_of_file
from service.models.loaded import LoadedModel, load_model

FILES = Path(__file__).parents[1] / "models" / "kept"
# Of Keras 2.2.4, TensorFlow 1.15 (an operation in it), 2.9, 2.12, 2.13 and 2.14 (weights in layouts of their own).
NETWORKS = {
    "k202_mobilenet.h5": "conv_pw_1",
    "tf115_scaled.h5": "conv2d_1",
    "tf209_mobilenet.h5": "expanded_conv_project",
    "tf212_relu.keras": "conv2d",
    "tf214_windows.keras": "conv2d_3",
    "tf213_layers.keras": "separable_conv2d",
}
CLASS = 1


@dataclass(frozen=True)
class Subject:
    """The service's model, tf_keras's own, a layer, an image, and functions of the latter two alone."""

    model: LoadedModel
    own: Any
    layer: str
    image: np.ndarray

    def logits(self, *more: str) -> Any:
        """A tf_keras model of the logits, after the outputs of `more` layers."""
        last = self.own.layers[-1]
        outputs = [*(self.own.get_layer(name).output for name in more), last.input]
        cut = tf_keras.Model(self.own.inputs, outputs)

        def run(x: Any) -> list[Any]:
            found = tf.nest.flatten(cut(x, training=False))
            return [*found[:-1], tf.matmul(found[-1], last.kernel) + last.bias]

        return run

    def score(self, x: Any) -> Any:
        return self.logits()(x)[-1][:, CLASS]


@pytest.fixture(scope="module", params=NETWORKS)
def subject(request: pytest.FixtureRequest) -> Subject:
    path = FILES / request.param
    model = load_model(spec_of_file(path), path.parent)
    with np.load(path.with_suffix(".npz")) as arrays:
        image = arrays["x"][:1]
    return Subject(model, nets.opened(path), NETWORKS[request.param], image)


def close(found: np.ndarray, expected: Any) -> None:
    """Within 1e-4 of the largest value."""
    expected = np.asarray(expected)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    assert np.abs(expected).max() > 0


def gradient(subject: Subject, x: np.ndarray) -> np.ndarray:
    image = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(image)
        score = subject.score(image)
    return np.asarray(tape.gradient(score, image))


def test_it_is_a_model_of_keras_2(subject: Subject) -> None:
    assert subject.model.written_by == 2


def test_grad_cam(subject: Subject) -> None:
    run = subject.logits(subject.layer)
    image = tf.constant(subject.image)
    with tf.GradientTape() as tape:
        tape.watch(image)
        maps, logits = run(image)
        score = logits[:, CLASS]
    weights = tf.reduce_mean(tape.gradient(score, maps), axis=(1, 2))
    expected = tf.nn.relu(tf.einsum("bhwc,bc->bhw", maps, weights))[0]
    found = nets.explain(subject.model, "cam", subject.image, layer=subject.layer, target=str(CLASS))
    if np.asarray(expected).any():
        close(found.arrays["heatmap"], expected)
    else:
        assert not found.arrays["heatmap"].any()
    # One unrectified definition too, so that no file passes by being 0 everywhere.
    hires = nets.explain(subject.model, "cam", subject.image, layer=subject.layer, target=str(CLASS), method="layercam")
    positive = tf.nn.relu(tape_of(subject)) * maps
    close(hires.arrays["heatmap"], tf.nn.relu(tf.reduce_sum(positive, axis=-1))[0])


def tape_of(subject: Subject) -> Any:
    """∂score/∂maps of the layer."""
    run = subject.logits(subject.layer)
    image = tf.constant(subject.image)
    with tf.GradientTape() as tape:
        tape.watch(image)
        maps, logits = run(image)
        score = logits[:, CLASS]
    return tape.gradient(score, maps)


def test_gradient(subject: Subject) -> None:
    found = nets.explain(subject.model, "saliency", subject.image, target=str(CLASS)).arrays["gradient"]
    close(found, gradient(subject, subject.image)[0])


def test_guided_backpropagation(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """tf_keras with every ReLU replaced, as the tutorials do it."""

    @tf.custom_gradient
    def guided(x: Any) -> Any:
        def backward(upstream: Any) -> Any:
            return tf.where((upstream > 0) & (x > 0), upstream, tf.zeros_like(upstream))

        return tf.nn.relu(x), backward

    @tf.custom_gradient
    def guided6(x: Any) -> Any:
        def backward(upstream: Any) -> Any:
            return tf.where((upstream > 0) & (x > 0), upstream, tf.zeros_like(upstream))

        return tf.nn.relu6(x), backward

    seen = 0
    for layer in subject.own._flatten_layers():
        activation = getattr(layer, "activation", None)
        if type(layer).__name__ == "ReLU":
            monkeypatch.setattr(layer, "call", guided6 if layer.max_value else guided)
            seen += 1
        elif activation is tf_keras.activations.relu:
            monkeypatch.setattr(layer, "activation", guided)
            seen += 1
    expected = gradient(subject, subject.image)[0]
    found = nets.explain(subject.model, "saliency", subject.image, target=str(CLASS), method="guided_backprop").arrays[
        "gradient"
    ]
    assert seen > 0
    close(found, expected)


def test_integrated_gradients(subject: Subject) -> None:
    points, weights = np.polynomial.legendre.leggauss(20)
    path = [((point + 1) / 2, weight / 2) for point, weight in zip(points, weights, strict=True)]
    mean = sum(weight * gradient(subject, (share * subject.image).astype(np.float32)) for share, weight in path)
    found = nets.explain(
        subject.model, "saliency", subject.image, target=str(CLASS), method="integrated_gradients", steps=20
    ).arrays["gradient"]
    close(found, (subject.image * mean)[0])


@pytest.mark.parametrize("strategy", ["full", "incremental"])
def test_occlusion(subject: Subject, strategy: str) -> None:
    height, width = subject.image.shape[1:3]
    patch, stride = 6, 5
    tops, lefts = (range(0, side - patch + stride, stride) for side in (height, width))
    batch = []
    for top in tops:
        for left in lefts:
            covered = subject.image[0].copy()
            covered[top : top + patch, left : left + patch] = 0
            batch.append(covered)
    clean = np.asarray(subject.score(tf.constant(subject.image)))
    under = np.asarray(subject.score(tf.constant(np.stack(batch))))
    found = nets.explain(
        subject.model, "occlusion", subject.image, target=str(CLASS), patch=str(patch), stride=str(stride),
        value="zero", measure="score_drop", strategy=strategy,
    )  # fmt: skip
    assert found.parameters["strategy"] == strategy
    assert found.parameters["measure"] == "score_drop"
    # A drop is the difference of two scores, each of which was rounded.
    drops, rounding = (clean - under).reshape(len(tops), len(lefts)), 5e-6 * np.abs(clean).max()
    np.testing.assert_allclose(found.arrays["windows"], drops, rtol=1e-4, atol=rounding)


def test_maximization(subject: Subject) -> None:
    """Three steps of the tutorial's loop, from the same start, on what the network itself takes."""
    cut = tf_keras.Model(subject.own.inputs, subject.own.get_layer(subject.layer).output)
    model = subject.model
    scale = {"none": 1.0, "rescale01": 255.0, "tf": 127.5}[model.preprocessing.mode]
    given = {"layer": subject.layer, "channels": "0", "preset": "chollet", "steps": 3, "init": "image"}
    size = f"{subject.image.shape[1]},{subject.image.shape[2]}"
    found = nets.explain(model, "maximization", subject.image, size=size, **given)
    image = tf.Variable(subject.image)
    losses = []
    for _ in range(3):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(cut(tf.convert_to_tensor(image))[..., 0])
        losses.append(float(loss))
        direction = tape.gradient(loss, image)
        # The recipe steps on levels 0..255.
        norm = tf.sqrt(tf.reduce_mean(tf.square(direction / scale))) + 1e-5
        image.assign_add(direction / scale / norm / scale)
    np.testing.assert_allclose(found.arrays["history"][0][:3], losses, rtol=1e-4, atol=1e-6)


def test_kernels(subject: Subject) -> None:
    layer = subject.own.get_layer(subject.layer)
    kernel = getattr(layer, "depthwise_kernel", None)
    kernel = np.asarray(layer.kernel if kernel is None else kernel)
    found = nets.explain(subject.model, "kernels", subject.image, layer=subject.layer).arrays["kernels"]
    expected = (
        kernel.reshape(*kernel.shape[:2], 1, -1)[:, :, 0] if hasattr(layer, "depthwise_kernel") else kernel[:, :, 0]
    )
    np.testing.assert_array_equal(found, expected)
