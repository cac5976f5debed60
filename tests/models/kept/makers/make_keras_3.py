"""Writes the files of Keras 3, from 3.0 to 3.15.

Environments: Python 3.11 with `tensorflow-cpu==2.16.2`, `optree==0.11.0` and one of `keras==3.0.5`, `==3.3.3`,
`==3.5.0`, `==3.8.0`; and `tensorflow==2.21.0` with `keras==3.15.1`. Run `python make_keras_3.py` once in each of the
five. Keras 3.3.3 fails on every merge with the newest optree.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["KERAS_BACKEND"] = "tensorflow"

import importlib

import keras
import numpy as np
import tensorflow as tf
from corpus import LEVELS, SIGNED, UNIT, images, numbers, path, row, run, seeded, shake, spread
from keras import layers as L  # noqa: N812
from keras import ops

VERSION = tuple(int(part) for part in keras.__version__.split("."))
WRITER = f"Keras {keras.__version__}"
TAG = f"k{VERSION[0]}{VERSION[1]:02d}"
RNG = seeded(VERSION[1])
keras.utils.set_random_seed(VERSION[1])


def outputs_of(model, inputs):
    """All outputs of the model in the order in which TensorFlow flattens them, that is with sorted keys."""
    given = inputs if isinstance(inputs, dict) or len(inputs) > 1 else inputs[0]
    return [np.asarray(value, "float32") for value in tf.nest.flatten(model(given, training=False))]


def write(name, model, what, feeds=None, ends=("keras",), fed=None, inputs=None, then=None, **more):
    """Shakes the model, stores what it computes and saves it in each of the formats named by `ends`."""
    stem = f"{TAG}_{name}"
    if VERSION[:2] == (3, 0) and any(hasattr(layer, "layers") for layer in model.layers):
        ends = ("keras",)  # Keras 3.0 fails to write nested models as HDF5: "name already exists".
    shake(model, RNG)
    if inputs is None:
        inputs = [images(tensor.shape[1:], fed or feeds or UNIT, seed) for seed, tensor in enumerate(model.inputs)]
    spread(model, lambda: outputs_of(model, inputs))
    if then is not None:
        then(model)
    given = list(inputs.values()) if isinstance(inputs, dict) else inputs
    if isinstance(inputs, dict):
        more["inputs"] = list(inputs)
    npz = numbers(stem, given, outputs_of(model, inputs))
    for end in ends:
        file = f"{stem}.{end}" if len(ends) == 1 else f"{stem}_{end[0]}.{end}"
        model.save(path(file))
        row(file, npz, WRITER, what, feeds, **more)


def pooled(x, units=3, activation="softmax"):
    """Pools a map and ends in a dense layer."""
    return L.Dense(units, activation=activation)(L.GlobalAveragePooling2D()(x))


def conv(x, filters=4, strides=2):
    """One convolution with a ReLU."""
    return L.Conv2D(filters, 3, strides=strides, padding="same", activation="relu")(x)


def backbone(name="backbone", size=32, filters=4):
    """A small network of convolutions with what mobile networks have, as a Functional model."""
    image = keras.Input((size, size, 3))
    x = L.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(image)
    x = L.BatchNormalization()(x)
    x = L.ReLU(6.0)(x)
    x = L.DepthwiseConv2D(3, padding="same")(x)
    x = L.BatchNormalization()(x)
    x = L.Conv2D(filters + 2, 1)(x)
    return keras.Model(image, L.ReLU()(x), name=name)


# ---- nested models


def functional_in_sequential():
    """The backbone as the first layer of a Sequential."""
    model = keras.Sequential(
        [
            backbone(),
            L.Conv2D(4, 3, activation="relu"),
            L.GlobalAveragePooling2D(),
            L.BatchNormalization(),
            L.Dense(3, activation="softmax"),
        ]
    )
    model.build((None, 32, 32, 3))
    end = "h5" if VERSION[1] == 3 else "keras"
    more = {"own": "fails"} if VERSION[1] == 0 else {}
    write("backbone_first", model, "A Functional backbone as the first layer of a Sequential.", ends=(end,), **more)


def functional_in_functional():
    """The backbone between layers of the outer network."""
    image = keras.Input((16, 16, 3))
    x = L.Conv2D(3, 1, activation="relu")(L.Rescaling(1 / 255.0)(image))
    x = backbone("inner", 16)(x, training=False)
    x = L.BatchNormalization()(L.Conv2D(4, 3, activation="relu")(x))
    write("nested", keras.Model(image, pooled(x)), "A Functional backbone between layers of the outer network.", LEVELS)


def sequential_as_output():
    """The head is a Sequential, and the last layer of the outer network."""
    top = keras.Sequential(
        [L.Input((16, 16, 6)), L.Conv2D(5, 3, activation="relu"), L.GlobalMaxPooling2D(), L.Dense(3, "softmax")],
        name="top",
    )
    image = keras.Input((32, 32, 3))
    model = keras.Model(image, top(backbone()(image)))
    write("head_sequential", model, "A Sequential is the output layer, behind a Functional backbone.")


def functional_as_output():
    """The head is a Functional model, and the last layer of a network that begins with augmentation."""
    augment = keras.Sequential([L.RandomFlip("horizontal")], name="augmentation")
    feature = keras.Input((16, 16, 6))
    top = keras.Model(feature, pooled(conv(feature, 5), 4), name="classifier")
    image = keras.Input((32, 32, 3))
    x = L.Rescaling(1 / 127.5, offset=-1)(augment(image))
    what = "A Functional head as output layer, a nested backbone, and a nested Sequential of augmentation before."
    write("head_functional", keras.Model(image, top(backbone()(x))), what, LEVELS)


def two_inside():
    """Two backbones of the same architecture, whose layers share their names."""
    image = keras.Input((16, 16, 3))
    x = L.Average()([backbone("left", 16)(image), backbone("right", 16)(image)])
    write(
        "two_inside", keras.Model(image, pooled(x)), "Two nested backbones of one architecture, averaged.", ends=("h5",)
    )


def several_ends():
    """A nested model that gives three maps, as feature pyramids do."""
    inner = keras.Input((24, 24, 3))
    low = conv(inner, 3, 1)
    middle = conv(low, 4)
    high = conv(middle, 5)
    pyramid = keras.Model(inner, [low, middle, high], name="pyramid")
    image = keras.Input((24, 24, 3))
    low, middle, high = pyramid(image)
    x = L.Concatenate()([middle, L.UpSampling2D(2, interpolation="bilinear")(high), L.MaxPooling2D()(low)])
    write("pyramid", keras.Model(image, pooled(x)), "A nested model with three outputs of different sizes.")


def same_classes():
    """Convolutions outside before, inside, and outside after, of equal shapes where they can be confused."""
    inner = keras.Input((20, 20, 4))
    x = L.Conv2D(4, 3, padding="same", activation="relu")(inner)
    x = L.Conv2D(4, 3, padding="same", activation="relu")(L.BatchNormalization()(x))
    block = keras.Model(inner, L.Add()([x, inner]), name="block")
    image = keras.Input((20, 20, 4))
    y = L.BatchNormalization()(L.Conv2D(4, 3, padding="same", activation="relu")(image))
    y = L.Conv2D(4, 3, padding="same", activation="relu")(block(y))
    what = "Convolutions and normalisations of one shape before, inside and behind a nested block."
    write("same_classes", keras.Model(image, pooled(L.BatchNormalization()(y), 4)), what)


def other_order():
    """Layers were created in another order than they are called in."""
    last, third, second, first = [L.Conv2D(4, 3, padding="same", activation="relu") for _ in range(4)]
    image = keras.Input((20, 20, 4))
    out = L.Dense(3, activation="softmax")
    x = L.GlobalAveragePooling2D()(last(third(second(first(image)))))
    what = "Four convolutions of one shape were created in the reverse of the order they are called in."
    write("other_order", keras.Model(image, out(L.Dense(3, activation="relu")(x))), what)


def other_scripts():
    """Names with spaces, umlauts and Japanese."""
    image = keras.Input((20, 20, 3), name="Bild 1")
    x = L.Conv2D(4, 3, activation="relu", name="conv Größe")(image)
    x = L.Conv2D(4, 3, activation="relu", name="畳み込み 2")(x)
    x = L.BatchNormalization(name="block.2:bn")(x)
    x = L.GlobalAveragePooling2D(name="global pool")(x)
    model = keras.Model(image, L.Dense(3, activation="softmax", name="Ergebnis (3 Klassen)")(x), name="Blätter-Netz")
    write("scripts", model, "Layer names with spaces, dots, colons, umlauts and Japanese.")


def pair():
    """Architecture as JSON and weights beside it."""
    image = keras.Input((32, 32, 3))
    model = keras.Model(image, pooled(L.Conv2D(4, 3, activation="swish")(backbone()(image))))
    stem = f"{TAG}_pair"
    given = [images((32, 32, 3), UNIT)]
    shake(model, RNG)
    spread(model, lambda: outputs_of(model, given))
    npz = numbers(stem, given, outputs_of(model, given))
    with open(path(stem + ".json"), "w", encoding="utf-8") as sink:
        sink.write(model.to_json())
    model.save_weights(path(stem + ".weights.h5"))
    what = "JSON and weights of a network with a nested backbone, as to_json and save_weights wrote them."
    row(stem + ".json", npz, WRITER, what, weights=stem + ".weights.h5")


# ---- inputs and outputs


def dictionary_of_outputs():
    """A map and a vector under names that do not sort in the order they were given."""
    image = keras.Input((20, 20, 3))
    x = conv(image, 4, 1)
    mask = L.Conv2D(2, 1, activation="sigmoid", name="a_mask")(x)
    label = L.Dense(3, activation="softmax", name="z_label")(L.GlobalAveragePooling2D()(x))
    model = keras.Model(image, {"label": label, "area": mask})
    write("outputs", model, "A dictionary of a vector and a map as outputs.", outputs=["area", "label"])


def dictionary_of_one_input():
    """One picture, but given under its name."""
    image = keras.Input((20, 20, 3), name="pixels")
    model = keras.Model({"pixels": image}, pooled(conv(conv(L.Rescaling(1 / 255.0)(image)))))
    given = {"pixels": images((20, 20, 3), LEVELS)}
    write("one_named", model, "A dictionary with one picture as input.", LEVELS, inputs=given)


def metadata():
    """A picture and a vector that belongs to it, addressed by name; the vector's name sorts first."""
    image = keras.Input((20, 20, 3), name="photo")
    about = keras.Input((4,), name="about")
    x = L.Concatenate()([L.GlobalAveragePooling2D()(conv(image)), L.Dense(3, activation="relu")(about)])
    model = keras.Model({"photo": image, "about": about}, L.Dense(3, activation="softmax")(x))
    vector = np.array([[0.1, 0.2, 0.3, 0.4], [0.9, 0.1, 0.5, 0.0]], "float32")
    given = {"photo": images((20, 20, 3), UNIT), "about": vector}
    write("metadata", model, "A dictionary of a picture and a vector of four numbers as inputs.", inputs=given)


