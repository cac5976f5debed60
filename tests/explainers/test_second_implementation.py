"""Every gradient method against a second implementation: NumPy in float64, forward and backward, loops and no library.

The network is `nets.random_net`: convolution 3×3 stride 2 'same' with ReLU, convolution 2×2 with tanh, dense.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import nets
import numpy as np
import pytest

from service.models.loaded import LoadedModel

Array = np.ndarray
TARGETS = [0, 3]


def conv(x: Array, kernel: Array, bias: Array, stride: int) -> Array:
    rows, columns = ((size - side) // stride + 1 for size, side in zip(x.shape[:2], kernel.shape[:2], strict=True))
    out = np.zeros((rows, columns, kernel.shape[3]))
    for row in range(rows):
        for column in range(columns):
            patch = x[row * stride :, column * stride :][: kernel.shape[0], : kernel.shape[1]]
            out[row, column] = np.einsum("hwc,hwck->k", patch, kernel) + bias
    return out


def conv_backward(upstream: Array, kernel: Array, stride: int, shape: tuple[int, ...]) -> Array:
    gradient = np.zeros(shape)
    for row in range(upstream.shape[0]):
        for column in range(upstream.shape[1]):
            patch = gradient[row * stride :, column * stride :][: kernel.shape[0], : kernel.shape[1]]
            patch += np.einsum("k,hwck->hwc", upstream[row, column], kernel)
    return gradient


@dataclass
class Reference:
    """The network's weights in float64."""

    weights: list[Array]

    def forward(self, image: Array) -> tuple[Array, Array, Array]:
        kernel, bias, kernel2, bias2, dense, dense_bias = self.weights
        before = conv(np.pad(image, ((1, 1), (1, 1), (0, 0))), kernel, bias, 2)
        second = np.tanh(conv(np.maximum(before, 0), kernel2, bias2, 1))
        return before, second, second.reshape(-1) @ dense + dense_bias

    def at_layer(self, image: Array, weights: Array) -> Array:
        """∂(weights·logits)/∂A of the first convolution."""
        return self.at_activations(np.maximum(self.forward(image)[0], 0), weights)

    def at_activations(self, activations: Array, weights: Array) -> Array:
        """The same where the first convolution gives `activations`."""
        second = np.tanh(conv(activations, *self.weights[2:4], 1))
        upstream = (self.weights[4] @ weights).reshape(second.shape) * (1 - second**2)
        return conv_backward(upstream, self.weights[2], 1, activations.shape)

    def at_input(self, image: Array, weights: Array, rule: str = "gradient") -> Array:
        before = self.forward(image)[0]
        upstream = self.at_layer(image, weights)
        if rule in ("guided_backprop", "deconvnet"):
            upstream = np.maximum(upstream, 0)
        if rule != "deconvnet":
            upstream = upstream * (before > 0)
        padded = conv_backward(upstream, self.weights[0], 2, (image.shape[0] + 2, image.shape[1] + 2, image.shape[2]))
        return padded[1:-1, 1:-1]


