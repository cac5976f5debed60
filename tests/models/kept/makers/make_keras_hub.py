"""Writes two models of KerasHub with random weights, built from small arguments without any download.

Environment: Python 3.11 with `tensorflow==2.21.0`, `keras==3.15.1` and `keras-hub==0.32.0`.
Run `python make_keras_hub.py`.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import keras_hub
import numpy as np
from corpus import UNIT, images, numbers, path, row, run, seeded, shake, spread

WRITER = f"KerasHub {keras_hub.__version__}, Keras {keras.__version__}"
RNG = seeded(32)
keras.utils.set_random_seed(32)
M = keras_hub.models


def write(name, model, what, size):
    """Shakes the model, stores what it computes and saves it."""
    stem = f"hub_{name}"
    inputs = [images((size, size, 3), UNIT)]

    def compute():
        return [np.asarray(model(inputs[0], training=False), "float32")]

    shake(model, RNG)
    spread(model, compute)
    npz = numbers(stem, inputs, compute())
    model.save(path(stem + ".keras"))
    row(stem + ".keras", npz, WRITER, what, needs="keras-hub")


def vgg(size=20):
    """A VGG of two stages of one convolution; KerasHub's ResNets cannot have less than 64 filters."""
    return M.VGGBackbone(stackwise_num_repeats=[1, 1], stackwise_num_filters=[4, 6], image_shape=(size, size, 3))


def vit(size=16):
    """A ViT with one block over four patches and the class token."""
    return M.ViTBackbone(
        image_shape=(size, size, 3),
        patch_size=8,
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        mlp_dim=8,
    )


def vgg_classifier():
    """The classifier of a VGG."""
    model = M.ImageClassifier(backbone=vgg(), num_classes=3, activation="softmax")
    write("vgg", model, "KerasHub's ImageClassifier upon a small VGG backbone.", 20)


def vit_classifier():
    """The classifier of a ViT."""
    model = M.ViTImageClassifier(backbone=vit(), num_classes=3, activation="softmax")
    write("vit", model, "KerasHub's ViTImageClassifier upon a ViT of one block, with a class token.", 16)


ALL = (vgg_classifier, vit_classifier)

if __name__ == "__main__":
    run(ALL, keras.backend.clear_session)