def siamese():
    """Two pictures and one backbone, the distance by operations."""
    left, right = keras.Input((32, 32, 3), name="left"), keras.Input((32, 32, 3), name="right")
    base = keras.Sequential([L.Conv2D(6, 3, strides=2), L.GlobalMaxPooling2D(), L.Dense(6)], name="embedding")
    distance = ops.sqrt(ops.sum(ops.square(base(left) - base(right)), axis=1, keepdims=True) + 1e-6)
    model = keras.Model([left, right], L.Dense(1, activation="sigmoid")(distance))
    write("siamese", model, "Two pictures, one shared embedding, and the Euclidean distance by keras.ops.")


# ---- preprocessing inside


def preprocessed(family, feeds=LEVELS):
    """A network that begins with the preprocess_input of a family of keras.applications."""

    def make():
        module = getattr(keras.applications, family)
        image = keras.Input((24, 24, 3))
        x = module.preprocess_input(image)
        what = f"keras.applications.{family}.preprocess_input inside the graph, as operations."
        model = keras.Model(image, pooled(conv(x)))
        write(f"prep_{family}", model, what, feeds)

    make.__name__ = f"preprocess_{family}"
    return make


def by_hand():
    """Preprocessing that people write themselves: mean and deviation of each channel, as arrays."""
    image = keras.Input((24, 24, 3))
    x = ops.cast(image, "float32") / 255.0
    x = (x - np.array([0.485, 0.456, 0.406], "float32")) / np.array([0.229, 0.224, 0.225], "float32")
    write("prep_by_hand", keras.Model(image, pooled(conv(x))), "x/255, mean and deviation by arithmetic.", LEVELS)


