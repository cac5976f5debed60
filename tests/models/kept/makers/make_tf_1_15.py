"""Writes the files of the Keras inside TensorFlow 1.15, which calls itself 2.2.4-tf.

Environment: Python 3.7 with `tensorflow==1.15.5`, `h5py<3`, `protobuf<3.21` and `numpy<1.19`.
Run `python make_tf_1_15.py`.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import tensorflow as tf
from corpus import LEVELS, UNIT, images, numbers, path, row, run, seeded, shake, spread

keras = tf.keras
L = keras.layers
WRITER = f"TensorFlow {tf.__version__}"
TAG = "tf115"
RNG = seeded(115)
tf.compat.v1.set_random_seed(115)


def write(name, model, what, feeds=None, form="h5", **more):
    """Shakes the model, stores what it computes and saves it: "h5", "pair" or "saved"."""
    stem = f"{TAG}_{name}"
    inputs = [images(tensor.shape.as_list()[1:], feeds or UNIT, seed) for seed, tensor in enumerate(model.inputs)]

    def compute():
        values = model.predict(inputs if len(inputs) > 1 else inputs[0])
        return values if isinstance(values, list) else [values]

    shake(model, RNG)
    spread(model, compute)
    npz = numbers(stem, inputs, compute())
    if form == "pair":
        with open(path(stem + ".json"), "w") as sink:
            sink.write(model.to_json())
        model.save_weights(path(stem + "_weights.h5"))
        row(stem + ".json", npz, WRITER, what, feeds, weights=stem + "_weights.h5", **more)
    elif form == "saved":
        model.save(path(stem), save_format="tf")
        os.rmdir(os.path.join(path(stem), "assets"))  # It is empty, and git keeps no empty folder.
        row(stem, npz, WRITER, what, feeds, **more)
    else:
        model.save(path(stem + ".h5"))
        row(stem + ".h5", npz, WRITER, what, feeds, **more)


def backbone(name="backbone", size=32):
    """A small network of convolutions with what mobile networks have."""
    image = L.Input((size, size, 3))
    x = L.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(image)
    x = L.ReLU(6.0)(L.BatchNormalization()(x))
    x = L.BatchNormalization()(L.DepthwiseConv2D(3, padding="same")(x))
    return keras.Model(image, L.Activation("relu")(L.Conv2D(6, 1)(x)), name=name)


def scaled():
    """Arithmetic on the input, which this Keras turns into TensorFlowOpLayers."""
    image = L.Input((20, 20, 3))
    x = L.Conv2D(4, 3, activation=tf.nn.relu)(image / 255.0)
    x = L.Conv2D(4, 3, activation="relu")(tf.nn.relu(x * 2.0 - 0.1))
    x = L.Dense(3, activation=tf.nn.softmax)(L.GlobalAveragePooling2D()(x))
    write("scaled", keras.Model(image, x), "x/255 and other arithmetic inside, as TensorFlowOpLayers.", LEVELS)


def nested():
    """A backbone in a Sequential, and a normalisation behind a dense layer; fitted for one step."""
    model = keras.Sequential(
        [
            backbone(),
            L.GlobalAveragePooling2D(),
            L.Dense(4, activation="relu"),
            L.BatchNormalization(),
            L.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
    model.fit(images((32, 32, 3)), np.array([0, 1]), verbose=0)
    write("nested", model, "A backbone as the first layer of a Sequential, compiled and fitted.")


def pair():
    """A Functional network with a nested one, as JSON and weights."""
    image = L.Input((32, 32, 3))
    x = L.Conv2D(4, 3, activation="relu")(backbone()(L.Conv2D(3, 1)(image)))
    model = keras.Model(
        image, [L.Dense(1, name="age")(L.Flatten()(x)), L.Conv2D(2, 1, activation="softmax", name="map")(x)]
    )
    write("pair", model, "A nested backbone and two outputs, a number and a map, as JSON and weights.", form="pair")


def saved():
    """A SavedModel, whose Keras metadata lies in the object graph."""
    model = keras.Sequential(
        [L.Conv2D(3, 3, activation="relu", input_shape=(12, 12, 1)), L.Flatten(), L.Dense(3, activation="softmax")]
    )
    write("saved", model, "A SavedModel of a Sequential, with the metadata in its object graph.", form="saved")


ALL = (scaled, nested, pair, saved)

if __name__ == "__main__":
    run(ALL, keras.backend.clear_session)
