"""A model's config against the allow-list: what every layer is, and that every value in it is a plain one.

Works on JSON values before Keras sees any of them, on what Keras 3 writes and what Keras 2 wrote.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from service.ingest import classes
from service.ingest.graph import Wiring, check_functional
from service.ingest.verdict import Refused

MAX_TEXT = 200
MAX_NUMBERS = 100_000
MAX_INTEGER = 2**31
NAME = re.compile(r"[A-Za-z0-9_.\-/]{1,128}")
_VALUE_KEYS = {"module", "class_name", "config", "registered_name", "shared_object_id"}
_OBJECT_KEYS = _VALUE_KEYS | {"name", "inbound_nodes", "build_config"}
_MODEL_KEYS = _OBJECT_KEYS | {"compile_config", "keras_version", "backend"}
_NOT_OF_A_LAYER = {"layers", "input_layers", "output_layers", "layer", "cell", "function", "loss", "optimizer"}


@dataclass
class Config:
    """The walk over one config; `counts` says how often each layer class was met."""

    extra: Collection[str]
    max_layers: int
    counts: Counter[str] = field(default_factory=Counter)

    def check_model(self, config: Any) -> None:
        """Raises Refused: `model.unsupported`, `.forbidden_class`, `.forbidden_value`, `.bad_graph` or `.too_large`."""
        if not isinstance(config, dict) or not _among(config.get("class_name"), classes.CONTAINERS):
            name = config.get("class_name") if isinstance(config, dict) else type(config).__name__
            raise Refused(
                "model.unsupported", f"the architecture is a {_short(name)}, neither Sequential nor Functional"
            )
        self._container(config, _MODEL_KEYS)

    def _container(self, item: dict[str, Any], keys: set[str]) -> None:
        name = self._class_of(item, keys)
        if item.get("module") not in classes.CONTAINERS[name] or item.get("registered_name") not in (None, name):
            raise _forbidden(item)
        config = item.get("config")
        if name == "Sequential" and isinstance(config, list):
            config = {"layers": config}
        if not isinstance(config, dict) or not isinstance(config.get("layers"), list):
            raise Refused("model.bad_graph", f"the {name} model has no list of layers")
        for key, value in config.items():
            if key == "name":
                _check_name(value)
            elif key == "dtype":
                _check_dtype(value)
            elif key not in ("layers", "input_layers", "output_layers"):
                _check_plain(key, value)
        for layer in config["layers"]:
            self._layer(layer)
        if name != "Sequential":
            check_functional(config, Wiring(_check_name, _check_argument))

    def _layer(self, item: Any) -> None:
        if not isinstance(item, dict):
            raise Refused("model.bad_graph", f"a layer is {_short(item)}; it must be an object")
        if _among(item.get("class_name"), classes.CONTAINERS) and not _is_plain_layer(item):
            self._container(item, _MODEL_KEYS)
            return
        name = self._class_of(item, _OBJECT_KEYS)
        module = item.get("module")
        if not classes.is_layer(module, name, self.extra) or item.get("registered_name") not in (None, name):
            raise _forbidden(item)
        self.counts[f"{module or 'keras.layers'}:{name}"] += 1
        if self.counts.total() > self.max_layers:
            raise Refused("model.too_large", f"the model has more than {self.max_layers} layers")
        if "name" in item:
            _check_name(item["name"])
        config = item.get("config", {})
        if not isinstance(config, dict):
            raise Refused("model.forbidden_value", f"the config of a {name} is {_short(config)}; it must be an object")
        for key, value in config.items():
            self._check_value(key, value)

    def _class_of(self, item: dict[str, Any], keys: set[str]) -> str:
        name = item.get("class_name")
        if not isinstance(name, str) or not isinstance(item.get("module"), str | None):
            raise _forbidden(item)
        if unknown := set(item) - keys:
            raise Refused("model.forbidden_value", f"a {_short(name)} has the key {_short(min(unknown))}")
        return name

    def _check_value(self, key: str, value: Any) -> None:
        if key in _NOT_OF_A_LAYER:
            raise Refused("model.forbidden_class", f"a layer has {key!r}: layers inside of layers are not taken")
        if key == "name":
            _check_name(value)
        elif key == "dtype":
            _check_dtype(value)
        elif key.endswith("activation"):
            self._check_activation(key, value)
        elif key.endswith("initializer"):
            _check_object(key, value, "keras.initializers", classes.INITIALIZERS, classes.INITIALIZER_NAMES)
        elif key.endswith("regularizer"):
            _check_object(key, value, "keras.regularizers", classes.REGULARIZERS, classes.REGULARIZER_NAMES)
        elif key.endswith("constraint"):
            _check_object(key, value, "keras.constraints", classes.CONSTRAINTS, classes.CONSTRAINT_NAMES)
        else:
            _check_plain(key, value)

    def _check_activation(self, key: str, value: Any) -> None:
        if isinstance(value, dict):
            if not _among(value.get("class_name"), classes.ACTIVATION_LAYERS) or value.get("module") not in (
                None,
                "keras.layers",
            ):
                raise _forbidden(value)
            self._layer(value)
        elif value is not None and not _among(value, classes.ACTIVATIONS):
            raise Refused("model.forbidden_class", f"{key!r} is {_short(value)}, which is no activation that is taken")


def _is_plain_layer(item: dict[str, Any]) -> bool:
    """Whether something with a container's name has no layers, so that it may be a layer of another module."""
    return item.get("module") not in classes.CONTAINERS[item["class_name"]]