def normalised():
    """An adapted Normalization, in a nested network and behind a Resizing."""
    inner = keras.Input((20, 20, 3))
    normal = L.Normalization()
    normal.adapt(images((20, 20, 3), LEVELS, 7))
    base = keras.Model(inner, conv(normal(inner)), name="normalised")
    image = keras.Input((30, 26, 3))
    x = base(L.CenterCrop(20, 20)(L.Resizing(24, 24)(image)))
    what = "Resizing, CenterCrop and an adapted Normalization in a nested network."
    write("normalised", keras.Model(image, pooled(x)), what, LEVELS, ends=("h5",), own="wrong")


# ---- layers


def operations():
    """Operations that people call on maps."""
    image = keras.Input((24, 24, 3))
    x = conv(image, 4, 1)
    x = ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
    x = ops.relu(ops.conv(x, np.linspace(-1, 1, 3 * 3 * 4 * 4).reshape(3, 3, 4, 4).astype("float32")))
    y = ops.image.resize(x[:, ::2, ::2, :], (24, 24), interpolation="bilinear")
    x = ops.where(ops.greater(x, 0.5), x, ops.tanh(y))
    x = ops.maximum(ops.clip(x, 0.0, 4.0), ops.abs(y) ** 0.5)
    x = ops.stack([x, ops.flip(x, axis=2)], axis=-1)
    x = ops.transpose(ops.reshape(ops.sum(x, axis=-1), (-1, 576, 4)), (0, 2, 1))
    x = ops.softmax(ops.matmul(x, ops.transpose(x, (0, 2, 1))) / 200.0, axis=-1)
    x = ops.squeeze(ops.expand_dims(ops.einsum("bij->bi", x * ops.exp(-x)), 1), 1)
    write("ops", keras.Model(image, L.Dense(3, activation="softmax")(x)), "Many functions of keras.ops upon maps.")