@pytest.fixture(scope="module")
def image() -> Array:
    return np.random.default_rng(8).normal(size=(1, 7, 5, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return nets.loaded(nets.random_net())


@pytest.fixture(scope="module")
def reference(model: LoadedModel) -> Reference:
    return Reference([weight.astype(np.float64) for weight in model.keras_model.get_weights()])


def close(found: Array, expected: Array) -> None:
    """Compares to 1e-4 of the largest value."""
    assert np.abs(expected).max() > 1e-4
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_forward(model: LoadedModel, reference: Reference, image: Array) -> None:
    close(nets.explain(model, "predict", image).arrays["logits"], reference.forward(image[0].astype(np.float64))[2])


@pytest.mark.parametrize("target", TARGETS)
def test_backward_is_the_finite_difference(reference: Reference, image: Array, target: int) -> None:
    point, weights, step = image[0].astype(np.float64), np.eye(4)[target], 1e-6
    found = reference.at_input(point, weights)
    for place in np.ndindex(point.shape):
        ahead, behind = point.copy(), point.copy()
        ahead[place] += step
        behind[place] -= step
        difference = (reference.forward(ahead)[2] - reference.forward(behind)[2])[target] / (2 * step)
        assert found[place] == pytest.approx(difference, rel=1e-5, abs=1e-8)


def component(evidence: Array) -> Array:
    """The first principal component of cells (h, w, k), from the covariance; signed as the sum over channels."""
    cells = evidence.reshape(-1, evidence.shape[2])
    centred = cells - cells.mean(0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    projected = (centred @ vectors[:, -1]).reshape(evidence.shape[:2])
    return projected * np.sign(np.corrcoef(projected.ravel(), evidence.sum(2).ravel())[0, 1])


CAMS: dict[str, Callable[[Array, Array], Array]] = {
    "gradcam": lambda a, g: np.maximum(np.einsum("hwk,k->hw", a, g.mean((0, 1))), 0),
    "hirescam": lambda a, g: np.maximum((a * g).sum(2), 0),
    "layercam": lambda a, g: np.maximum((a * np.maximum(g, 0)).sum(2), 0),
    "xgradcam": lambda a, g: np.maximum(np.einsum("hwk,k->hw", a, (g * a).sum((0, 1)) / (a.sum((0, 1)) + 1e-7)), 0),
    "gradcam++": lambda a, g: np.maximum(
        np.einsum("hwk,k->hw", a, (g**2 / (2 * g**2 + a.sum((0, 1)) * g**3 + (g == 0)) * np.maximum(g, 0)).sum((0, 1))),
        0,
    ),
    "gradcam_elementwise": lambda a, g: np.maximum(a * g, 0).sum(2),
    "eigengradcam": lambda a, g: component(a * g),
}


@pytest.mark.parametrize("method", CAMS)
@pytest.mark.parametrize("target", TARGETS)
def test_cam(model: LoadedModel, reference: Reference, image: Array, method: str, target: int) -> None:
    point = image[0].astype(np.float64)
    activations = np.maximum(reference.forward(point)[0], 0)
    expected = CAMS[method](activations, reference.at_layer(point, np.eye(4)[target]))
    close(
        nets.explain(model, "cam", image, method=method, layer="first", target=str(target)).arrays["heatmap"], expected
    )


# What the channels of each are, whose component takes the sum's place.
CHANNELS: dict[str, Callable[[Array, Array], Array]] = {
    "gradcam": lambda a, g: a * g.mean((0, 1)),
    "hirescam": lambda a, g: a * g,
    "layercam": lambda a, g: a * np.maximum(g, 0),
    "gradcam_elementwise": lambda a, g: np.maximum(a * g, 0),
}


@pytest.mark.parametrize("method", CHANNELS)
def test_a_component_in_place_of_the_sum(model: LoadedModel, reference: Reference, image: Array, method: str) -> None:
    point = image[0].astype(np.float64)
    activations = np.maximum(reference.forward(point)[0], 0)
    expected = component(CHANNELS[method](activations, reference.at_layer(point, np.eye(4)[3])))
    params: dict[str, Any] = {"method": method, "layer": "first", "target": "3", "smooth": "eigen"}
    close(nets.explain(model, "cam", image, **params).arrays["heatmap"], np.maximum(expected, 0))


@pytest.mark.parametrize("target", TARGETS)
def test_shapleycam(model: LoadedModel, reference: Reference, image: Array, target: int) -> None:
    """The Hessian along A is the finite difference of the gradient."""
    weights, step = np.eye(4)[target], 1e-5
    activations = np.maximum(reference.forward(image[0].astype(np.float64))[0], 0)
    behind, gradient, ahead = (
        reference.at_activations(activations * factor, weights) for factor in (1 - step, 1, 1 + step)
    )
    slope = gradient - (ahead - behind) / (2 * step) / 2
    plain = np.maximum(activations @ gradient.mean((0, 1)), 0)
    expected = np.maximum(activations @ slope.mean((0, 1)), 0)
    assert np.abs(expected - plain).max() > 0.05 * plain.max()
    params: dict[str, Any] = {"method": "shapleycam", "layer": "first", "target": str(target)}
    close(nets.explain(model, "cam", image, **params).arrays["heatmap"], expected)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("references", "strength"), [(1, 1.0), (2, 0.5), (3, 2.0)])
def test_finercam(
    model: LoadedModel, reference: Reference, image: Array, target: int, references: int, strength: float
) -> None:
    point = image[0].astype(np.float64)
    before, _, logits = reference.forward(point)
    others = sorted(set(range(4)) - {target}, key=lambda each: abs(logits[each] - logits[target]))[:references]
    weights = np.eye(4)[target] - strength * np.eye(4)[others].mean(0)
    expected = CAMS["gradcam"](np.maximum(before, 0), reference.at_layer(point, weights))
    params: dict[str, Any] = {"references": references, "strength": strength, "layer": "first", "target": str(target)}
    found = nets.explain(model, "cam", image, method="finercam", **params)
    assert found.parameters["compared_with"] == [others]
    close(found.arrays["heatmap"], expected)


@pytest.mark.parametrize("target", [1, 3])
def test_ablationcam(model: LoadedModel, reference: Reference, image: Array, target: int) -> None:
    kernel2, bias2, dense, dense_bias = reference.weights[2:]
    before, _, logits = reference.forward(image[0].astype(np.float64))
    activations = np.maximum(before, 0)
    drops = []
    for channel in range(4):
        ablated = activations.copy()
        ablated[..., channel] = 0
        score = np.tanh(conv(ablated, kernel2, bias2, 1)).reshape(-1) @ dense + dense_bias
        drops.append((logits[target] - score[target]) / abs(logits[target]))
    expected = np.maximum(activations @ np.array(drops), 0)
    params: dict[str, Any] = {"method": "ablationcam", "layer": "first", "target": str(target)}
    close(nets.explain(model, "cam", image, **params).arrays["heatmap"], expected)


@pytest.mark.parametrize("method", ["gradient", "gradient_x_input", "guided_backprop", "deconvnet"])
@pytest.mark.parametrize("target", TARGETS)
def test_saliency(model: LoadedModel, reference: Reference, image: Array, method: str, target: int) -> None:
    point = image[0].astype(np.float64)
    expected = reference.at_input(point, np.eye(4)[target], method)
    if method == "gradient_x_input":
        expected = expected * point
    close(nets.explain(model, "saliency", image, method=method, target=str(target)).arrays["gradient"], expected)


def test_contrast(model: LoadedModel, reference: Reference, image: Array) -> None:
    expected = reference.at_input(image[0].astype(np.float64), np.eye(4)[1] - np.eye(4)[2])
    close(nets.explain(model, "saliency", image, target="1-2").arrays["gradient"], expected)


@pytest.mark.parametrize("method", ["smoothgrad", "squaregrad", "vargrad"])
def test_noisy(model: LoadedModel, reference: Reference, image: Array, method: str) -> None:
    point = image[0].astype(np.float64)
    deviation = 0.15 * (point.max() - point.min())
    gradients = []
    for sample in range(6):
        noisy = point + deviation * np.random.default_rng([5, sample]).standard_normal(point.shape)
        gradients.append(reference.at_input(noisy, np.eye(4)[3]))
    mean, squares = np.mean(gradients, axis=0), np.mean(np.square(gradients), axis=0)
    expected = {"smoothgrad": mean, "squaregrad": squares, "vargrad": np.var(gradients, axis=0)}[method]
    params: dict[str, Any] = {"method": method, "samples": 6, "seed": 5, "target": "3"}
    close(nets.explain(model, "saliency", image, **params).arrays["gradient"], expected)


def test_integrated_gradients(model: LoadedModel, reference: Reference, image: Array) -> None:
    point = image[0].astype(np.float64)
    nodes, weights = np.polynomial.legendre.leggauss(20)
    expected = sum(
        weight / 2 * point * reference.at_input(point * (node + 1) / 2, np.eye(4)[0])
        for node, weight in zip(nodes, weights, strict=True)
    )
    params: dict[str, Any] = {"method": "integrated_gradients", "steps": 20, "target": "0"}
    close(nets.explain(model, "saliency", image, **params).arrays["gradient"], expected)


def guided_path(gradient: Callable[[Array], Array], image: Array, start: Array, steps: int) -> Array:
    """Algorithm 1 of Guided IG in pixels, with a sorted list for the quantile: a quarter moves, 0.02 of the way off."""
    at, total, whole = start.copy(), np.zeros_like(start), np.abs(image - start).sum()
    for step in range(1, steps + 1):
        slopes, before = gradient(at), at.copy()
        ends = [start + np.clip(step / steps + reach, 0, 1) * (image - start) for reach in (-0.02, 0.02)]
        low, high = np.minimum(*ends), np.maximum(*ends)
        at = np.clip(at, low, high)
        while np.abs(image - at).sum() - whole * (1 - step / steps) > 1e-9:
            rank = np.where(np.isclose(at, ends[1], rtol=0, atol=1e-13), np.inf, np.abs(slopes))
            moving = (rank <= sorted(rank.ravel())[int(0.25 * (rank.size - 1))]) & (rank < np.inf)
            room = np.abs(ends[1] - at)[moving].sum()
            share = min(1.0, (np.abs(image - at).sum() - whole * (1 - step / steps)) / room)
            at[moving] += share * (ends[1] - at)[moving]
        total += slopes * (at - before)
    return total


@pytest.mark.parametrize("baseline", ["zero", "mean"])
def test_guided_ig(model: LoadedModel, reference: Reference, image: Array, baseline: str) -> None:
    point = image[0].astype(np.float64)
    start = np.zeros_like(point) + (point.mean(axis=(0, 1)) if baseline == "mean" else 0)
    expected = guided_path(lambda at: reference.at_input(at, np.eye(4)[0]), point, start, 20)
    params: dict[str, Any] = {"method": "guided_ig", "steps": 20, "target": "0", "baseline": baseline}
    close(nets.explain(model, "saliency", image, **params).arrays["gradient"], expected)


def test_blur_ig(model: LoadedModel, reference: Reference, image: Array) -> None:
    point = image[0].astype(np.float64)

    def blurred(deviation: float) -> Array:
        if deviation == 0:
            return point
        reach = max(1, round(3 * deviation))
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
        wide = np.pad(point, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
        for axis in (0, 1):
            wide = np.apply_along_axis(np.convolve, axis, wide, kernel / kernel.sum(), "valid")
        return wide

    ends = [7 / 4 * (1 - step / 6) ** 2 for step in range(7)]
    middles = [7 / 4 * (1 - (step + 0.5) / 6) ** 2 for step in range(6)]
    expected = sum(
        reference.at_input(blurred(middle), np.eye(4)[1]) * (blurred(after) - blurred(before))
        for middle, before, after in zip(middles, ends, ends[1:], strict=False)
    )
    params: dict[str, Any] = {"method": "blur_ig", "steps": 6, "target": "1"}
    close(nets.explain(model, "saliency", image, **params).arrays["gradient"], expected)


def test_gradient_shap(model: LoadedModel, reference: Reference, image: Array) -> None:
    point = image[0].astype(np.float64)
    deviation = 0.15 * (point.max() - point.min())
    products = []
    for sample in range(6):
        random = np.random.default_rng([5, sample])
        noisy = point + deviation * random.standard_normal(point.shape)
        start = np.zeros_like(point) + (point.mean(axis=(0, 1)) if sample % 2 else 0)
        middle = start + random.uniform() * (noisy - start)
        products.append((noisy - start) * reference.at_input(middle, np.eye(4)[3]))
    params: dict[str, Any] = {"method": "gradient_shap", "samples": 6, "seed": 5, "baseline": "zero,mean"}
    found = nets.explain(model, "saliency", image, target="3", **params).arrays["gradient"]
    close(found, np.mean(products, axis=0))


def bilinear(values: Array, size: tuple[int, int]) -> Array:
    """A map enlarged between half-pixel centres, pixel by pixel."""
    for axis in (0, 1):
        at = np.clip((np.arange(size[axis]) + 0.5) * values.shape[axis] / size[axis] - 0.5, 0, values.shape[axis] - 1)
        low = np.minimum(at.astype(int), max(0, values.shape[axis] - 2))
        high = np.minimum(low + 1, values.shape[axis] - 1)
        share = (at - low)[:, None] if axis == 0 else at - low
        values = np.take(values, low, axis) * (1 - share) + np.take(values, high, axis) * share
    return values


@pytest.mark.parametrize("target", TARGETS)
def test_fullgrad(model: LoadedModel, reference: Reference, image: Array, target: int) -> None:
    point, weights = image[0].astype(np.float64), np.eye(4)[target]
    before, second, logits = reference.forward(point)
    behind = (reference.weights[4] @ weights).reshape(second.shape) * (1 - second**2)
    parts = [
        point * reference.at_input(point, weights),
        reference.weights[1] * reference.at_layer(point, weights) * (before > 0),
        reference.weights[3] * behind,
    ]
    expected = 0
    for part in parts:
        rescaled = (np.abs(part) - np.abs(part).min()) / np.ptp(np.abs(part))
        expected = expected + bilinear(rescaled.sum(axis=-1), (7, 5))
    found = nets.explain(model, "saliency", image, method="fullgrad", target=str(target))
    close(found.arrays["heatmap"], expected)
    missed = sum(part.sum() for part in parts) + reference.weights[5][target] - logits[target]
    assert found.parameters["completeness_delta"] == pytest.approx(missed, rel=1e-4, abs=1e-5)


def test_occlusion(model: LoadedModel, reference: Reference, image: Array) -> None:
    point = image[0].astype(np.float64)
    clean = reference.forward(point)[2][2]
    total, count = np.zeros((7, 5)), np.zeros((7, 5))
    for top in range(0, 6, 2):
        for left in range(0, 4, 2):
            covered = point.copy()
            covered[top : top + 3, left : left + 3] = 0
            total[top : top + 3, left : left + 3] += clean - reference.forward(covered)[2][2]
            count[top : top + 3, left : left + 3] += 1
    params: dict[str, Any] = {"patch": "3", "stride": "2", "value": "zero", "measure": "logit_drop", "target": "2"}
    close(nets.explain(model, "occlusion", image, **params).arrays["heatmap"], total / count)
