"""What xplique, shap and lime give.

It runs in the environment of `tensorflow.txt` and writes `fixtures/tensorflow.npz`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.update({"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"})

import numpy as np
import shap
import sklearn.metrics
import tensorflow as tf
from lime.lime_base import LimeBase
from network import CAM_LAYER, CLASSES, keras_net
from xplique import attributions
from xplique.attributions.global_sensitivity_analysis.hsic_estimators import BinaryEstimator
from xplique.attributions.global_sensitivity_analysis.replicated_designs import ReplicatedSampler
from xplique.attributions.global_sensitivity_analysis.samplers import Sampler
from xplique.attributions.global_sensitivity_analysis.sobol_estimators import JansenEstimator

HERE = Path(__file__).parent
VERSIONS = ("tensorflow", "keras", "xplique", "shap", "lime", "scikit-learn")
REPEATS, SAMPLES = 20, 1000
Given = dict[str, np.ndarray]


class Asked:
    """The network, with logits, and the image of `given.npz`."""

    def __init__(self, given: Given) -> None:
        self.given = given
        self.model = keras_net(given, head=None)
        self.target = int(given["target"])
        self.image = given["image"]
        self.one_hot = np.eye(CLASSES, dtype=np.float32)[[self.target]]
        self.deviation = 0.15 * float(self.image.max() - self.image.min())

    def scores(self, shares: np.ndarray) -> np.ndarray:
        """(n,): the target's scores of the image times each of the masks (n, h, w)."""
        batch = (self.image * shares[..., None]).astype(np.float32)
        return np.asarray(self.model(batch))[:, self.target].astype(np.float64)

    def of_segments(self, kept: np.ndarray) -> np.ndarray:
        """(n,): the scores of coalitions (n, 8) of segments."""
        return self.scores(np.asarray(kept)[:, self.given["labels"]])