def augmented(name, what, *kinds, size=24):
    """A network that begins with random layers; those that this Keras does not have are left out."""

    def make():
        keras.utils.set_random_seed(3)
        image = keras.Input((size, size, 3))
        x = image
        for kind, options in kinds:
            if hasattr(L, kind):
                x = getattr(L, kind)(**options)(x)
        model = keras.Model(image, pooled(conv(L.Rescaling(1 / 255.0)(x))))
        write(name, model, what, LEVELS, ends=("h5",) if name == "mixing" else ("keras",))

    make.__name__ = name
    return make


GEOMETRIC = augmented(
    "geometric",
    "Random layers that move pixels, one of each.",
    ("RandomFlip", {}),
    ("RandomRotation", {"factor": 0.1}),
    ("RandomZoom", {"height_factor": 0.1}),
    ("RandomTranslation", {"height_factor": 0.1, "width_factor": 0.1}),
    ("RandomShear", {"x_factor": (0.05, 0.1), "y_factor": (0.05, 0.1)}),
    ("RandomPerspective", {}),
    ("RandomElasticTransform", {}),
    ("RandomErasing", {}),
    ("RandomCrop", {"height": 20, "width": 20}),
)
COLOURED = augmented(
    "coloured",
    "Random layers that change colours, one of each.",
    ("RandomBrightness", {"factor": 0.1}),
    ("RandomContrast", {"factor": 0.1}),
    ("RandomColorDegeneration", {"factor": 0.1}),
    ("RandomColorJitter", {"brightness_factor": 0.1}),
    ("RandomGaussianBlur", {}),
    ("RandomGrayscale", {}),
    ("RandomHue", {"factor": 0.1}),
    ("RandomInvert", {}),
    ("RandomPosterization", {"factor": 4}),
    ("RandomSaturation", {"factor": 0.4}),
    ("RandomSharpness", {"factor": 0.1}),
)
MIXED_PICTURES = augmented(
    "mixing",
    "Layers that mix pictures or choose among augmentations: MixUp, CutMix, AugMix, RandAugment.",
    ("MixUp", {}),
    ("CutMix", {}),
    ("AugMix", {}),
    ("RandAugment", {}),
)


def equalised():
    """Layers that change pictures by their histogram, which stand in a Pipeline.

    In a Functional model, `Equalization` gives its input's own tensor and so makes a circle of it.
    """
    image = keras.Input((24, 24, 3))
    steps = [L.AutoContrast(), L.Equalization(), L.ContrastLimitedAdaptiveHistogramEqualization()]
    x = L.Solarization(threshold_factor=(0.4, 0.4), addition_factor=0.0)(L.Pipeline(steps)(image))
    what = "Solarization behind a Pipeline of AutoContrast and both kinds of Equalization."
    write("equalised", keras.Model(image, pooled(conv(L.Rescaling(1 / 255.0)(x)))), what, LEVELS)


def pipeline():
    """A Pipeline of preprocessing layers in front."""
    image = keras.Input((28, 28, 3))
    steps = [L.RandomFlip(), L.RandomBrightness(0.2), L.CenterCrop(20, 20), L.Rescaling(1 / 127.5, offset=-1)]
    x = L.Pipeline(steps)(image)
    write("pipeline", keras.Model(image, pooled(conv(x))), "A Pipeline with augmentation, crop and rescaling.", LEVELS)


def pooling():
    """Every kind of pooling, cropping, padding and enlarging of maps."""
    image = keras.Input((24, 24, 3))
    x = L.ZeroPadding2D(((1, 2), (0, 3)))(conv(image, 4, 1))
    x = L.Cropping2D(((0, 1), (2, 1)))(x)
    both = [L.MaxPooling2D(3, strides=2, padding="same")(x), L.AveragePooling2D(3, strides=2, padding="same")(x)]
    x = L.Subtract()([L.Multiply()(both), L.Average()(both)])
    x = L.UpSampling2D(2, interpolation="nearest")(L.Maximum()([x, both[0]]))
    x = L.Minimum()([x, L.UpSampling2D(2, interpolation="bicubic")(both[1])])
    parts = [L.GlobalMaxPooling2D()(x), L.GlobalAveragePooling2D()(x)]
    if hasattr(L, "AdaptiveAveragePooling2D"):
        parts += [
            L.Flatten()(L.AdaptiveAveragePooling2D(2)(x)),
            L.Flatten()(L.AdaptiveMaxPooling2D(2)(x)),
        ]
    x = L.Dense(3, activation="softmax")(L.Concatenate()(parts))
    write(
        "pooling",
        keras.Model(image, x),
        "Pooling of every kind, padding, cropping, UpSampling2D, merges.",
        ends=("h5",),
    )


