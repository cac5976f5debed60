"""Tiny networks with weights set by hand, whose answers are worked out on paper, and what tests do with them.

All but a few share one body, `PENCIL`: a 2×3 grey image, a 1×1 convolution whose two channels are the positive and
the negative part of the image, and a head on the two means. On `IMAGE`:

    A_0 = relu(x)  = [[1, 2, 0], [0, 0, 4]]   mean 7/6
    A_1 = relu(-x) = [[0, 0, 1], [0, 3, 0]]   mean 4/6
    logits = W^T (7/6, 4/6) + b = (7, 9, -3, -11)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from service.explainers import BY_NAME
from service.explainers.base import Explanation, Progress
from service.explainers.layers import default_layer
from service.explainers.picture_sets import PictureSet
from service.explainers.subject import Subject
from service.explainers.targets import class_targets, parse_targets
from service.models.backends.tensorflow import TensorFlowBackend
from service.models.dialects.keras3 import KERAS_3
from service.models.files.opening.contents import contents_of_path
from service.models.files.sources import open_contents
from service.models.files.spec import HeadKind, ModelSpec
from service.models.graph.canonical import canonical
from service.models.graph.head import find_head
from service.models.graph.inputs import find_input
from service.models.graph.preprocess import NetworkInput, Region, prepare
from service.models.graph.scaling import find_scaling
from service.models.loaded import LoadedModel

IMAGE = np.array([[1, 2, -1], [0, -3, 4]], np.float32)[None, ..., None]
POSITIVE = np.array([[1, 2, 0], [0, 0, 4]], np.float32)
NEGATIVE = np.array([[0, 0, 1], [0, 3, 0]], np.float32)
WEIGHTS = np.array([[6, 0, -6, -6], [0, 12, 6, -6]], np.float32)
BIAS = np.array([0, 1, 0, 0], np.float32)
LOGITS = np.array([7, 9, -3, -11], np.float32)


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores.astype(np.float64) - scores.max())
    return powers / powers.sum()


def _split(x: Any) -> Any:
    """The convolution that splits an image into its positive and its negative part."""
    layer = layers.Conv2D(2, 1, activation="relu", use_bias=False, name="conv")
    y = layer(x)
    layer.set_weights([np.array([[[[1, -1]]]], np.float32)])
    return y


def _dense(x: Any, kernel: np.ndarray, bias: np.ndarray, name: str = "scores", activation: str | None = None) -> Any:
    layer = layers.Dense(len(bias), activation=activation, name=name)
    y = layer(x)
    layer.set_weights([kernel, bias])
    return y


def with_numbers(layer: str, number: float) -> Any:
    """The pencil network, with one number in place of every weight of a layer."""
    net = pencil()
    net.get_layer(layer).set_weights([np.full_like(each, number) for each in net.get_layer(layer).get_weights()])
    return net


def pencil(head: str = "softmax-string") -> Any:
    """Functional. `head`: softmax-string, softmax-layer, activation-layer, after-reshape, dropout, bare, relu."""
    x = keras.Input((2, 3, 1), name="image")
    y = layers.GlobalAveragePooling2D(name="gap")(_split(x))
    if head in ("softmax-string", "relu"):
        out = _dense(y, WEIGHTS, BIAS, activation="softmax" if head == "softmax-string" else "relu")
    else:
        y = _dense(y, WEIGHTS, BIAS)
        out = {
            "softmax-layer": lambda: layers.Softmax(name="probabilities")(y),
            "activation-layer": lambda: layers.Activation("softmax", name="probabilities")(y),
            "after-reshape": lambda: layers.Activation("softmax", name="probabilities")(
                layers.Reshape((4,), name="flat")(layers.Reshape((1, 1, 4), name="cell")(y))
            ),
            "before-reshape": lambda: layers.Reshape((4,), name="flat")(
                layers.Softmax(name="probabilities")(layers.Reshape((1, 1, 4), name="cell")(y))
            ),
            "dropout": lambda: layers.Dropout(0.5, name="dropout")(layers.Softmax(name="probabilities")(y)),
            "ops": lambda: keras.ops.softmax(y),
            "bare": lambda: y,
        }[head]()
    return keras.Model(x, out, name="pencil")


def pencil_sequential() -> Any:
    model = keras.Sequential(
        [
            keras.Input((2, 3, 1), name="image"),
            layers.Conv2D(2, 1, activation="relu", use_bias=False, name="conv"),
            layers.GlobalAveragePooling2D(name="gap"),
            layers.Dense(4, activation="softmax", name="scores"),
        ],
        name="pencil_sequential",
    )
    model.set_weights([np.array([[[[1, -1]]]], np.float32), WEIGHTS, BIAS])
    return model


FLAT = np.zeros((2, 3, 2, 2), np.float32)
FLAT[..., 0, 0] = [[1, 2, 3], [4, 5, 6]]
FLAT[..., 1, 0] = [[0, 0, 0], [0, 0, -6]]
FLAT[..., 1, 1] = [[6, 6, 6], [6, 6, 6]]


def pencil_flat() -> Any:
    """The body with a Dense over every cell, so the gradient differs from cell to cell.

    Logit 0: 1·1 + 2·2 + 6·4 - 0 = 29, mean gradients (3.5, -1). Logit 1: 6·(1 + 3) = 24, mean gradients (0, 6).
    """
    x = keras.Input((2, 3, 1), name="image")
    flat = layers.Flatten(name="flatten")(_split(x))
    return keras.Model(x, _dense(flat, FLAT.reshape(12, 2), np.zeros(2, np.float32), activation="softmax"))


def sigmoid_unit() -> Any:
    """z = 3·7/6 - 3·4/6 - 1 = 0.5 on IMAGE."""
    x = keras.Input((2, 3, 1), name="image")
    y = layers.GlobalAveragePooling2D(name="gap")(_split(x))
    kernel = np.array([[3], [-3]], np.float32)
    return keras.Model(x, _dense(y, kernel, np.array([-1], np.float32), activation="sigmoid"))


def two_outputs() -> Any:
    """The heads of `pencil` and of `sigmoid_unit` on one body."""
    x = keras.Input((2, 3, 1), name="image")
    y = layers.GlobalAveragePooling2D(name="gap")(_split(x))
    animals = _dense(y, WEIGHTS, BIAS, "animals", "softmax")
    kernel = np.array([[3], [-3]], np.float32)
    return keras.Model(x, [animals, _dense(y, kernel, np.array([-1], np.float32), "indoors", "sigmoid")])


def conv_head() -> Any:
    """No Dense: a 1×1 convolution to three maps, their means, softmax. Logits (7, 4, 11) / 6 on IMAGE."""
    x = keras.Input((2, 3, 1), name="image")
    layer = layers.Conv2D(3, 1, use_bias=False, name="class_maps")
    y = layer(_split(x))
    layer.set_weights([np.array([[[[1, 0, 1], [0, 1, 1]]]], np.float32)])
    y = layers.GlobalAveragePooling2D(name="gap")(y)
    return keras.Model(x, layers.Activation("softmax", name="probabilities")(y))


def segmentation() -> Any:
    """A map of class probabilities: no vector of class scores."""
    x = keras.Input((2, 3, 1), name="image")
    return keras.Model(x, layers.Softmax(name="probabilities")(_split(x)))


def without_maps() -> Any:
    x = keras.Input((2, 3, 1), name="image")
    y = layers.Flatten(name="flatten")(x)
    return keras.Model(x, _dense(y, np.eye(6, dtype=np.float32), np.zeros(6, np.float32)))


def random_net(seed: int = 3, size: tuple[int, int] = (7, 5), activation: str = "softmax") -> Any:
    """Two 3×3 convolutions, the first with stride 2, and a Dense: for comparison with NumPy in float64."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((*size, 2), name="image"),
            layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", bias_initializer="normal", name="first"),
            layers.Conv2D(3, 2, activation="tanh", bias_initializer="normal", name="second"),
            layers.Flatten(name="flatten"),
            layers.Dense(4, activation=activation, bias_initializer="normal", name="scores"),
        ]
    )


