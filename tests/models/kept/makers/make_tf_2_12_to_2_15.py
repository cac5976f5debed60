"""Writes the files of TensorFlow 2.12 to 2.15, whose Keras 2 wrote the first `.keras` archives.

Environments: Python 3.11 with one of `tensorflow-cpu==2.12.1`, `==2.13.1`, `==2.14.1`, `==2.15.1` and what pip takes
along (Keras 2.12.0, 2.13.1, 2.14.0, 2.15.0). Run `python make_tf_2_12_to_2_15.py` once in each of the four.
"""

import importlib
import ntpath
import os
import shutil

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import tensorflow as tf
from corpus import LEVELS, SIGNED, UNIT, images, numbers, path, row, run, seeded, shake, spread

keras = tf.keras
L = keras.layers
MINOR = int(tf.__version__.split(".")[1])
WRITER = f"TensorFlow {tf.__version__}"
TAG = f"tf2{MINOR}"
RNG = seeded(MINOR)
keras.utils.set_random_seed(MINOR)


def outputs_of(model, inputs):
    """All outputs of the model in the order in which TensorFlow flattens them."""
    given = inputs if len(inputs) > 1 else inputs[0]
    return [np.asarray(value, "float32") for value in tf.nest.flatten(model(given, training=False))]


def save(model, file):
    """Saves as this TensorFlow does; 2.12 writes an archive only if it is asked for, and HDF5 into `.keras` if not."""
    if MINOR == 12 and file.endswith(".keras"):
        model.save(path(file), save_format="keras_v3")
    else:
        model.save(path(file))


def write(name, model, what, feeds=None, ends=("keras",), fed=None, inputs=None, **more):
    """Shakes the model, stores what it computes and saves it in each of the formats named by `ends`."""
    stem = f"{TAG}_{name}"
    shake(model, RNG)
    if MINOR != 13:
        ends = ends[:1]
    if inputs is None:
        inputs = [images(tensor.shape[1:], fed or feeds or UNIT, seed) for seed, tensor in enumerate(model.inputs)]
    spread(model, lambda: outputs_of(model, inputs))
    npz = numbers(stem, inputs, outputs_of(model, inputs))
    for end in ends:
        file = f"{stem}.{end}" if len(ends) == 1 else f"{stem}_{end[0]}.{end}"
        save(model, file)
        row(file, npz, WRITER, what, feeds, **more)
    return npz


def head(x, units=3, activation="softmax"):
    """Pools a map and ends in a dense layer."""
    return L.Dense(units, activation=activation, name="predictions")(L.GlobalAveragePooling2D()(x))


def backbone(name="backbone", size=32, filters=4):
    """A small network of convolutions with what mobile networks have, as a Functional model."""
    image = L.Input((size, size, 3))
    x = L.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(image)
    x = L.BatchNormalization()(x)
    x = L.Activation(tf.nn.relu6)(x) if MINOR == 12 else L.ReLU(6.0)(x)
    x = L.DepthwiseConv2D(3, padding="same")(x)
    x = L.BatchNormalization()(x)
    x = L.Conv2D(filters + 2, 1)(x)
    x = L.Activation("relu")(x) if MINOR == 12 else L.ReLU()(x)
    return keras.Model(image, x, name=name)


def plain_functional():
    """Layers of many kinds in one row."""
    image = L.Input((24, 24, 3), name="image")
    x = L.Conv2D(4, 3, activation="relu")(image)
    x = L.BatchNormalization()(x)
    x = L.SeparableConv2D(6, 3, depth_multiplier=2, activation="relu")(x)
    x = L.BatchNormalization(scale=False)(x)
    x = L.Conv2DTranspose(4, 3, strides=2)(x)
    x = L.PReLU(shared_axes=[1, 2])(x)
    x = L.DepthwiseConv2D(3, strides=2)(x)
    x = L.LayerNormalization(epsilon=1e-5)(x)
    x = L.GroupNormalization(2)(x)
    x = L.UnitNormalization()(x)
    model = keras.Model(image, head(x), name="everyday")
    write("layers", model, "A Functional network with one layer of each common kind.")