def one_dimension():
    """A picture read as a sequence of rows, with every layer for sequences that convolves or pools."""
    image = keras.Input((24, 24, 1))
    x = L.Reshape((24, 24))(image)
    x = L.Conv1D(4, 3, padding="causal", activation="relu")(x)
    x = L.SeparableConv1D(4, 3, padding="same")(L.ZeroPadding1D(1)(x))
    x = L.DepthwiseConv1D(3, padding="same", activation="relu")(L.Cropping1D(1)(x))
    x = L.SpatialDropout1D(0.1)(L.UpSampling1D(2)(L.AveragePooling1D(2)(x)))
    x = L.Conv1DTranspose(4, 3, strides=2, padding="same")(L.MaxPooling1D(2)(x))
    x = [L.GlobalAveragePooling1D()(x), L.GlobalMaxPooling1D()(x)] + [
        L.Flatten()(kind(2)(x)) for kind in (L.AdaptiveAveragePooling1D, L.AdaptiveMaxPooling1D)
    ]
    x = L.Concatenate()(x)
    model = keras.Model(image, L.Dense(3, activation="softmax")(x))
    write(
        "one_dimension",
        model,
        "Conv1D, its separable, depthwise and transposed kinds over the rows of a picture.",
        ends=("h5",),
    )


def volumes():
    """A volume with every layer for volumes."""
    image = keras.Input((10, 12, 12, 1))
    x = L.ZeroPadding3D(1)(L.Conv3D(3, 3, activation="relu")(image))
    x = L.SpatialDropout3D(0.1)(L.Add()([L.MaxPooling3D(2)(x), L.AveragePooling3D(2)(x)]))
    x = L.Conv3DTranspose(3, 2, strides=2)(x)
    x = L.UpSampling3D(2)(L.Cropping3D(1)(L.BatchNormalization()(x)))
    x = [L.GlobalAveragePooling3D()(x), L.GlobalMaxPooling3D()(x)] + [
        L.Flatten()(kind(2)(x)) for kind in (L.AdaptiveAveragePooling3D, L.AdaptiveMaxPooling3D)
    ]
    x = L.Concatenate()(x)
    model = keras.Model(image, L.Dense(2, activation="softmax")(x))
    write("volumes", model, "A volume of 10 x 12 x 12 with Conv3D, Conv3DTranspose and pooling.", ends=("h5",))


def recurrent():
    """Recurrent layers over the rows of a map."""
    image = keras.Input((16, 16, 3))
    x = L.Reshape((8, 32))(conv(image))
    x = L.Masking(0.0)(x)
    x = L.Bidirectional(L.GRU(3, return_sequences=True), merge_mode="sum")(x)
    x = L.TimeDistributed(L.Dense(4, activation="tanh"))(x)
    x = L.SimpleRNN(4, return_sequences=True)(x)
    x = L.RNN(L.StackedRNNCells([L.LSTMCell(3), L.GRUCell(3), L.SimpleRNNCell(3)]), return_sequences=True)(x)
    x = L.LSTM(4, go_backwards=True)(x)
    x = L.Flatten()(L.Permute((2, 1))(L.RepeatVector(2)(x)))
    model = keras.Model(image, L.Dense(3, activation="softmax")(x))
    write(
        "recurrent",
        model,
        "Masking, Bidirectional, TimeDistributed, RNN of stacked cells and LSTM over rows.",
    )


def convolved_recurrent():
    """Convolutional recurrent layers over the rows and the patches of a picture."""
    image = keras.Input((16, 16, 3))
    rows = L.ConvLSTM1D(3, 3, padding="same")(image)
    patches = L.Reshape((4, 4, 16, 3))(image)
    patches = L.ConvLSTM2D(3, (3, 5), padding="same", return_sequences=False)(patches)
    blocks = L.ConvLSTM3D(2, 2)(L.Reshape((2, 8, 4, 4, 3))(image))
    ends = [L.GlobalAveragePooling1D()(rows), L.GlobalMaxPooling2D()(patches), L.GlobalMaxPooling3D()(blocks)]
    x = L.Concatenate()(ends)
    model = keras.Model(image, L.Dense(3, activation="softmax")(x))
    write(
        "convlstm",
        model,
        "ConvLSTM1D over rows, ConvLSTM2D over strips and ConvLSTM3D over blocks of a picture.",
        ends=("h5",),
    )


def patches():
    """A small network applied to each patch."""
    image = keras.Input((24, 24, 3))
    x = L.Permute((1, 3, 2, 4, 5))(L.Reshape((3, 8, 3, 8, 3))(image))
    x = L.TimeDistributed(L.Conv2D(4, 3, activation="relu"))(L.Reshape((9, 8, 8, 3))(x))
    x = L.TimeDistributed(L.BatchNormalization())(x)
    x = L.TimeDistributed(L.GlobalAveragePooling2D())(x)
    model = keras.Model(image, L.Dense(3, activation="softmax")(L.GlobalMaxPooling1D()(x)))
    write("patches", model, "TimeDistributed(Conv2D) over nine patches of a picture.", ends=("h5",))


