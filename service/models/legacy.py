"""Configs written by Keras 2, rewritten so that Keras 3 builds the same network from them.

Works on plain JSON values before Keras sees them; a config that Keras 3 wrote itself passes through unchanged.
What is repaired, with the Keras version that wrote it, is in the docstring of each step.
"""

from __future__ import annotations

from typing import Any

from service.errors import ModelNotLoadable

Config = dict[str, Any]

CONTAINERS = {
    "Sequential": "keras",
    "Functional": "keras.src.models.functional",
    "Model": "keras.src.models.functional",
}
UNSUPPORTED = {
    "Lambda": "it carries Python code",
    "TFOpLambda": "tf.keras recorded a TensorFlow function in it",
    "SlicingOpLambda": "tf.keras recorded a slice in it",
    "TensorFlowOpLayer": "tf.keras recorded a TensorFlow operation in it",
}
# Keys Keras 2 wrote that Keras 3's constructors refuse.
REMOVED_KEYS = {
    "DepthwiseConv2D": ("groups",),
    "SeparableConv2D": ("groups",),
    "Conv2DTranspose": ("groups",),
    "BatchNormalization": ("renorm", "renorm_clipping", "renorm_momentum", "fused", "virtual_batch_size", "adjustment"),
    "InputLayer": ("ragged",),
}


def repair(config: Config) -> Config:
    """The model config Keras 3 understands, from one written by any Keras since 2.0.

    Raises ModelNotLoadable when a layer holds code or the config is no model's.
    """
    if not isinstance(config, dict) or config.get("class_name") not in CONTAINERS:
        name = config.get("class_name") if isinstance(config, dict) else type(config).__name__
        raise ModelNotLoadable(
            f"the architecture is a {name!r}; only Sequential and Functional models can be loaded, "
            "because the layers of a subclassed model are not in its file"
        )
    if "module" in config:
        return config
    return _layer(config)


def _layer(layer: Config) -> Config:
    if not isinstance(layer, dict) or not isinstance(layer.get("class_name"), str):
        raise ModelNotLoadable("the architecture has a layer without a class name")
    if "module" in layer:
        return layer
    name = layer["class_name"].removeprefix("Custom>")
    if name in UNSUPPORTED:
        raise ModelNotLoadable(f"layer {layer.get('name')!r} is a {name}: {UNSUPPORTED[name]}, so it cannot be loaded")
    if name in CONTAINERS:
        return _container(layer, name)
    config = _without_initializer_dtypes(layer.get("config", {}))
    for key in REMOVED_KEYS.get(name, ()):
        config.pop(key, None)
    axis = config.get("axis")
    if name in ("BatchNormalization", "LayerNormalization") and isinstance(axis, list) and len(axis) == 1:
        config["axis"] = axis[0]
    if name == "InputLayer" and "batch_input_shape" in config:
        config["batch_shape"] = config.pop("batch_input_shape")
    return layer | {"class_name": name, "module": "keras.layers", "registered_name": None, "config": config}


def _container(layer: Config, name: str) -> Config:
    """A Sequential whose config is a bare list (Keras < 2.2.3) gets a dict; `Model` (Keras < 2.2.3) is Functional."""
    config = layer.get("config", {})
    if isinstance(config, list):
        config = {"name": layer.get("name", "sequential"), "layers": config}
    if not isinstance(config, dict) or not isinstance(config.get("layers"), list):
        raise ModelNotLoadable(f"the {name} model's config has no list of layers")
    layers = [_layer(inner) for inner in config["layers"]]
    if name == "Sequential":
        layers = _with_input_layer(layers)
    inner_name = "Sequential" if name == "Sequential" else "Functional"
    repaired = {key: value for key, value in config.items() if key != "build_input_shape"} | {"layers": layers}
    return layer | {"class_name": inner_name, "module": CONTAINERS[name], "registered_name": None, "config": repaired}


def _with_input_layer(layers: list[Config]) -> list[Config]:
    """A Sequential of Keras 2 names its input in the first layer's `batch_input_shape`; Keras 3 wants an InputLayer."""
    shape = None
    for index, layer in enumerate(layers):
        config = layer["config"]
        inner = config.get("layers", [{}])[0].get("config", {}) if "layers" in config else {}
        found = config.pop("batch_input_shape", None) or (inner.get("batch_shape") if index == 0 else None)
        shape = shape or (found if index == 0 else None)
    if layers and layers[0]["class_name"] != "InputLayer" and shape:
        entry = {"batch_shape": shape, "dtype": "float32", "name": "input"}
        layers = [
            {"class_name": "InputLayer", "module": "keras.layers", "registered_name": None, "config": entry},
            *layers,
        ]
    return layers


def _without_initializer_dtypes(config: Config) -> Config:
    """tf.keras 1.x wrote a `dtype` into initializers, which Keras 3's refuse; no weight depends on it."""
    clean = dict(config)
    for key, value in config.items():
        if key.endswith("_initializer") and isinstance(value, dict) and isinstance(value.get("config"), dict):
            inner = {name: item for name, item in value["config"].items() if name != "dtype"}
            clean[key] = value | {"config": inner}
    return clean