def plain_sequential():
    """The network of the first tutorial, trained for one step, so that the file holds an optimizer."""
    model = keras.Sequential(
        [
            L.Rescaling(1.0 / 255, input_shape=(28, 28, 3)),
            L.Conv2D(4, 3, activation="relu"),
            L.MaxPooling2D(),
            L.Conv2D(5, 3, activation="relu"),
            L.MaxPooling2D(),
            L.Conv2D(6, 3, activation="relu"),
            L.Dropout(0.2),
            L.Flatten(),
            L.Dense(8, activation="relu"),
            L.Dense(4),
        ]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    model.fit(images((28, 28, 3), LEVELS), np.array([0, 1]), verbose=0)
    what = "The Sequential network of the image classification tutorial, fitted, compiled with from_logits=True."
    write("sequential", model, what, LEVELS, from_logits=True)


def open_sequential():
    """A Sequential model that was only ever built by its first batch."""
    model = keras.Sequential(
        [L.Conv2D(4, 3, activation="relu"), L.GlobalMaxPooling2D(), L.Dense(2, activation="softmax")]
    )
    model.build((None, 20, 20, 1))
    inputs = [images((20, 20, 1), UNIT)]
    shake(model, RNG)
    write("built", model, "A Sequential network without an input layer, built by build().", inputs=inputs)


def functional_in_sequential():
    """The backbone as the first layer of a Sequential."""
    model = keras.Sequential(
        [
            backbone("mobilenetv2_1.00_224"),
            L.Conv2D(4, 3, activation="relu"),
            L.GlobalAveragePooling2D(),
            L.Dense(5, activation="relu"),
            L.BatchNormalization(),
            L.Dense(3, activation="softmax"),
        ]
    )
    what = "A Functional backbone named as MobileNetV2 is, as the first layer of a Sequential network."
    write("backbone_first", model, what, SIGNED)


def functional_in_functional():
    """Transfer learning as the tutorial writes it."""
    augment = keras.Sequential(
        [L.RandomFlip("horizontal"), L.RandomRotation(0.2), L.RandomZoom(0.1), L.RandomContrast(0.1)], name="augment"
    )
    image = L.Input((32, 32, 3))
    x = keras.applications.mobilenet_v2.preprocess_input(augment(image))
    x = backbone()(x, training=False)
    x = L.Dropout(0.2)(L.GlobalAveragePooling2D()(x))
    model = keras.Model(image, L.Dense(1)(x))
    model.compile(keras.optimizers.Adam(1e-3), keras.losses.BinaryCrossentropy(from_logits=True), ["accuracy"])
    what = "The transfer learning tutorial: augmentation, preprocess_input as operations, a nested backbone, one logit."
    write("transfer", model, what, LEVELS, from_logits=True)


def sequential_as_output():
    """The head is a Sequential, and the last layer of the outer network."""
    image = L.Input((32, 32, 3))
    top = keras.Sequential(
        [
            L.Conv2D(5, 3, activation="relu", input_shape=(16, 16, 6)),
            L.GlobalAveragePooling2D(),
            L.Dense(3, activation="softmax"),
        ],
        name="top",
    )
    model = keras.Model(image, top(backbone()(L.Rescaling(1 / 127.5, offset=-1)(image))))
    write("head_sequential", model, "A Sequential head as output layer behind a nested Functional backbone.", LEVELS)


def shared_twice():
    """One backbone looks at the picture and at its mirror image."""
    image = L.Input((32, 32, 3))
    base = backbone()
    x = L.Subtract()([base(image), base(tf.reverse(image, axis=[2]))])
    x = L.Conv2D(4, 1, activation="relu")(x)
    write("shared", keras.Model(image, head(x)), "One nested backbone is called twice, on the picture and its mirror.")


def siamese():
    """Two pictures and one backbone."""
    first, second = L.Input((32, 32, 3), name="left"), L.Input((32, 32, 3), name="right")
    base = keras.Sequential(
        [L.Conv2D(4, 3, activation="relu", input_shape=(32, 32, 3)), L.GlobalAveragePooling2D(), L.Dense(6)],
        name="embedding",
    )
    x = L.Dot(1, normalize=True)([base(first), base(second)])
    what = "A siamese network: two pictures, one shared Sequential embedding, the cosine of both."
    write("siamese", keras.Model([first, second], L.Dense(1, activation="sigmoid")(x)), what)


def same_classes():
    """Convolutions outside before, inside, and outside after, of equal shapes where they can be confused."""
    image = L.Input((20, 20, 4))
    inner = L.Input((20, 20, 4))
    x = L.Conv2D(4, 3, padding="same", activation="relu")(inner)
    x = L.BatchNormalization()(x)
    x = L.Conv2D(4, 3, padding="same", activation="relu")(x)
    block = keras.Model(inner, L.Add()([x, inner]), name="block")
    y = L.Conv2D(4, 3, padding="same", activation="relu")(image)
    y = L.BatchNormalization()(y)
    y = block(y)
    y = L.Conv2D(4, 3, padding="same", activation="relu")(y)
    y = L.BatchNormalization()(y)
    y = L.Dense(4, activation="tanh")(y)
    what = "Convolutions and normalisations of one shape before, inside and behind a nested block."
    write("same_classes", keras.Model(image, head(y, 4)), what)


def other_order():
    """Layers were created in another order than they are called in."""
    last = L.Conv2D(4, 3, padding="same", activation="relu")
    third = L.Conv2D(4, 3, padding="same", activation="relu")
    second = L.Conv2D(4, 3, padding="same", activation="relu")
    dense = L.Dense(4, activation="relu")
    first = L.Conv2D(4, 3, padding="same", activation="relu")
    image = L.Input((20, 20, 4))
    out = L.Dense(3, activation="softmax")
    x = dense(L.GlobalAveragePooling2D()(last(third(second(first(image))))))
    what = "Four convolutions of one shape were created in the reverse of the order they are called in."
    write("other_order", keras.Model(image, out(L.Dense(4, activation="relu")(x))), what)


def branches():
    """Two branches of unlike depth, so that the order of the layers is one of depth and not of code."""
    image = L.Input((20, 20, 4))
    long = L.Conv2D(4, 3, padding="same", activation="relu")(image)
    long = L.Conv2D(4, 3, padding="same", activation="relu")(long)
    long = L.Conv2D(4, 3, padding="same", activation="relu")(long)
    short = L.Conv2D(4, 3, padding="same")(image)
    x = L.Activation("relu")(L.Add()([short, long]))
    mask = L.Conv2D(2, 1, activation="sigmoid", name="mask")(x)
    label = L.Dense(3, activation="softmax", name="label")(L.GlobalAveragePooling2D()(x))
    model = keras.Model(image, {"mask": mask, "label": label})
    what = "Branches of unlike depth and a dictionary of a map and a vector as outputs."
    write("branches", model, what, outputs=sorted(["mask", "label"]))


def odd_names():
    """Names that people give to layers, as far as this Keras takes them."""
    image = L.Input((20, 20, 1), name="input/image")
    x = L.Conv2D(4, 3, activation="relu", name="block1/conv")(image)
    x = L.BatchNormalization(name="block1/bn")(x)
    x = L.Conv2D(4, 3, activation="relu", name="block2/conv")(x)
    x = L.BatchNormalization(name="block2/conv/bn")(x)
    x = L.Dense(3, activation="softmax", name="head/logits")(L.GlobalAveragePooling2D(name="head/pool")(x))
    model = keras.Model(image, x, name="with_slashes")
    write("slashes", model, "Layer names with slashes, one of them the beginning of another.", ends=("keras", "h5"))


def other_scripts():
    """Names with spaces, umlauts and Japanese, which Keras 2 takes only in a Sequential that first sees a picture."""
    model = keras.Sequential(
        [
            L.Conv2D(4, 3, activation="relu", name="conv Größe"),
            L.Conv2D(4, 3, activation="relu", name="畳み込み 2"),
            L.GlobalAveragePooling2D(name="global pool"),
            L.Dense(3, activation="softmax", name="Ergebnis (3 Klassen)"),
        ],
        name="Netz_fuer_Blaetter",
    )
    inputs = [images((20, 20, 3), UNIT)]
    model(inputs[0])
    what = "Names with spaces, umlauts and Japanese; TensorFlow itself builds no graph of them and fails to load it."
    write("scripts", model, what, ends=("h5",), inputs=inputs, expect="refused", own="fails")


def sequences():
    """Recurrent layers over the rows of a picture, and attention over its patches."""
    image = L.Input((24, 24, 3))
    x = L.Conv2D(4, 3, strides=2, padding="same", activation="relu")(image)
    rows = L.Reshape((12, 48))(x)
    rows = L.Bidirectional(L.LSTM(3, return_sequences=True))(rows)
    rows = L.TimeDistributed(L.Dense(4, activation="relu"))(rows)
    rows = L.MultiHeadAttention(2, 3)(rows, rows)
    rows = L.LayerNormalization()(rows)
    x = L.Concatenate()([L.GlobalAveragePooling1D()(rows), L.GlobalMaxPooling2D()(x)])
    what = "Bidirectional LSTM, TimeDistributed and MultiHeadAttention over the rows of a feature map."
    write("sequences", keras.Model(image, L.Dense(3, activation="softmax")(x)), what)


def deep_nesting():
    """A network in a network in a network in a Sequential, and each level has layers of its own."""
    innermost = keras.Sequential(
        [L.Conv2D(4, 3, padding="same", input_shape=(16, 16, 4)), L.BatchNormalization(), L.ReLU()], name="unit"
    )
    middle_in = L.Input((16, 16, 4))
    middle = keras.Model(middle_in, L.Conv2D(4, 1)(L.Add()([innermost(middle_in), middle_in])), name="stage")
    outer_in = L.Input((16, 16, 3))
    outer = keras.Model(outer_in, middle(L.Conv2D(4, 3, padding="same", activation="relu")(outer_in)), name="trunk")
    model = keras.Sequential(
        [
            L.Input((16, 16, 3)),
            L.Rescaling(1 / 255.0),
            outer,
            L.GlobalAveragePooling2D(),
            L.Dense(2, activation="softmax"),
        ]
    )
    write("deep", model, "Models nested four deep, each level with layers of its own.", LEVELS)


def metadata():
    """A picture and a vector that belongs to it, addressed by name."""
    image = L.Input((20, 20, 3), name="image")
    age = L.Input((4,), name="patient")
    x = L.GlobalAveragePooling2D()(L.Conv2D(4, 3, activation="relu")(image))
    x = L.Concatenate()([x, L.Dense(3, activation="relu")(age)])
    model = keras.Model({"image": image, "patient": age}, L.Dense(3, activation="softmax")(x))
    given = [images((20, 20, 3), UNIT), np.array([[0.1, 0.2, 0.3, 0.4], [0.9, 0.1, 0.5, 0.0]], "float32")]
    shake(model, RNG)
    stem = f"{TAG}_metadata"
    answer = model({"image": given[0], "patient": given[1]}, training=False)
    npz = numbers(stem, given, [np.asarray(answer)])
    save(model, stem + ".keras")
    what = "A dictionary of inputs: a picture and a vector of four numbers."
    row(stem + ".keras", npz, WRITER, what, inputs=["image", "patient"])


def pair():
    """Architecture as JSON and weights in the layout of the `.keras` archives."""
    image = L.Input((32, 32, 3))
    model = keras.Model(image, head(L.Conv2D(4, 3, activation="swish")(backbone()(image))))
    stem = f"{TAG}_pair"
    shake(model, RNG)
    given = [images((32, 32, 3), UNIT)]
    npz = numbers(stem, given, outputs_of(model, given))
    with open(path(stem + ".json"), "w", encoding="utf-8") as sink:
        sink.write(model.to_json())
    model.save_weights(path(stem + ".weights.h5"))
    what = "JSON and weights of a network with a nested backbone, as to_json and save_weights wrote them."
    row(stem + ".json", npz, WRITER, what, weights=stem + ".weights.h5")


def wrong_ends():
    """Files whose name ends in another way than their bytes begin."""
    image = L.Input((20, 20, 3))
    x = L.Conv2D(4, 3, activation="relu", name="conv")(image)
    model = keras.Model(image, head(x))
    npz = write("named", model, "A small Functional network.")
    renamed = f"{TAG}_zip_named_h5.h5"
    shutil.move(path(f"{TAG}_named.keras"), path(renamed))
    row(renamed, npz, WRITER, "A .keras archive that somebody named .h5.", own="fails")
    model.save(path("temporary.h5"))
    shutil.move(path("temporary.h5"), path(f"{TAG}_named.keras"))
    row(f"{TAG}_named.keras", npz, WRITER, "An HDF5 file that somebody named .keras.")


def hdf5_by_default():
    """What `model.save("name.keras")` of TensorFlow 2.12 writes without a format: HDF5."""
    model = keras.Sequential([L.Input((32, 32, 3)), backbone(), L.GlobalAveragePooling2D(), L.Dense(3, "softmax")])
    inputs = [images((32, 32, 3), UNIT)]
    stem = f"{TAG}_default"
    shake(model, RNG)
    spread(model, lambda: outputs_of(model, inputs))
    model.save(path(stem + ".keras"))
    npz = numbers(stem, inputs, outputs_of(model, inputs))
    row(stem + ".keras", npz, WRITER, "HDF5 in a file named .keras, as save() of TensorFlow 2.12 writes by default.")


def windows():
    """What these versions write on Windows, where they join the groups of the weights with backslashes.

    `tf.io.gfile.join` is `os.path.join` for paths without a scheme, so on Windows the HDF5 file in the archive has a
    group named `_layer_checkpoint_dependencies\\conv2d` (2.12 to 2.14) or `layers\\conv2d` (2.15).
    """
    image = L.Input((20, 20, 3))
    x = backbone(size=20)(L.Conv2D(3, 3, padding="same", activation="relu")(L.Rescaling(1 / 255.0)(image)))
    model = keras.Model(image, head(L.Conv2D(4, 3, activation="relu")(x)))
    gfile = importlib.import_module("keras.src.saving.saving_lib").tf.io.gfile
    join = gfile.join
    gfile.join = ntpath.join
    try:
        write(
            "windows", model, "A nested network's archive as Windows writes it, with backslashes.", LEVELS, own="fails"
        )
    finally:
        gfile.join = join


def relu_of_numpy():
    """ReLU layers of 2.12, whose numbers went into the archive as NumPy scalars that 2.12 itself cannot read."""
    image = L.Input((20, 20, 3))
    x = L.ReLU(6.0)(L.Conv2D(4, 3)(image))
    what = "ReLU(6.0) of Keras 2.12, written as {'class_name': '__numpy__'}, which Keras 2.12 itself does not read."
    write("relu", keras.Model(image, head(x)), what, expect="refused", own="fails")


CHOSEN = {
    12: (
        plain_sequential,
        functional_in_sequential,
        other_order,
        hdf5_by_default,
        relu_of_numpy,
    ),
    13: (
        plain_functional,
        open_sequential,
        functional_in_sequential,
        shared_twice,
        siamese,
        same_classes,
        other_order,
        odd_names,
        other_scripts,
        sequences,
        metadata,
        pair,
        wrong_ends,
    ),
    14: (
        functional_in_sequential,
        sequential_as_output,
        same_classes,
        branches,
        windows,
    ),
    15: (
        functional_in_functional,
        same_classes,
        odd_names,
        deep_nesting,
        windows,
    ),
}

if __name__ == "__main__":
    run(CHOSEN[MINOR], keras.backend.clear_session)