def attention():
    """Every attention layer over the places of a map."""
    image = keras.Input((16, 16, 3))
    x = L.Reshape((16, 8))(L.Conv2D(8, 4, strides=4)(image))
    x = L.Attention(use_scale=True)([x, x]) + x
    x = L.AdditiveAttention()([x, x, x]) + x
    x = L.LayerNormalization()(x)
    x = L.MultiHeadAttention(2, 4, value_dim=3)(x, x) + x
    if hasattr(L, "GroupQueryAttention"):
        x = L.GroupQueryAttention(4, 4, 2)(x, x) + x
    x = L.Dot(axes=(2, 1))([L.Softmax()(L.Dot(axes=(2, 2))([x, x])), x])
    x = L.EinsumDense("abc,cd->abd", output_shape=(None, 6), bias_axes="d", activation="gelu")(x)
    model = keras.Model(image, L.Dense(3, activation="softmax")(L.GlobalAveragePooling1D()(x)))
    write(
        "attention",
        model,
        "Attention, AdditiveAttention, MultiHeadAttention, GroupQueryAttention, EinsumDense.",
    )


def norms():
    """Every normalisation layer."""
    image = keras.Input((16, 16, 3))
    x = L.SpectralNormalization(L.Conv2D(4, 3, padding="same", groups=1))(image)
    x = L.GroupNormalization(2)(x)
    x = L.SeparableConv2D(6, 3, dilation_rate=2, activation="relu")(x)
    x = L.LayerNormalization(axis=[1, 2, 3])(x)
    if hasattr(L, "RMSNormalization"):
        x = L.RMSNormalization()(x)
    x = L.GroupNormalization(-1)(L.Conv2D(6, 3, groups=2)(x))
    x = L.BatchNormalization(center=False)(L.UnitNormalization()(x))
    x = L.Flatten()(L.AveragePooling2D(5)(x))
    what = "SpectralNormalization, GroupNormalization, LayerNormalization of maps, RMSNormalization, UnitNormalization."
    write("norms", keras.Model(image, L.Dense(3, activation="softmax")(x)), what)


def activations():
    """Every activation, by name and as a layer, and every layer of noise."""
    image = keras.Input((16, 16, 3))
    x = L.Conv2D(3, 3, activation="mish")(L.Rescaling(4.0, offset=-2.0)(image))
    names = ("elu", "selu", "softplus", "softsign", "silu", "gelu", "mish", "leaky_relu", "hard_silu", "relu6", "celu")
    names += ("hard_tanh", "log_sigmoid", "sparse_plus", "squareplus", "soft_shrink", "hard_shrink", "tanh_shrink")
    x = L.Average()([L.Activation(name)(x) for name in names if hasattr(keras.activations, name)])
    x = L.PReLU(shared_axes=[1, 2])(L.LeakyReLU(0.1)(L.Conv2D(3, 1, activation="tanh")(x)))
    x = L.ReLU(max_value=30.0, negative_slope=0.1, threshold=0.05)(L.ELU(0.5)(x))
    x = L.GaussianDropout(0.1)(L.GaussianNoise(0.1)(L.AlphaDropout(0.1)(x)))
    x = L.Identity()(L.SpatialDropout2D(0.1)(L.ActivityRegularization(1e-4)(L.Dropout(0.1)(x))))
    x = L.Softmax()(L.Dense(3)(L.GlobalMaxPooling2D()(x)))
    write(
        "activations",
        keras.Model(image, x),
        "Every activation of this Keras, the layers of noise, and a Softmax layer.",
        ends=("h5",),
    )


# ---- number formats


def half_precision(policy):
    """A network under a policy of mixed precision, with a nested backbone."""

    def make():
        keras.config.set_dtype_policy(policy)
        image = keras.Input((32, 32, 3))
        x = L.Dense(3)(L.GlobalAveragePooling2D()(backbone()(L.Rescaling(1 / 255.0)(image))))
        model = keras.Model(image, L.Activation("softmax", dtype="float32")(x))
        keras.config.set_dtype_policy("float32")
        write(policy, model, f"{policy} with a nested backbone and a softmax in float32.", LEVELS)

    make.__name__ = policy
    return make


def parts_in_half():
    """Only some layers compute in half precision, one with autocast=False."""
    image = keras.Input((16, 16, 3))
    x = L.Conv2D(4, 3, activation="relu", dtype="float16")(image)
    x = L.Conv2D(4, 3, activation="relu", dtype="mixed_bfloat16")(x)
    x = L.Activation("relu", dtype="float32", autocast=False)(x)
    model = keras.Model(image, L.Dense(3, activation="softmax", dtype="float64")(L.GlobalAveragePooling2D()(x)))
    write("parts_in_half", model, "Layers of float16, mixed_bfloat16, float32 with autocast=False, and float64.")


def eight_bits():
    """Dense layers quantised to eight bits."""
    image = keras.Input((16, 16, 3))
    x = L.Dense(8, activation="relu")(L.Flatten()(L.MaxPooling2D()(conv(image))))
    model = keras.Model(image, L.Dense(3, activation="softmax")(x))
    write("int8", model, 'Dense layers quantised by model.quantize("int8").', then=lambda net: net.quantize("int8"))


# ---- heads