def grid(kept: np.ndarray, cells: int, side: int) -> np.ndarray:
    """(n, cells²) → (n, side, side), each cell enlarged."""
    return kept.reshape(-1, cells, cells).repeat(side // cells, axis=1).repeat(side // cells, axis=2)


def of_gradients(asked: Asked) -> Given:
    """xplique's maps of gradients. Colours are not reduced, but for Saliency, which takes the largest."""
    usual: dict[str, Any] = {"reducer": None}
    kinds: dict[str, Callable[[], Any]] = {
        "saliency": lambda: attributions.Saliency(asked.model, reducer="max"),
        "gradient_input": lambda: attributions.GradientInput(asked.model, **usual),
        "guided_backprop": lambda: attributions.GuidedBackprop(asked.model, **usual),
        "deconvnet": lambda: attributions.DeconvNet(asked.model, **usual),
        "integrated_gradients": lambda: attributions.IntegratedGradients(
            asked.model, steps=1000, baseline_value=0.0, **usual
        ),
    }
    found = {name: np.asarray(kind()(asked.image, asked.one_hot))[0] for name, kind in kinds.items()}
    cams = {"gradcam": attributions.GradCAM, "gradcam_pp": attributions.GradCAMPP}
    for name, kind in cams.items():
        explainer = kind(asked.model, conv_layer=CAM_LAYER)
        found[name] = raw_cam(explainer, asked)
    found["gradcam_pp_sums"] = plus_plus_with_sums(asked)
    return {f"xplique_{name}": values for name, values in found.items()}


def plus_plus_with_sums(asked: Asked) -> np.ndarray:
    """(h, w): xplique's Grad-CAM++, given maps and asked for weights times the number of cells, so that its means over
    cells are the sums of the paper."""
    explainer = attributions.GradCAMPP(asked.model, conv_layer=CAM_LAYER)
    maps, gradients = explainer._gradient(asked.image, asked.one_hot)
    cells = float(maps.shape[1] * maps.shape[2])
    weights = explainer._compute_weights(gradients, cells * maps) * cells
    return np.asarray(explainer._apply_weights(weights, maps))[0]


def raw_cam(explainer: Any, asked: Asked) -> np.ndarray:
    """(h, w): the map of the layer before it is enlarged, which xplique does with `tf.image.resize`."""
    seen, resize = [], tf.image.resize

    def recording(values: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(np.asarray(values))
        return resize(values, *args, **kwargs)

    tf.image.resize = recording
    try:
        explainer(asked.image, asked.one_hot)
    finally:
        tf.image.resize = resize
    return np.squeeze(seen[-1])


def of_noise(asked: Asked) -> Given:
    """The mean and the standard deviation of xplique's statistics of noisy gradients, over repetitions."""
    found: Given = {}
    kinds = {
        "smoothgrad": attributions.SmoothGrad,
        "squaregrad": attributions.SquareGrad,
        "vargrad": attributions.VarGrad,
    }
    for name, kind in kinds.items():
        explainer = kind(asked.model, reducer=None, nb_samples=SAMPLES, noise=asked.deviation, batch_size=250)
        values = np.stack([np.asarray(explainer(asked.image, asked.one_hot))[0] for _ in range(REPEATS)])
        found |= mean_and_deviation(f"xplique_{name}", values)
    return found


def mean_and_deviation(name: str, values: np.ndarray) -> Given:
    """What is kept of an estimate's repetitions (n, …)."""
    mean, std = values.mean(axis=0), values.std(axis=0, ddof=1)
    return {f"{name}_mean": mean, f"{name}_std": std, f"{name}_repeats": np.array(len(values))}


def rise(asked: Asked) -> np.ndarray:
    """(h, w): xplique's RISE with the masks that ours drew, in the place of those that it would enlarge and crop."""
    masks = tf.constant(asked.given["rise_masks"][..., None])
    kind = attributions.Rise

    drawn, applied = kind._get_masks, kind._apply_masks
    kind._get_masks = staticmethod(lambda *_: masks)
    kind._apply_masks = staticmethod(lambda single, given, *_: (given * single[None], given))
    try:
        return np.asarray(kind(asked.model, nb_samples=len(masks))(asked.image, asked.one_hot))[0, ..., 0]
    finally:
        kind._get_masks, kind._apply_masks = drawn, applied


def sobol(asked: Asked) -> Given:
    """The indices (16,) by xplique with our draws; and the same over our variance."""
    masks = asked.given["sobol_masks"].reshape(-1, 18, 16)
    # Ours lie draw by draw: a, b, and a with each number of b. Theirs are all a, all b, all of the first number.
    theirs = np.concatenate([masks[:, 0], masks[:, 1], masks[:, 2:].transpose(1, 0, 2).reshape(-1, 16)])

    class Ours(ReplicatedSampler):
        def __call__(self, dimension: int, nb_design: int) -> Any:
            return tf.constant(theirs)

    explainer = attributions.SobolAttributionMethod(asked.model, grid_size=4, nb_design=len(masks), sampler=Ours())
    seen = recorded(explainer, JansenEstimator())
    explainer(asked.image, asked.one_hot)
    values, outputs = seen[0]
    a, b = outputs[: len(masks)], outputs[len(masks) : 2 * len(masks)]
    return {"xplique_sobol": values, "xplique_sobol_both": values * a.var(ddof=1) / np.concatenate([a, b]).var()}


def hsic(asked: Asked) -> Given:
    """The criterion (16,) by xplique with our masks; and by its estimator at our width.

    Its width is the median of the outputs. They are moved by a constant, which no distance between them sees, so that
    their median is the median distance, which is ours.
    """
    masks = asked.given["hsic_masks"]

    class Ours(Sampler):
        def __call__(self, dimension: int, nb_design: int) -> Any:
            return tf.constant(masks)

    explainer = attributions.HsicAttributionMethod(
        asked.model, grid_size=4, nb_design=len(masks), sampler=Ours(binary=True)
    )
    estimator = BinaryEstimator(output_kernel="rbf")
    seen = recorded(explainer, estimator)
    explainer(asked.image, asked.one_hot)
    values, outputs = seen[0]
    distances = np.abs(outputs[:, None] - outputs)[np.triu_indices(len(outputs), 1)]
    moved = outputs - np.median(outputs) + np.median(distances)
    given = tf.reshape(tf.constant(masks), (-1, 4, 4, 1))
    at_our_width = np.asarray(estimator(given, tf.constant(moved, tf.float32), len(masks))).ravel()
    return {"xplique_hsic": values, "xplique_hsic_our_width": at_our_width / len(masks)}


def recorded(explainer: Any, estimator: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """What the explainer's estimator will give and was given: the map of cells before it is enlarged, the outputs."""
    seen: list[tuple[np.ndarray, np.ndarray]] = []

    def recording(masks: Any, outputs: Any, count: int) -> Any:
        values = estimator(masks, outputs, count)
        seen.append((np.asarray(values).ravel(), np.asarray(outputs, np.float64)))
        return values

    explainer.estimator = recording
    return seen


def of_shap(asked: Asked) -> Given:
    """Shapley and Owen values (8,) of the segments, exact; expected gradients, estimated."""
    nothing, everything = np.zeros((1, 8)), np.ones((1, 8))
    kernel = shap.KernelExplainer(asked.of_segments, nothing).shap_values(
        everything, nsamples=2**8, l1_reg=False, silent=True
    )
    masker = shap.maskers.Partition(nothing, clustering=asked.given["linkage"])
    owen = shap.PartitionExplainer(asked.of_segments, masker)(everything, max_evals=5000, silent=True)
    exact = shap.ExactExplainer(asked.of_segments, shap.maskers.Independent(nothing))(everything)
    return {
        "shap_kernel": np.ravel(kernel),
        "shap_partition": np.ravel(owen.values),
        "shap_exact": np.ravel(exact.values),
    }


def expected_gradients(asked: Asked) -> Given:
    """The mean and the standard deviation of shap's GradientExplainer over repetitions."""
    explainer = shap.GradientExplainer(
        asked.model, np.zeros_like(asked.image), batch_size=250, local_smoothing=asked.deviation
    )
    values = np.stack(
        [
            np.asarray(explainer.shap_values(asked.image, nsamples=SAMPLES, rseed=place))[0, ..., asked.target]
            for place in range(REPEATS)
        ]
    )
    return mean_and_deviation("shap_gradient", values)


def lime(asked: Asked) -> np.ndarray:
    """(8,): the coefficients of lime's own regression, distances and kernel as its LimeImageExplainer has them."""
    masks = asked.given["lime_masks"]
    scores = asked.of_segments(masks)
    distances = sklearn.metrics.pairwise_distances(masks, masks[:1], metric="cosine").ravel()
    base = LimeBase(lambda d: np.sqrt(np.exp(-(d**2) / 0.25**2)), random_state=0)
    _, found, _, _ = base.explain_instance_with_data(
        masks, scores[:, None], distances, 0, masks.shape[1], feature_selection="none"
    )
    return np.array([value for _, value in sorted(found)])


def main() -> None:
    tf.keras.utils.set_random_seed(0)
    with np.load(HERE / "fixtures" / "given.npz") as file:
        asked = Asked(dict(file))
    found = {"logits": np.asarray(asked.model(asked.image))[0]}
    found |= of_gradients(asked) | of_noise(asked) | sobol(asked) | hsic(asked) | of_shap(asked)
    found |= expected_gradients(asked) | {"xplique_rise": rise(asked), "lime": lime(asked)}
    arrays = {name: values.astype(np.float32) for name, values in found.items()}
    np.savez_compressed(HERE / "fixtures" / "tensorflow.npz", **arrays)
    versions = {name: version(name) for name in VERSIONS}
    (HERE / "fixtures" / "tensorflow.json").write_text(json.dumps(versions, indent=1) + "\n")


if __name__ == "__main__":
    main()
