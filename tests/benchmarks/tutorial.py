"""The loops of the tutorials, as they are published: one prediction a patch, one ascent a filter.

Occlusion: a grey patch is moved over the image and `model.predict` is asked for the probability under each place.
Ascent: F. Chollet, "How convolutional neural networks see the world" and "Deep Learning with Python": for each filter
a function of its own gives the mean activation and its gradient over its root mean square, which is added 40 times.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def occlusion(
    model: Any, image: Floats, class_index: int, cover: Floats, patch: int, stride: int, most: int | None = None
) -> NDArray[np.float64]:
    """(rows · columns,) probabilities of the class under patches centred on the cells of the stride, row by row.

    `image` is (1, h, w, c), `cover` (c,) the patch's colour; `most` ends the loop after so many cells.
    """
    height, width = image.shape[1:3]
    before = (patch - stride) // 2
    corners = [(top - before, left - before) for top in range(0, height, stride) for left in range(0, width, stride)]
    found = []
    for top, left in corners[:most]:
        occluded = image.copy()
        occluded[0, max(0, top) : top + patch, max(0, left) : left + patch] = cover
        found.append(model.predict(occluded, verbose=0)[0, class_index])
    return np.array(found, np.float64)


def without_head(model: Any, layer: str, size: int) -> Any:
    """The layers of a chain up to `layer` on an image of another size, as `include_top=False` would build it."""
    values = image = keras.Input((size, size, 3))
    for item in model.layers[1:]:
        values = item(values)
        if item.name == layer:
            return keras.Model(image, values)
    raise ValueError(f"{layer!r} is no layer of a chain")


def ascent(extractor: Any, channel: int, start: Floats, steps: int) -> tuple[Floats, float]:
    """The image (1, h, w, c) after `steps` of length 1 from `start`, and the mean activation of the channel there."""

    @tf.function
    def loss_and_gradient(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(image)
            loss = tf.reduce_mean(extractor(image)[..., channel])
        gradient = tape.gradient(loss, image)
        return loss, gradient / (tf.sqrt(tf.reduce_mean(tf.square(gradient))) + 1e-5)

    image = tf.constant(start)
    for _ in range(steps):
        _, gradient = loss_and_gradient(image)
        image += gradient
    return image.numpy(), float(loss_and_gradient(image)[0])