def head(name, what, make_end, **more):
    """A small network with another end."""

    def make():
        image = keras.Input((16, 16, 3))
        x = conv(image, 5)
        write(f"head_{name}", keras.Model(image, make_end(x)), what, **more)

    make.__name__ = f"head_{name}"
    return make


def softmaxes(x):
    """The average of three softmax heads."""
    return L.Average()([pooled(x), L.Dense(3, "softmax")(L.Flatten()(x)), pooled(L.MaxPooling2D()(x))])


def many_sigmoids(x):
    """Three heads of one sigmoid each, joined."""
    x = L.GlobalAveragePooling2D()(x)
    return L.Concatenate()([L.Dense(1, activation="sigmoid", name=f"is_{name}")(x) for name in "abc"])


HEADS = (
    head("average", "The average of three softmax heads: probabilities.", softmaxes),
    head(
        "pooled_softmax",
        "A softmax over the classes at each place, pooled afterwards: probabilities.",
        lambda x: L.GlobalAveragePooling2D()(L.Conv2D(3, 1, activation="softmax")(x)),
    ),
    head("sigmoids", "Three sigmoid heads concatenated: probabilities.", many_sigmoids),
    head("regression", "Two linear units: a regression of x and y.", lambda x: pooled(x, 2, "linear")),
    head("hard_sigmoid", "Three units with hard_sigmoid.", lambda x: pooled(x, 3, "hard_sigmoid"), ends=("h5",)),
    head("tanh", "One unit with tanh, between -1 and 1.", lambda x: pooled(x, 1, "tanh"), ends=("h5",)),
    head("operation", "keras.ops.softmax as the last operation.", lambda x: ops.softmax(pooled(x, 4, None))),
)


@keras.saving.register_keras_serializable("corpus")
class Focal(keras.losses.Loss):
    """A loss of the project's own, which only the training config names."""

    def call(self, truth, given):
        """Computes nothing of interest."""
        return ops.mean(ops.square(truth - given))


def compiled(name, what, units, activation, loss, trained=False, **more):
    """A small network that was compiled, and perhaps trained for one step."""

    def make():
        image = keras.Input((16, 16, 3))
        model = keras.Model(image, pooled(conv(conv(image), 5, 1), units, activation))
        model.compile("adam", loss() if isinstance(loss, type) else loss, metrics=["accuracy"])
        if trained:
            model.fit(images((16, 16, 3)), np.array([0, 1]), verbose=0)
        write(f"compiled_{name}", model, what, **more)

    make.__name__ = f"compiled_{name}"
    return make


COMPILED = (
    compiled(
        "binary",
        "One linear unit compiled with BinaryCrossentropy(from_logits=True).",
        1,
        None,
        keras.losses.BinaryCrossentropy(from_logits=True),
        from_logits=True,
    ),
    compiled(
        "sparse",
        "Four linear units compiled with SparseCategoricalCrossentropy(from_logits=True), fitted.",
        4,
        None,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        trained=True,
        from_logits=True,
    ),
    compiled("custom", "Softmax compiled with a loss class of the project's own.", 3, "softmax", Focal),
    compiled("mean", "Three linear units compiled with the mean squared error.", 3, None, "mean_squared_error"),
)


# ---- whole architectures


@keras.saving.register_keras_serializable("corpus")
class Gain(L.Layer):
    """Multiplies each channel by a learnt number, as a layer of the project's own."""

    def build(self, shape):
        """Makes the numbers."""
        self.gain = self.add_weight(shape=(shape[-1],), initializer="ones", name="gain")

    def call(self, x):
        """Multiplies."""
        return x * self.gain


def own_layer():
    """A registered layer of the project's own, which nothing but its code opens."""
    image = keras.Input((16, 16, 3))
    what = "A custom layer, registered by the project that wrote the file."
    write("own_layer", keras.Model(image, pooled(Gain()(conv(image)))), what, expect="refused")


def transformer():
    """A vision transformer whose class token is made by operations."""
    image = keras.Input((16, 16, 3))
    x = L.Reshape((16, 8))(L.Conv2D(8, 4, strides=4, name="patches")(L.Rescaling(1 / 255.0)(image)))
    x = L.Concatenate(axis=1)([L.Dense(8, name="token")(ops.sum(x, axis=1, keepdims=True) * 0.0), x])
    y = L.LayerNormalization(epsilon=1e-6)(x)
    x = x + L.MultiHeadAttention(2, 4)(y, y)
    x = x + L.Dense(8, activation="gelu")(x)
    x = L.LayerNormalization(epsilon=1e-6)(x)[:, 0]
    model = keras.Model(image, L.Dense(3, activation="softmax")(x))
    write("vit", model, "A ViT; its class token is made by operations and taken by slicing.", LEVELS)