def loaded(model: Any, head: HeadKind | None = None, labels: tuple[str, ...] = (), **spec: Any) -> LoadedModel:
    """A warm model of a network that lies in no file."""
    model_spec = ModelSpec(id="tiny", weights="tiny.keras", head=head, folder=Path(), **spec)
    graph = canonical(model)
    image = find_input(graph, model_spec)
    scaling = find_scaling(model.name, graph, image.tensor, model_spec.preprocessing)
    return LoadedModel(
        spec=model_spec,
        keras_model=model,
        graph=graph,
        heads=tuple(find_head(graph, head, output) for output in range(len(graph.outputs))),
        labels=labels,
        input_shape=image.shape,
        preprocessing=scaling.preprocessing,
        preprocessing_assumed=scaling.assumed,
        digest="sha256:" + "0" * 64,
        weight_bytes=4 * model.count_params(),
        backend=TensorFlowBackend(),
        obstacle=image.obstacle,
    )


# What the layers of these networks are told, under the names that both Kerases have.
SHARED_KEYS = (
    "name", "filters", "kernel_size", "strides", "padding", "activation", "use_bias", "units", "target_shape", "rate",
    "axis", "size", "pool_size", "max_value", "epsilon", "momentum", "depth_multiplier", "dilation_rate", "alpha",
    "center", "scale", "groups",
)  # fmt: skip