def _check_object(key: str, value: Any, module: str, objects: Collection[str], names: Collection[str]) -> None:
    """An initializer and the like: a name, or an object with plain values."""
    if value is None or _among(value, names):
        return
    if not isinstance(value, dict) or not _among(value.get("class_name"), objects):
        raise (
            _forbidden(value)
            if isinstance(value, dict)
            else Refused("model.forbidden_class", f"{key!r} is {_short(value)}, which is none that is taken")
        )
    if value.get("module") not in (None, module) or value.get("registered_name") not in (None, value["class_name"]):
        raise _forbidden(value)
    if set(value) - _VALUE_KEYS or not isinstance(value.get("config", {}), dict):
        raise Refused("model.forbidden_value", f"{key!r} has keys that it must not have")
    for name, inner in value.get("config", {}).items():
        _check_dtype(inner) if name == "dtype" else _check_plain(name, inner)


def _check_dtype(value: Any) -> None:
    if isinstance(value, dict):
        config = value.get("config")
        policy = value.get("class_name") in ("DTypePolicy", "Policy") and value.get("module") in classes.POLICY_MODULES
        if not policy or not isinstance(config, dict) or set(config) - {"name", "source_name"}:
            raise _forbidden(value)
        if value.get("registered_name") is not None or set(value) - _VALUE_KEYS:
            raise _forbidden(value)
        value = config.get("name")
    if value is not None and not _among(value, classes.DTYPES):
        raise Refused("model.forbidden_value", f"the dtype {_short(value)} is none that is taken")


def _check_plain(key: str, value: Any) -> None:
    """A number, a word, or lists of them: nothing that Keras would make an object of, or open as a file."""
    stack, seen = [value], 0
    while stack:
        item = stack.pop()
        seen += 1
        if seen > MAX_NUMBERS:
            raise Refused("model.too_large", f"{key[:80]!r} holds more than {MAX_NUMBERS} values")
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict):
            if (
                set(item) == {"class_name", "items"}
                and item["class_name"] == "__tuple__"
                and isinstance(item["items"], list)
            ):
                stack.extend(item["items"])
            elif set(item) == {"type", "value"} and item["type"] == "ndarray":
                stack.append(item["value"])
            elif "class_name" in item:
                raise _forbidden(item)
            else:
                raise Refused(
                    "model.forbidden_value", f"{key[:80]!r} holds an object, where a number or a word belongs"
                )
        elif isinstance(item, str):
            _check_word(key, item)
        elif isinstance(item, float) and not math.isfinite(item):
            raise Refused("model.forbidden_value", f"{key[:80]!r} holds a number that is not finite")
        elif isinstance(item, int) and abs(item) > MAX_INTEGER:
            raise Refused("model.forbidden_value", f"{key[:80]!r} holds {item}, beyond {MAX_INTEGER}")


def _check_word(key: str, text: str) -> None:
    plain = len(text) <= MAX_TEXT and text.isascii() and text.isprintable()
    if not plain or any(part in text for part in ("/", "\\", "..", "~")):
        raise Refused(
            "model.forbidden_value", f"{key[:80]!r} is {_short(text)}; no path, no URL and no long text is taken"
        )


def _check_argument(value: Any) -> None:
    """What a layer is called with beside tensors."""
    _check_plain("an argument", value)


def _check_name(name: Any) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name) or ".." in name or name.startswith("/"):
        raise Refused(
            "model.forbidden_value", f"the name {_short(name)} is not taken; use letters, digits, '_', '.', '-' and '/'"
        )
    return name


def _among(value: Any, names: Collection[str]) -> bool:
    return isinstance(value, str) and value in names


def _forbidden(item: dict[str, Any]) -> Refused:
    name, module = item.get("class_name"), item.get("module")
    where = f" of {_short(module)}" if module else ""
    known = "" if item.get("registered_name") in (None, name) else f", registered as {_short(item['registered_name'])},"
    return Refused(
        "model.forbidden_class",
        f"the model holds a {_short(name)}{where}{known} which is not taken: only Keras's own layers for images are, "
        "without code and files",
    )


def _short(value: Any) -> str:
    return repr(value)[:120]
