"""Writes the files of TensorFlow 2.2, 2.5 and 2.9.

Environments: Python 3.8 with `tensorflow-cpu==2.2.3`, `protobuf<3.21`, `h5py<3`, `numpy<1.19`; Python 3.9 with
`tensorflow-cpu==2.5.3`, `protobuf<3.21`; Python 3.10 with `tensorflow-cpu==2.9.3`, `protobuf<3.20`, `numpy<1.25`.
Run `python make_tf_2_2_to_2_9.py` once in each of the three.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import tensorflow as tf
from corpus import LEVELS, SIGNED, UNIT, images, numbers, path, row, run, seeded, shake, spread

keras = tf.keras
L = keras.layers
MINOR = int(tf.__version__.split(".")[1])
P = L if MINOR >= 6 else L.experimental.preprocessing
WRITER = f"TensorFlow {tf.__version__}"
TAG = f"tf2{MINOR:02d}"
RNG = seeded(200 + MINOR)
tf.random.set_seed(200 + MINOR)


def write(name, model, what, feeds=None, form="h5", fed=None, **more):
    """Shakes the model, stores what it computes and saves it: "h5", "pair" or "saved"."""
    stem = f"{TAG}_{name}"
    inputs = [images(tuple(tensor.shape[1:]), fed or feeds or UNIT, seed) for seed, tensor in enumerate(model.inputs)]

    def compute():
        given = inputs if len(inputs) > 1 else inputs[0]
        return [np.asarray(value, "float32") for value in tf.nest.flatten(model(given, training=False))]

    shake(model, RNG)
    spread(model, compute)
    npz = numbers(stem, inputs, compute())
    if form == "pair":
        with open(path(stem + ".json"), "w") as sink:
            sink.write(model.to_json())
        model.save_weights(path(stem + ".weights.h5"))
        row(stem + ".json", npz, WRITER, what, feeds, weights=stem + ".weights.h5", **more)
    elif form == "saved":
        model.save(path(stem))
        os.rmdir(os.path.join(path(stem), "assets"))  # It is empty, and git keeps no empty folder.
        row(stem, npz, WRITER, what, feeds, **more)
    else:
        model.save(path(stem + ".h5"))
        row(stem + ".h5", npz, WRITER, what, feeds, **more)


def pooled(x, units=3, activation="softmax"):
    """Pools a map and ends in a dense layer."""
    return L.Dense(units, activation=activation)(L.GlobalAveragePooling2D()(x))


def backbone(name="backbone", size=32):
    """A small network of convolutions with what mobile networks have."""
    image = L.Input((size, size, 3))
    x = L.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(image)
    x = L.ReLU(6.0)(L.BatchNormalization()(x))
    x = L.BatchNormalization()(L.DepthwiseConv2D(3, padding="same")(x))
    return keras.Model(image, L.Activation("relu")(L.Conv2D(6, 1)(x)), name=name)


def transfer():
    """The transfer learning tutorial of its time: augmentation, scaling by a layer, a nested backbone, one logit."""
    augment = keras.Sequential(
        [P.RandomFlip("horizontal"), P.RandomRotation(0.2), P.RandomContrast(0.1)], name="augment"
    )
    image = L.Input((32, 32, 3))
    offset = {} if MINOR == 2 else {"offset": -1}
    x = backbone()(P.Rescaling(1.0 / 127.5, **offset)(augment(image)), training=False)
    model = keras.Model(image, pooled(L.Dropout(0.2)(x), 1, None))
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True), metrics=["accuracy"])
    what = "The transfer learning tutorial: augmentation, Rescaling, a nested backbone, one logit."
    more = {"tf_keras": "hangs"} if MINOR == 2 else {}
    write("transfer", model, what, LEVELS, from_logits=True, **more)


def operations():
    """Functions of TensorFlow on tensors of Keras: TensorFlowOpLayer in 2.2, TFOpLambda since 2.4."""
    image = L.Input((20, 20, 3))
    x = L.Conv2D(4, 3, padding="same")(image / 127.5 - 1.0)
    x = tf.nn.relu6(x) + tf.math.sigmoid(x) * tf.math.tanh(x)
    flat = tf.concat([tf.reduce_max(x, axis=-1, keepdims=True), tf.reduce_mean(x, axis=-1, keepdims=True)], axis=-1)
    x = x * L.Conv2D(1, 3, padding="same", activation="sigmoid")(flat)
    y = tf.image.resize(x[:, ::2, 1:-1, :], (10, 10))
    x = tf.nn.avg_pool2d(x, 2, 2, "VALID") + tf.math.square(y) * 0.5
    x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
    x = tf.reshape(tf.transpose(tf.nn.leaky_relu(x), [0, 2, 1, 3]), (-1, 12, 48))
    x = tf.nn.softmax(L.Dense(3)(tf.reduce_mean(tf.clip_by_value(x, -0.5, 3.0), axis=1)))
    write("operations", keras.Model(image, x), "Many functions of TensorFlow, with slices and tf.image.resize.", LEVELS)


def preprocessed():
    """The preprocess_input of ResNet50 inside the graph, in front of a network that is named so."""
    image = L.Input((24, 24, 3))
    x = keras.applications.resnet50.preprocess_input(image)
    inner = L.Input((24, 24, 3))
    base = keras.Model(inner, L.Conv2D(4, 3, activation="relu", name="conv1_conv")(inner), name="resnet50")
    what = "resnet50.preprocess_input inside the graph, in front of a nested network named resnet50."
    write("preprocessed", keras.Model(image, pooled(base(x))), what, LEVELS)


def pair():
    """A Functional network with a nested one and attention over its places, as JSON and weights."""
    image = L.Input((32, 32, 3))
    x = L.Conv2D(4, 3, strides=3, activation="swish")(backbone()(image))
    x = L.Reshape((25, 4))(x)
    x = L.LayerNormalization()(L.Attention()([x, x]))
    model = keras.Model(image, L.Dense(2, activation="softmax")(L.GlobalAveragePooling1D()(x)))
    write("pair", model, "A nested backbone and Attention, as JSON and weights.", form="pair", tf_keras="fails")


def saved():
    """A SavedModel folder, that of 2.5 with a nested Sequential."""
    image = L.Input((12, 12, 3))
    x = P.Rescaling(1.0 / 255)(image)
    if MINOR == 5:
        x = keras.Sequential([L.Conv2D(3, 3, activation="relu", input_shape=(12, 12, 3))], name="block")(x)
    else:
        x = L.Conv2D(3, 3, activation="relu")(x)
    model = keras.Model(image, L.Dense(3, activation="softmax")(L.Flatten()(x)))
    where = "keras_metadata.pb" if MINOR >= 5 else "its object graph"
    write("saved", model, f"A SavedModel folder whose Keras metadata is in {where}.", LEVELS, form="saved")


def efficientnet():
    """The beginning of EfficientNetB0, whose Rescaling and Normalization are inside."""
    base = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(32, 32, 3))
    cut = keras.Model(base.input, base.get_layer("block1a_bn").output, name=base.name)
    model = keras.Sequential([cut, L.GlobalAveragePooling2D(), L.Dense(3, activation="softmax")])
    write("efficientnet", model, "The beginning of EfficientNetB0 as the first layer of a Sequential.", LEVELS)


def mobilenet():
    """The beginning of MobileNetV2, continued by a head without nesting."""
    base = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, include_top=False, weights=None)
    model = keras.Model(base.input, pooled(base.get_layer("expanded_conv_project_BN").output, 4))
    write("mobilenet", model, "The beginning of MobileNetV2, continued by a head in one flat graph.", SIGNED)


CHOSEN = {
    2: (transfer, operations, preprocessed, saved),
    5: (operations, preprocessed, saved, pair),
    9: (efficientnet, mobilenet),
}

if __name__ == "__main__":
    run(CHOSEN[MINOR], keras.backend.clear_session)