def in_keras_2(model: Any) -> Any:
    """The same network, with the same weights, as a model of Keras 2."""
    import tf_keras

    functional = KERAS_3.functional(model)
    known = {
        symbol.key: tf_keras.Input(symbol.shape[1:], name=layer.name) for symbol, layer in KERAS_3.inputs(functional)
    }
    inputs = list(known.values())
    for call in KERAS_3.calls(functional):
        args, _ = call.fill(known)
        config = {key: value for key, value in call.operation.get_config().items() if key in SHARED_KEYS}
        layer = getattr(tf_keras.layers, type(call.operation).__name__)(**config)
        known[call.outputs[0].key] = layer(*args)
        layer.set_weights(call.operation.get_weights())
    outputs = [known[symbol.key] for symbol in KERAS_3.outputs(functional)]
    return tf_keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0], name=model.name)


def in_float64(model: Any) -> Any:
    """The same model of Keras 3 with the same weights, computed in float64."""

    def cloned(layer: Any) -> Any:
        return type(layer).from_config({**layer.get_config(), "dtype": "float64"})

    double = keras.models.clone_model(model, clone_function=cloned)
    double.set_weights(model.get_weights())
    return double


def opened(path: Path) -> Any:
    """The model in a file, by the Keras that wrote it."""
    return open_contents(contents_of_path(path), ModelSpec(id="opened", weights=path.name, folder=path.parent))


def explain(
    model: LoadedModel,
    name: str,
    image: np.ndarray = IMAGE,
    /,
    progress: Progress | None = None,
    chunk: int | None = None,
    sets: Mapping[str, np.ndarray] | None = None,
    **params: Any,
) -> Explanation:
    """One method on one preprocessed image, as the engine does it; `chunk` sets how many images a step takes, `sets`
    are batches of preprocessed pictures."""
    explainer = BY_NAME[name]
    parsed = explainer.Params.model_validate(params)
    head = model.head_of(getattr(parsed, "output", None))
    targets = class_targets(head)
    if explainer.targeted or getattr(parsed, "target", None):
        targets = parse_targets(getattr(parsed, "target", "top1"), model.graph, head, model.labels_for(head))
    backend = model.backend if chunk is None else _Cut(model.backend, chunk)
    given = network_input(model, image)
    found = {name: picture_set(batch) for name, batch in (sets or {}).items()}
    subject = Subject(backend, model.graph, given, targets, progress or Progress(), sets=found)
    explainer.check(subject, parsed)
    return explainer.explain(subject, parsed)


def picture_set(batch: np.ndarray) -> PictureSet:
    """Pictures (n, h, w, c) that are preprocessed already. They are drawn as grey levels that tell their places."""
    places = np.arange(len(batch), dtype=np.uint8)[:, None, None, None]
    pixels = np.broadcast_to(places, (*batch.shape[:3], 3))
    names = tuple(f"{place}.png" for place in range(len(batch)))
    return PictureSet(names, pixels, lambda pixels: batch[pixels[:, 0, 0, 0]])


class _Cut:
    """A backend that takes a fixed number of images a step."""

    def __init__(self, backend: TensorFlowBackend, size: int) -> None:
        self.ops, self.compiled, self.gradients = backend.ops, backend.compiled, backend.gradients
        self.ruled, self.value_and_gradient, self.scan = backend.ruled, backend.value_and_gradient, backend.scan
        self.fits, self.rows, self.share = backend.fits, backend.rows, backend.share
        self.relevances = backend.relevances
        self.shape, self.hessian_products = backend.shape, backend.hessian_products
        self._backend, self._size = backend, size
        self.chunk = lambda graph, shape, backward=False, seconds=0.5: size

    def incremental(self, *args: Any) -> Any:
        found = self._backend.incremental(*args)
        found.chunk = self._size
        return found


def run(model: LoadedModel, image: np.ndarray, *names: str) -> list[np.ndarray]:
    """Values of the canonical graph by name; the output without names."""
    graph = model.graph
    wanted = [graph.value(name) for name in names] or list(graph.outputs)
    feeds = {graph.inputs[0]: keras.ops.convert_to_tensor(image)}
    return [np.asarray(value) for value in graph.run(feeds, wanted)]


