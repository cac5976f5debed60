"""A model's config against the allow-list: what every layer is, and that every value in it is a plain one.

Works on JSON values before Keras sees any of them, on what Keras 3 writes and what Keras 2 wrote. Everything that is
wrong is found before anything is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from service.ingest import pure_layers
from service.ingest.code import PASSIVE
from service.ingest.graph import Wiring, check_functional
from service.ingest.operations import check_operation, is_operation
from service.ingest.values import (
    VALUE_KEYS,
    check_argument,
    check_dtype,
    check_name,
    check_object,
    check_plain,
    forbidden,
    short,
)
from service.ingest.verdict import Refused
from service.json_types import Json, JsonObject
from service.models.files.opening.contents import objects_in

_OBJECT_KEYS = VALUE_KEYS | {"name", "inbound_nodes", "build_config"}
_MODEL_KEYS = _OBJECT_KEYS | {"compile_config", "keras_version", "backend"}
_INNER = {"layers", "input_layers", "output_layers", "layer", "cell", "cells", "backward_layer", "function", "loss"}
_NOT_OF_A_LAYER = _INNER | {"optimizer", "type_spec"}
# Keys whose words hold dots and arrows, and are read by the layer alone.
_EQUATIONS = {"equation", "subscripts", "pattern"}
_SAID_AT_MOST = 12


@dataclass
class Config:
    """The walk over one config; `counts` says how often each layer class was met, `problems` all that is wrong."""

    extra: Collection[str]
    max_layers: int
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[Refused] = field(default_factory=list)

    def check_model(self, config: Json) -> None:
        """Raises Refused: `model.unsupported`, `.forbidden_class`, `.forbidden_value`, `.bad_graph` or `.too_large`.

        The sentence names everything that is at fault.
        """
        if not isinstance(config, dict) or not _is_text_of(config.get("class_name"), pure_layers.CONTAINERS):
            name = config.get("class_name") if isinstance(config, dict) else type(config).__name__
            raise Refused(
                "model.unsupported", f"the architecture is a {short(name)}, neither Sequential nor Functional"
            )
        if any(PASSIVE in item for item in objects_in(config)):
            raise Refused("model.forbidden_class", "the model holds an object that is made while the text is read")
        try:
            self._container(config)
        except Refused as refused:
            self.problems.append(refused)
        if self.problems:
            sentences = list(dict.fromkeys(problem.detail for problem in self.problems))
            more = [f"and {len(sentences) - _SAID_AT_MOST} more"] if len(sentences) > _SAID_AT_MOST else []
            raise Refused(self.problems[0].code, "; ".join([*sentences[:_SAID_AT_MOST], *more]))

    def _container(self, item: JsonObject) -> None:
        name = _class_of(item, _MODEL_KEYS)
        module, registered = item.get("module"), item.get("registered_name")
        if module not in pure_layers.CONTAINERS[name] or registered not in (None, name):
            raise forbidden(item)
        for key in ("keras_version", "backend", "name"):
            if not isinstance(item.get(key), str | None):
                raise Refused("model.forbidden_value", f"{key!r} is {short(item[key])}; it must be text")
        config = item.get("config")
        if name == "Sequential" and isinstance(config, list):
            config = {"layers": config}
        if not isinstance(config, dict) or not isinstance(config.get("layers"), list):
            raise Refused("model.bad_graph", f"the {name} model has no list of layers")
        for key, value in config.items():
            if key == "name":
                check_name(value)
            elif key == "dtype":
                check_dtype(value)
            elif key not in ("layers", "input_layers", "output_layers"):
                check_plain(key, value)
        if name == "Sequential" and any(
            isinstance(layer, dict) and layer.get("inbound_nodes") for layer in config["layers"]
        ):
            raise Refused("model.bad_graph", "a layer of a Sequential says what it is called with")
        before = len(self.problems)
        for layer in config["layers"]:
            self._collected(layer)
        if name != "Sequential" and len(self.problems) == before:
            check_functional(config, Wiring(check_name, check_argument))

    def _collected(self, layer: Json) -> None:
        """One layer after another, whatever is wrong with those before; but no end of them."""
        try:
            self._layer(layer)
        except Refused as refused:
            if refused.code == "model.too_large":
                raise
            self.problems.append(refused)

    def _layer(self, item: Json) -> None:
        if not isinstance(item, dict):
            raise Refused("model.bad_graph", f"a layer is {short(item)}; it must be an object")
        kind, module = item.get("class_name"), item.get("module")
        if _is_text_of(kind, pure_layers.CONTAINERS) and module in pure_layers.CONTAINERS[str(kind)]:
            self._container(item)
            return
        name = _class_of(item, _OBJECT_KEYS)
        if not self._is_known(item, name):
            raise forbidden(item)
        self.counts[f"{module or 'keras.layers'}:{name}"] += 1
        if self.counts.total() > self.max_layers:
            raise Refused("model.too_large", f"the model has more than {self.max_layers} layers")
        if "name" in item:
            check_name(item["name"])
        config = item.get("config", {})
        if not isinstance(config, dict):
            raise Refused("model.forbidden_value", f"the config of a {name} is {short(config)}; it must be an object")
        if is_operation(name):
            check_operation(name, config)
            return
        for key, value in config.items():
            self._check_value(name, key, value)

    def _is_known(self, item: JsonObject, name: str) -> bool:
        module, registered = item.get("module"), item.get("registered_name")
        if f"{module}:{name}" in self.extra and registered in (None, name):
            return True
        # What can open a file has no place in a network that sees pictures.
        return name not in pure_layers.FILE_KEYS and pure_layers.is_pure(module, name, registered)

    def _check_value(self, kind: str, key: str, value: Json) -> None:
        if key in pure_layers.WRAPPERS.get(kind, ()):
            for inner in value if isinstance(value, list) else [value]:
                if inner is not None:
                    self._layer(inner)
        elif key in _NOT_OF_A_LAYER and value is not None:
            raise Refused("model.forbidden_class", f"a {kind} has {key!r}: layers inside of it are not taken")
        elif key == "name":
            check_name(value)
        elif key == "dtype":
            check_dtype(value)
        elif key.endswith("activation"):
            self._check_activation(key, value)
        elif key.endswith("initializer"):
            check_object(key, value, "keras.initializers", pure_layers.INITIALIZERS, pure_layers.INITIALIZER_NAMES)
        elif key.endswith("regularizer"):
            check_object(key, value, "keras.regularizers", pure_layers.REGULARIZERS, pure_layers.REGULARIZER_NAMES)
        elif key.endswith("constraint"):
            check_object(key, value, "keras.constraints", pure_layers.CONSTRAINTS, pure_layers.CONSTRAINT_NAMES)
        elif key == "quantization_config":
            check_object(key, value, "keras.quantizers", pure_layers.OTHER_OBJECTS["keras.quantizers"], ())
        elif key in pure_layers.FILE_KEYS.get(kind, ()) and isinstance(value, str):
            raise Refused("model.forbidden_value", f"a {kind} has {key!r} {short(value)}: no file is opened")
        else:
            check_plain(key, value, equation=key in _EQUATIONS)

    def _check_activation(self, key: str, value: Json) -> None:
        if isinstance(value, dict):
            if pure_layers.is_activation_function(value):
                return
            if not _is_text_of(value.get("class_name"), pure_layers.ACTIVATION_LAYERS) or value.get("module") not in (
                None,
                "keras.layers",
            ):
                raise forbidden(value)
            self._layer(value)
        elif value is not None and not _is_text_of(value, pure_layers.ACTIVATIONS):
            raise Refused("model.forbidden_class", f"{key!r} is {short(value)}, which is no activation that is taken")


def _class_of(item: JsonObject, keys: set[str]) -> str:
    name = item.get("class_name")
    if not isinstance(name, str) or not isinstance(item.get("module"), str | None):
        raise forbidden(item)
    if unknown := set(item) - keys:
        raise Refused("model.forbidden_value", f"a {short(name)} has the key {short(min(unknown))}")
    return name


def _is_text_of(value: Json, names: Collection[str]) -> bool:
    return isinstance(value, str) and value in names
