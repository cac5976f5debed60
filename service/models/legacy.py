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
    "__lambda__": "it is Python code",
}
# Keys Keras 2 wrote that Keras 3's constructors refuse.
_OF_PLAIN_CONVOLUTIONS = ("groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint")
REMOVED_KEYS = {
    "DepthwiseConv2D": _OF_PLAIN_CONVOLUTIONS,
    "SeparableConv2D": _OF_PLAIN_CONVOLUTIONS,
    "Conv2DTranspose": ("groups",),
    "BatchNormalization": ("renorm", "renorm_clipping", "renorm_momentum", "fused", "virtual_batch_size", "adjustment"),
    "InputLayer": ("ragged",),
}
RENAMED_KEYS = {"LeakyReLU": {"alpha": "negative_slope"}, "InputLayer": {"batch_input_shape": "batch_shape"}}


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
    refuse_code(config)
    if "module" in config:
        return config
    return _layer(config)


def refuse_code(config: Any) -> None:
    """Raises ModelNotLoadable when a layer anywhere in a config, of Keras 2 or 3, holds code."""
    stack = [config]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        if not isinstance(item, dict):
            continue
        stack.extend(item.values())
        kind = str(item.get("class_name", "")).removeprefix("Custom>")
        if kind in UNSUPPORTED:
            inner = item.get("config")
            name = item.get("name") or (inner.get("name") if isinstance(inner, dict) else None)
            what = f"layer {name!r}" if name else "a part of the architecture"
            raise ModelNotLoadable(f"{what} is a {kind}: {UNSUPPORTED[kind]}, so it cannot be loaded")


def _layer(layer: Config) -> Config:
    if not isinstance(layer, dict) or not isinstance(layer.get("class_name"), str):
        raise ModelNotLoadable("the architecture has a layer without a class name")
    if "module" in layer:
        return layer
    name = layer["class_name"].removeprefix("Custom>")
    if name in CONTAINERS:
        return _container(layer, name)
    if not isinstance(layer.get("config", {}), dict):
        raise ModelNotLoadable(f"the architecture has a {name} whose config is no object")
    config = _plain_values(layer.get("config", {}))
    for key in REMOVED_KEYS.get(name, ()):
        config.pop(key, None)
    for old, new in RENAMED_KEYS.get(name, {}).items():
        if old in config:
            config[new] = config.pop(old)
    axis = config.get("axis")
    if name in ("BatchNormalization", "LayerNormalization") and isinstance(axis, list) and len(axis) == 1:
        config["axis"] = axis[0]
    renamed = {key: _without_slashes(layer[key]) for key in ("name", "inbound_nodes") if key in layer}
    if "name" in config:
        config["name"] = _without_slashes(config["name"])
    return layer | renamed | {"class_name": name, "module": "keras.layers", "registered_name": None, "config": config}


def _container(layer: Config, name: str) -> Config:
    """A Sequential whose config is a bare list (Keras < 2.2.3) gets a dict; `Model` (Keras < 2.2.3) is Functional."""
    config = layer.get("config", {})
    if isinstance(config, list):
        config = {"name": layer.get("name", "sequential"), "layers": config}
    if not isinstance(config, dict) or not isinstance(config.get("layers"), list):
        raise ModelNotLoadable(f"the {name} model's config has no list of layers")
    layers = [_layer(inner) for inner in config["layers"]]
    repaired = {key: value for key, value in config.items() if key != "build_input_shape"}
    stated = [inner["config"].pop("batch_input_shape", None) for inner in layers]
    if name == "Sequential":
        repaired["layers"] = _with_input_layer(layers, stated[0] if stated else None, config.get("build_input_shape"))
    else:
        ends = {key: _bare_end(config[key]) for key in ("input_layers", "output_layers") if key in config}
        repaired |= {"layers": layers, **ends}
    renamed = {key: _without_slashes(layer[key]) for key in ("name", "inbound_nodes") if key in layer}
    kind = {"class_name": "Sequential" if name == "Sequential" else "Functional", "module": CONTAINERS[name]}
    return layer | renamed | kind | {"registered_name": None, "config": repaired}


def _with_input_layer(layers: list[Config], first: Any, built: Any) -> list[Config]:
    """A Sequential of Keras 2 names its input in the first layer's `batch_input_shape`, that of a nested model's input
    or, built by its first call, in its own `build_input_shape`; Keras 3 wants an InputLayer."""
    if not layers or layers[0]["class_name"] == "InputLayer":
        return layers
    inner = layers[0]["config"].get("layers") or [{"config": {}}]
    shape = first or inner[0]["config"].get("batch_shape") or built
    if not shape:
        return layers
    entry = {"batch_shape": shape, "dtype": "float32", "name": "input"}
    return [
        {"class_name": "InputLayer", "module": "keras.layers", "registered_name": None, "config": entry},
        *layers,
    ]


def _bare_end(ends: Any) -> Any:
    """Keras 2 lists the inputs and outputs even of a model with one; Keras 3 would give a list of one value back."""
    single = isinstance(ends, list) and len(ends) == 1 and isinstance(ends[0], list)
    return _without_slashes(ends[0] if single else ends)


def _without_slashes(value: Any) -> Any:
    """Names as Keras 3 allows them: tf.keras's DenseNet has a layer `conv1/conv`. Weights are read by order."""
    if isinstance(value, str):
        return value.replace("/", "_")
    if isinstance(value, list):
        return [_without_slashes(item) for item in value]
    return value


def _plain_values(config: Config) -> Config:
    """Initializers without the `dtype` of tf.keras 1.x, which Keras 3's refuse and no weight depends on; arrays of
    Keras 2.2 (`{"type": "ndarray", "value": 0.3}`) as numbers; tf.keras's dtype policies as their names."""
    clean = dict(config)
    for key, value in config.items():
        if not isinstance(value, dict):
            continue
        inner = value.get("config")
        if value.get("type") == "ndarray":
            clean[key] = value.get("value")
        elif key == "dtype" and isinstance(inner, dict) and "name" in inner:
            clean[key] = inner["name"]
        elif key.endswith("_initializer") and isinstance(inner, dict):
            clean[key] = value | {"config": {name: item for name, item in inner.items() if name != "dtype"}}
    return clean