def state(model: Any) -> dict[str, Any]:
    """What must be the same before and after anything is done with a model."""
    return {
        "weights": [np.asarray(weight).tobytes() for weight in model.weights],
        "nodes": [(layer.name, len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in model.layers],
        "activations": [(layer.name, getattr(layer, "activation", None)) for layer in model.layers],
        "calls": [(layer.name, getattr(layer.call, "__func__", layer.call)) for layer in model.layers],
        "losses": len(model.losses),
    }


ADDITIVE = np.array([[1, -2, 3], [0.5, 2, -1]], np.float32)


def additive() -> Any:
    """Logit 0 is Σ ADDITIVE·x, logit 1 is 0."""
    x = keras.Input((2, 3, 1), name="image")
    kernel = np.stack([ADDITIVE.reshape(6), np.zeros(6, np.float32)], axis=1)
    return keras.Model(x, _dense(layers.Flatten(name="flatten")(x), kernel, np.zeros(2, np.float32)))


def bypassed() -> Any:
    """Score 0 is mean(A_0) + mean(x): the image goes round the convolution. Score 1 is its negative."""
    x = keras.Input((2, 3, 1), name="image")
    y = layers.GlobalAveragePooling2D(name="gap")(_split(x))
    both = layers.Concatenate(name="both")([y, layers.GlobalAveragePooling2D(name="around")(x)])
    kernel = np.array([[1, -1], [0, 0], [1, -1]], np.float32)
    return keras.Model(x, _dense(both, kernel, np.zeros(2, np.float32)))


def with_activation(activation: Any) -> Any:
    """The body of PENCIL with another activation, as a string on the convolution or as a layer of its own."""
    as_string = isinstance(activation, str)
    x = keras.Input((2, 3, 1), name="image")
    conv = layers.Conv2D(2, 1, activation=activation if as_string else None, use_bias=False, name="conv")
    y = conv(x)
    conv.set_weights([np.array([[[[1, -1]]]], np.float32)])
    y = y if as_string else type(activation).from_config(activation.get_config())(y)
    return keras.Model(x, _dense(layers.GlobalAveragePooling2D(name="gap")(y), WEIGHTS, BIAS))


def smooth_net() -> Any:
    """Builds a network as `random_net` does, without a kink anywhere."""
    keras.utils.set_random_seed(5)
    return keras.Sequential(
        [
            keras.Input((7, 5, 3), name="image"),
            layers.Conv2D(4, 3, activation="tanh", bias_initializer="normal", name="first"),
            layers.Flatten(name="flatten"),
            layers.Dense(4, activation="softmax", bias_initializer="normal", name="scores"),
        ]
    )


def network_input(model: LoadedModel, image: np.ndarray) -> NetworkInput:
    """An image that is preprocessed already, with the colours of the model's own preprocessing."""
    shape = model.input_shape
    pixel = np.zeros((shape.height, shape.width, shape.channels), np.float32)
    colour = prepare(pixel, shape, model.spec.input, model.preprocessing).colour
    return NetworkInput(image, Region(0, 0, shape.height, shape.width), colour)


def one_dead_filter() -> Any:
    """A_0 = relu(x), A_1 = relu(-x), A_2 = relu(-1): 0 whatever the image."""
    x = keras.Input((2, 3, 1), name="image")
    layer = layers.Conv2D(3, 1, activation="relu", name="conv")
    y = layer(x)
    layer.set_weights([np.array([[[[1, -1, 0]]]], np.float32), np.array([0, 0, -1], np.float32)])
    return keras.Model(x, layers.GlobalAveragePooling2D(name="gap")(y), name="one_dead_filter")


def any_size_net(seed: int = 4, side: int | None = None, channels: int = 3) -> Any:
    """Fully convolutional up to its head: takes images of every size from 9 px on."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((side, side, channels), name="image"),
            layers.Conv2D(6, 3, strides=2, activation="relu6", bias_initializer="normal", name="first"),
            layers.Conv2D(5, 3, activation="relu", bias_initializer="normal", name="second"),
            layers.GlobalAveragePooling2D(name="gap"),
            layers.Dense(4, activation="softmax", bias_initializer="normal", name="scores"),
        ]
    )


def run_logits(factor: float) -> np.ndarray:
    """The pencil net's logits of IMAGE times a factor, on paper."""
    positive, negative = (np.maximum(sign * factor * IMAGE, 0).mean() for sign in (1, -1))
    return np.array([positive, negative]) @ WEIGHTS + BIAS


def default_path(model: LoadedModel) -> str:
    """The layer that class activation maps take of a model."""
    return default_layer(model.graph).path
