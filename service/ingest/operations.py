"""Layers of Keras 2 that stand for a function or an operation of TensorFlow, against the tables of pure ones."""

from __future__ import annotations

from service.ingest.pure_functions import NODE_OPS, TF_FUNCTIONS
from service.ingest.pure_layers import OP_LAYER_NAMES
from service.ingest.values import MAX_NUMBERS, MAX_TEXT, check_dtype, check_name, check_plain, short
from service.ingest.verdict import Refused
from service.json_types import Json, JsonObject

PURE_FUNCTIONS: frozenset[str] = frozenset().union(*TF_FUNCTIONS.values())
_ATTRIBUTES = {"type", "i", "f", "b", "s", "shape", "list"}
_NODE_KEYS = {"name", "op", "input", "attr"}
_MOST_DEEP = 12


def is_operation(name: str) -> bool:
    """Whether a class is one of these layers."""
    return name in OP_LAYER_NAMES


def why_not_pure(name: str, config: JsonObject) -> str | None:
    """Why such a layer is not pure, as the end of a sentence; None where it is."""
    if name == "TensorFlowOpLayer":
        node = config.get("node_def")
        if not isinstance(node, dict):
            return "holds an operation of TensorFlow in a form that cannot be judged"
        op = node.get("op")
        if not isinstance(op, str) or op not in NODE_OPS:
            return f"holds the operation {short(op)} of TensorFlow, which is not known to do nothing but compute"
        if odd := set(node) - _NODE_KEYS:
            return f"holds the operation {short(op)} of TensorFlow with the key {short(min(odd))}"
        if not _attributes_are_plain(node.get("attr", {})):
            return f"holds the operation {short(op)} of TensorFlow with a function in it"
        return None
    function = config.get("function", "__operators__.getitem" if name == "SlicingOpLambda" else None)
    if not isinstance(function, str) or function not in PURE_FUNCTIONS:
        return f"calls the function {short(function)} of TensorFlow, which is not known to do nothing but compute"
    return None


def check_operation(name: str, config: JsonObject) -> None:
    """Raises Refused for one that is not pure, or holds other than plain values."""
    if why := why_not_pure(name, config):
        raise Refused("model.forbidden_class", f"the model holds a {name} which {why}")
    for key, value in config.items():
        if key == "name":
            check_name(value)
        elif key == "dtype":
            check_dtype(value)
        elif key == "constants":
            _check_constants(value)
        elif key != "node_def" and key != "function":
            check_plain(key, value)


def _check_constants(value: Json) -> None:
    if not isinstance(value, dict):
        raise Refused("model.forbidden_value", "the constants of an operation are no object")
    for place, constant in value.items():
        if not place.isdecimal() or len(place) > 4:
            raise Refused("model.forbidden_value", f"a constant of an operation stands at {short(place)}")
        check_plain("a constant", constant)


def _attributes_are_plain(attributes: Json) -> bool:
    """Whether no attribute of a node is a function, or anything else that is no number, type, shape or short text."""
    if not isinstance(attributes, dict):
        return False
    waiting, seen = [(value, 0) for value in attributes.values()], 0
    while waiting:
        item, depth = waiting.pop()
        seen += 1
        if depth > _MOST_DEEP or seen > MAX_NUMBERS:
            return False
        if isinstance(item, dict):
            if depth == 0 and not set(item) <= _ATTRIBUTES:
                return False
            if "func" in item:
                return False
            waiting.extend((value, depth + 1) for value in item.values())
        elif isinstance(item, list):
            waiting.extend((value, depth + 1) for value in item)
        elif isinstance(item, str) and len(item) > MAX_TEXT:
            return False
    return True