def unet():
    """A network that gives a map of classes."""
    image = keras.Input((24, 24, 1))
    first = conv(image, 4, 1)
    second = L.Dropout(0.1)(conv(L.MaxPooling2D()(first), 5, 1))
    x = L.Concatenate()([L.Conv2DTranspose(4, 2, strides=2)(second), first])
    write(
        "unet", keras.Model(image, L.Conv2D(3, 1, activation="softmax")(x)), "A U-Net with three classes at each place."
    )


def lambda_layer():
    """A Lambda with Python code, which nothing but trust opens."""
    image = keras.Input((16, 16, 3))
    x = L.Lambda(lambda t: t / 255.0 - 0.5)(image)
    write("lambda", keras.Model(image, pooled(conv(x))), "A Lambda of Python code.", LEVELS, expect="refused")


def application(name, end, options, feeds, ways=("flat",), size=32, ends=("keras",)):
    """A network of keras.applications with random weights, cut at a layer, under a head.

    "flat" continues the network's own graph, "nested" calls it as a layer, "first" puts it into a Sequential.
    """

    def make():
        for way in ways:
            keras.backend.clear_session()
            base = options(name, size)
            cut = end if isinstance(end, str) else base.layers[end].name
            cut = keras.Model(base.input, base.get_layer(cut).output, name=base.name)
            if way == "flat":
                model = keras.Model(cut.input, pooled(cut.output))
            elif way == "nested":
                image = keras.Input((size, size, 3))
                model = keras.Model(image, pooled(L.Dropout(0.2)(cut(image, training=False))))
            else:
                model = keras.Sequential([cut, L.GlobalAveragePooling2D(), L.Dense(3, activation="softmax")])
                model.build((None, size, size, 3))
            what = f"The beginning of keras.applications' {name} with random weights under a head, {way}."
            write(f"{name.lower()}_{way}", model, what, feeds, ends=ends)

    make.__name__ = name
    return make


def public(**more):
    """Builds a network of keras.applications by its public name."""

    def build(name, size):
        return getattr(keras.applications, name)(input_shape=(size, size, 3), weights=None, include_top=False, **more)

    return build


def convnext(name, size):
    """ConvNeXt with one thin block in each stage; its layers of scale and of stochastic depth are Keras's own."""
    module = importlib.import_module("keras.src.applications.convnext")
    given = {"include_top": False, "weights": None, "input_shape": (size, size, 3), "drop_path_rate": 0.1}
    return module.ConvNeXt(depths=[1, 1, 1, 1], projection_dims=[4, 6, 8, 8], **given)


def nasnet(name, size):
    """NASNet with few filters."""
    module = importlib.import_module("keras.src.applications.nasnet")
    given = {"include_top": False, "weights": None, "input_shape": (size, size, 3), "default_size": size}
    return module.NASNet(penultimate_filters=96, num_blocks=1, stem_block_filters=4, skip_reduction=False, **given)


APPLICATIONS = (
    application("MobileNet", "conv_pw_1_relu", public(alpha=0.25), SIGNED, ("nested",)),
    application("MobileNetV2", "expanded_conv_project_BN", public(alpha=0.35), SIGNED, ("nested",), ends=("h5",)),
    application("MobileNetV3Small", 8, public(alpha=0.5), LEVELS, ("nested",), ends=("h5",)),
    application("EfficientNetB0", "block1a_activation", public(), LEVELS, ("first",)),
    application("ConvNeXtTiny", 10, convnext, LEVELS, ("nested",)),
    application("NASNetMobile", 13, nasnet, SIGNED, ("nested",), ends=("h5",)),
    application("InceptionV3", 3, public(), SIGNED, ("nested",), 76, ("h5",)),
)

CHOSEN = {
    0: (
        functional_in_sequential,
        sequential_as_output,
        same_classes,
        other_scripts,
        pair,
    ),
    3: (
        functional_in_sequential,
        functional_as_output,
        several_ends,
        two_inside,
        metadata,
        dictionary_of_one_input,
        preprocessed("vgg16"),
    ),
    5: (
        siamese,
        half_precision("mixed_bfloat16"),
        preprocessed("densenet"),
        APPLICATIONS[1],
    ),
    8: (
        preprocessed("mobilenet_v2"),
        parts_in_half,
        transformer,
        COMPILED[1],
        lambda_layer,
    ),
    15: (
        dictionary_of_outputs,
        preprocessed("resnet50"),
        by_hand,
        normalised,
        operations,
        GEOMETRIC,
        COLOURED,
        MIXED_PICTURES,
        equalised,
        pipeline,
        pooling,
        one_dimension,
        volumes,
        recurrent,
        convolved_recurrent,
        patches,
        attention,
        norms,
        activations,
        eight_bits,
        *HEADS,
        COMPILED[0],
        COMPILED[2],
        own_layer,
        unet,
        APPLICATIONS[2],
        application("MobileNetV2", "expanded_conv_project_BN", public(alpha=0.35), SIGNED, ("flat",), ends=("h5",)),
        *APPLICATIONS[4:],
    ),
}

if __name__ == "__main__":
    run(CHOSEN[VERSION[1]], keras.backend.clear_session)
