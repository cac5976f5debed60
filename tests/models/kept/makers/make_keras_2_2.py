"""Writes the files of Keras 2.2.4, the Keras of its own that stood beside TensorFlow 1.

Environment: Python 3.7 with `tensorflow==1.15.5`, `keras==2.2.4`, `h5py<3`, `protobuf<3.21` and `numpy<1.19`.
Run `python make_keras_2_2.py`.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import numpy as np
import tensorflow as tf
from corpus import LEVELS, SIGNED, UNIT, images, numbers, path, row, run, seeded, shake, spread
from keras import backend
from keras import layers as L  # noqa: N812

WRITER = f"Keras {keras.__version__}"
TAG = "k202"
RNG = seeded(2)
tf.set_random_seed(2)


def outputs_of(model, inputs):
    """All outputs of the model, in the order of its list."""
    values = model.predict(inputs if len(inputs) > 1 else inputs[0])
    return values if isinstance(values, list) else [values]


def write(name, model, what, feeds=None, fed=None, as_pair=False, **more):
    """Shakes the model, stores what it computes and saves it as HDF5, or as JSON and weights."""
    stem = f"{TAG}_{name}"
    inputs = [
        images(backend.int_shape(tensor)[1:], fed or feeds or UNIT, seed) for seed, tensor in enumerate(model.inputs)
    ]
    shake(model, RNG)
    spread(model, lambda: outputs_of(model, inputs))
    npz = numbers(stem, inputs, outputs_of(model, inputs))
    if not as_pair:
        model.save(path(stem + ".h5"))
        row(stem + ".h5", npz, WRITER, what, feeds, **more)
        return
    with open(path(stem + ".json"), "w") as sink:
        sink.write(model.to_json())
    model.save_weights(path(stem + ".h5"))
    row(stem + ".json", npz, WRITER, what, feeds, weights=stem + ".h5", **more)


def backbone(name="backbone", size=32):
    """A small network of convolutions with what mobile networks have."""
    image = L.Input((size, size, 3))
    x = L.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(image)
    x = L.ReLU(6.0)(L.BatchNormalization()(x))
    x = L.BatchNormalization()(L.DepthwiseConv2D(3, padding="same")(L.ZeroPadding2D(((0, 1), (0, 1)))(x)))
    return keras.models.Model(image, L.Activation("relu")(L.Conv2D(6, 1)(x)), name=name)


def sequential():
    """The network of the first tutorials, fitted for one step, so that the file holds an optimizer."""
    model = keras.models.Sequential()
    model.add(L.Conv2D(4, (3, 3), activation="relu", input_shape=(20, 20, 1)))
    model.add(L.MaxPooling2D(pool_size=(2, 2)))
    model.add(L.Dropout(0.25))
    model.add(L.Flatten())
    model.add(L.Dense(4, activation="softmax"))
    model.compile(loss=keras.losses.categorical_crossentropy, optimizer="adadelta", metrics=["accuracy"])
    model.fit(images((20, 20, 1)), np.eye(4)[:2], verbose=0)
    write("sequential", model, "The Sequential network of mnist_cnn.py, fitted with Adadelta.")


def nested_first():
    """A backbone as the first layer of a Sequential, whose config was a list before 2.2.3."""
    model = keras.models.Sequential([backbone(), L.GlobalAveragePooling2D(), L.Dense(3, activation="softmax")])
    write("nested_first", model, "A Functional backbone as the first layer of a Sequential.")


def nested_between():
    """A backbone called by a Functional network with layers before and after."""
    image = L.Input((32, 32, 3))
    x = backbone()(L.Conv2D(3, 1, activation="relu")(image))
    x = L.Dense(2, activation="sigmoid")(L.GlobalMaxPooling2D()(L.Conv2D(4, 3, activation="elu")(x)))
    write(
        "nested_between",
        keras.models.Model(image, x),
        "A backbone between layers of a Functional network, as a pair.",
        as_pair=True,
    )


def layers():
    """Layers that Keras 2 had, some of which Keras 3 has no more."""
    image = L.Input((16, 16, 3))
    x = L.PReLU(shared_axes=[1, 2])(L.SeparableConv2D(4, 3)(L.GaussianNoise(0.1)(image)))
    x = L.ThresholdedReLU(0.05)(L.LeakyReLU(0.1)(L.Conv2DTranspose(4, 3)(x)))
    x = L.UpSampling2D(2)(L.AveragePooling2D()(L.Cropping2D(1)(x)))
    x = L.LocallyConnected2D(2, 3, strides=3, activation="hard_sigmoid")(L.SpatialDropout2D(0.1)(x))
    x = L.Dense(3, activation="hard_sigmoid")(L.Flatten()(x))
    write("layers", keras.models.Model(image, x), "ThresholdedReLU, LocallyConnected2D, PReLU and a hard_sigmoid head.")


def bilinear():
    """Bilinear enlarging, which TensorFlow 1 did without half-pixel centres, so that newer versions differ."""
    model = keras.models.Sequential(
        [
            L.Conv2D(4, 3, strides=2, activation="relu", input_shape=(16, 16, 3)),
            L.UpSampling2D(2, interpolation="bilinear"),
            L.Conv2D(4, 3, strides=2, activation="relu"),
            L.Flatten(),
            L.Dense(3, activation="softmax"),
        ]
    )
    what = "UpSampling2D with bilinear interpolation as TensorFlow 1 computed it; every Keras on TensorFlow 2 differs."
    write("bilinear", model, what, tf_keras="wrong")


def recurrent():
    """An LSTM of that time, whose gates are hard_sigmoid, over the rows of a map."""
    image = L.Input((16, 16, 1))
    x = L.TimeDistributed(L.Dense(4, activation="relu"))(L.Reshape((16, 16))(image))
    x = L.Bidirectional(L.LSTM(3, return_sequences=True))(x)
    x = L.Dense(3, activation="softmax")(L.GRU(4)(x))
    write("recurrent", keras.models.Model(image, x), "Bidirectional LSTM and GRU with hard_sigmoid gates over rows.")


def shared():
    """Two pictures and one network for both."""
    left, right = L.Input((16, 16, 3), name="left"), L.Input((16, 16, 3), name="right")
    base = keras.models.Sequential([L.Conv2D(4, 3, activation="relu", input_shape=(16, 16, 3)), L.GlobalMaxPooling2D()])
    x = L.Dense(1, activation="sigmoid")(L.multiply([base(left), base(right)]))
    write("shared", keras.models.Model([left, right], x), "Two pictures and one shared Sequential.")


def mobilenet():
    """The beginning of MobileNet as keras_applications built it."""
    base = keras.applications.mobilenet.MobileNet((32, 32, 3), alpha=0.25, include_top=False, weights=None)
    x = L.GlobalAveragePooling2D()(base.get_layer("conv_pw_1_relu").output)
    model = keras.models.Model(base.input, L.Dense(3, activation="softmax")(x))
    write("mobilenet", model, "The beginning of keras_applications' MobileNet under a head.", SIGNED)


def lambda_layer():
    """A Lambda, as people scaled pictures then."""
    model = keras.models.Sequential(
        [
            L.Lambda(lambda x: x / 127.5 - 1, input_shape=(16, 16, 3)),
            L.Conv2D(4, 3, activation="relu"),
            L.Flatten(),
            L.Dense(1),
        ]
    )
    write("lambda", model, "A Lambda of byte code that scales the picture.", LEVELS, expect="refused")


ALL = (sequential, nested_first, nested_between, layers, bilinear, recurrent, shared, mobilenet, lambda_layer)

if __name__ == "__main__":
    run(ALL, keras.backend.clear_session)
