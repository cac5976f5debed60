"""Runs inside the peers' environment: one process that has a model and computes when it is told to.

A line of JSON on standard input asks, one on standard output answers: {"peer", "method"} → {"seconds"} or {"error"}.
Explainers are made once and kept, as their users would; each call is on another image.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from functools import cache
from importlib.metadata import version

os.environ.update({"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"})

import numpy as np
import tensorflow as tf

VERSIONS = ("tensorflow", "keras", "tf-keras-vis", "tf-explain", "xplique")


class Peers:
    """The three libraries on one model: `path` its .keras file, `images` (n, h, w, c), `index` the class."""

    def __init__(self, path: str, images: np.ndarray, index: int, layer: str) -> None:
        self.model = tf.keras.models.load_model(path, compile=False)
        self.images, self.index, self.layer = images, index, layer
        self.one_hot = np.eye(self.model.output_shape[-1], dtype=np.float32)[[index]]
        self.number = 0

    def image(self) -> np.ndarray:
        self.number += 1
        return self.images[[self.number % len(self.images)]]

    def seconds(self, peer: str, method: str, patch: int = 0) -> float:
        """How long one call took."""
        call = getattr(self, f"{peer.replace('-', '_')}_{method}")(*([patch] if patch else []))
        image = self.image()
        started = time.perf_counter()
        call(image)
        return time.perf_counter() - started

    @cache  # noqa: B019
    def tf_keras_vis_cam(self):
        from tf_keras_vis.gradcam import Gradcam
        from tf_keras_vis.utils.model_modifiers import ReplaceToLinear
        from tf_keras_vis.utils.scores import CategoricalScore

        explainer, score = Gradcam(self.model, model_modifier=ReplaceToLinear()), CategoricalScore(self.index)
        return lambda image: explainer(score, image, penultimate_layer=self.layer)

    @cache  # noqa: B019
    def tf_keras_vis_saliency(self):
        from tf_keras_vis.saliency import Saliency
        from tf_keras_vis.utils.model_modifiers import ReplaceToLinear
        from tf_keras_vis.utils.scores import CategoricalScore

        explainer, score = Saliency(self.model, model_modifier=ReplaceToLinear()), CategoricalScore(self.index)
        return lambda image: explainer(score, image)

    @cache  # noqa: B019
    def tf_explain_cam(self):
        from tf_explain.core.grad_cam import GradCAM

        explainer = GradCAM()
        return lambda image: explainer.explain((image, None), self.model, self.index, layer_name=self.layer)

    @cache  # noqa: B019
    def tf_explain_occlusion(self, patch: int):
        from tf_explain.core.occlusion_sensitivity import OcclusionSensitivity

        explainer = OcclusionSensitivity()
        return lambda image: explainer.explain((image, None), self.model, self.index, patch_size=patch)

    @cache  # noqa: B019
    def xplique_cam(self):
        from xplique.attributions import GradCAM

        explainer = GradCAM(self.model, conv_layer=self.layer)
        return lambda image: explainer(image, self.one_hot)

    @cache  # noqa: B019
    def xplique_saliency(self):
        from xplique.attributions import Saliency

        explainer = Saliency(self.model)
        return lambda image: explainer(image, self.one_hot)

    @cache  # noqa: B019
    def xplique_occlusion(self, patch: int):
        from xplique.attributions import Occlusion

        explainer = Occlusion(self.model, patch_size=patch, patch_stride=patch)
        return lambda image: explainer(image, self.one_hot)


def main() -> None:
    """Arguments: the model's file, an npy file of images, the class index, the layer of class activation maps."""
    path, images, index, layer = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    # What the libraries print must not stand among the answers.
    with contextlib.redirect_stdout(sys.stderr):
        os.dup2(2, 1)
        peers = Peers(path, np.load(images), int(index), layer)
        print(json.dumps({name: version(name) for name in VERSIONS}), file=answers, flush=True)
        for line in sys.stdin:
            try:
                answer = {"seconds": peers.seconds(**json.loads(line))}
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}"[:300]}
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
