"""The bare arithmetic: TensorFlow functions compiled once, on the model's own variables, with nothing around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

Arithmetic = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def functions(model: Any, cam_layer: str) -> dict[str, Arithmetic]:
    """`predict`, `cam` and `saliency` of a model whose last layer is dense with softmax, each on a batch (1, h, w, c).

    They give probabilities (1, n), the Grad-CAM map (1, h', w') and ∂y/∂x (1, h, w, c) of the highest logit y.
    """
    last = model.layers[-1]
    kernel, bias = last.weights
    maps_at = model.get_layer(cam_layer).output
    body, head = keras.Model(model.inputs, maps_at), keras.Model(maps_at, last.input)
    features = keras.Model(model.inputs, last.input)

    def predict(x: tf.Tensor) -> tf.Tensor:
        return model(x, training=False)

    def cam(x: tf.Tensor) -> tf.Tensor:
        maps = body(x, training=False)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(maps)
            best = tf.reduce_max(head(maps, training=False) @ kernel + bias, axis=1)
        weights = tf.reduce_mean(tape.gradient(best, maps), axis=(1, 2))
        return tf.nn.relu(tf.einsum("bhwk,bk->bhw", maps, weights))

    def saliency(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            best = tf.reduce_max(features(x, training=False) @ kernel + bias, axis=1)
        return tape.gradient(best, x)

    return {function.__name__: _compiled(model, function) for function in (predict, cam, saliency)}


def until(model: Any, layer: str) -> Arithmetic:
    """The forward pass up to `layer`, of which only that layer's value (1, …) is given."""
    part = keras.Model(model.inputs, model.get_layer(layer).output)
    return _compiled(model, lambda x: part(x, training=False))


def _compiled(model: Any, function: Callable[[Any], Any]) -> Arithmetic:
    shape = (1, *model.inputs[0].shape[1:])
    signature = [tf.TensorSpec(shape, tf.float32)]
    plan = tf.function(function, input_signature=signature, autograph=False).get_concrete_function()
    return lambda batch: plan(tf.constant(batch)).numpy()
