"""The values in a config: numbers, words, names, dtypes, initializers; and nothing that Keras would make a class of."""

from __future__ import annotations

import math
from collections.abc import Collection

from service.ingest import pure_layers
from service.ingest.verdict import Refused
from service.json_types import Json, JsonObject

VALUE_KEYS = {"module", "class_name", "config", "registered_name", "shared_object_id"}
MAX_TEXT = 200
MAX_NUMBERS = 100_000
MAX_INTEGER = 2**31
MAX_NAME = 128
# Beside these a name is any text that can be printed: layers are named in every script, with spaces and slashes.
_NOT_IN_NAMES = ("..", "\\", "%", "<", ">", '"', "'", "`", "$", "&", ";", "{", "}")


def check_name(name: Json) -> str:
    """Raises Refused for what is no name, or could be a way out of a folder."""
    if not is_name(name):
        raise Refused(
            "model.forbidden_value",
            f"the name {short(name)} is not taken; use letters, digits, spaces and '_', '.', '-', '/'",
        )
    return str(name)


def is_name(name: Json) -> bool:
    """Whether a text is taken as the name of a layer, model or argument."""
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        return False
    return not any(part in name for part in _NOT_IN_NAMES) and not name.startswith(("/", "~")) and name == name.strip()


def check_dtype(value: Json) -> None:
    """A word, or one of Keras's policies. Raises Refused."""
    if isinstance(value, dict):
        module, kind, config = value.get("module"), value.get("class_name"), value.get("config")
        if kind in pure_layers.VALUES | pure_layers.VALUES_2 or not isinstance(kind, str):
            raise forbidden(value)
        if not isinstance(module, str | None) or kind not in pure_layers.OTHER_OBJECTS.get(module, ()):
            raise forbidden(value)
        if not isinstance(config, dict) or value.get("registered_name") not in (None, kind):
            raise forbidden(value)
        if set(value) - VALUE_KEYS:
            raise forbidden(value)
        _check_policy(config)
        return
    if value is not None and not (isinstance(value, str) and value in pure_layers.DTYPES):
        raise Refused("model.forbidden_value", f"the dtype {short(value)} is none that is taken")


def _check_policy(config: JsonObject) -> None:
    for key, value in config.items():
        if key in ("name", "source_name") or key == "default_policy":
            check_dtype(value)
        elif key == "policy_map" and isinstance(value, dict):
            for path, policy in value.items():
                check_name(path)
                check_dtype(policy)
        elif key == "mode":
            check_plain(key, value, equation=True)
        elif key != "loss_scale":
            check_plain(key, value)


def check_object(key: str, value: Json, module: str, objects: Collection[str], names: Collection[str]) -> None:
    """An initializer and the like: a name, or an object with plain values. Raises Refused."""
    if value is None or (isinstance(value, str) and value in names):
        return
    if not isinstance(value, dict):
        raise Refused("model.forbidden_class", f"{key!r} is {short(value)}, which is none that is taken")
    kind = value.get("class_name")
    if not isinstance(kind, str) or kind not in objects:
        raise forbidden(value)
    if value.get("module") not in (None, module) or value.get("registered_name") not in (None, kind):
        raise forbidden(value)
    if set(value) - VALUE_KEYS or not isinstance(value.get("config", {}), dict):
        raise Refused("model.forbidden_value", f"{key!r} has keys that it must not have")
    for name, inner in value.get("config", {}).items():
        if name == "dtype":
            check_dtype(inner)
        elif name == "seed" and isinstance(inner, dict):
            check_object(name, inner, "keras.random", pure_layers.OTHER_OBJECTS["keras.random"], ())
        elif name.endswith("_quantizer"):
            check_object(name, inner, module, objects, ())
        elif name == "name" and isinstance(inner, str):
            check_name(inner)
        else:
            check_plain(name, inner)


def check_plain(key: str, value: Json, *, equation: bool = False) -> None:
    """A number, a word, or lists of them: nothing that Keras would make an object of, or open as a file.

    `equation` lets dots and slashes into words, for keys that one layer alone reads. Raises Refused.
    """
    stack, seen = [value], 0
    while stack:
        item = stack.pop()
        seen += 1
        if seen > MAX_NUMBERS:
            raise Refused("model.too_large", f"{key[:80]!r} holds more than {MAX_NUMBERS} values")
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict):
            stack.append(_content(key, item))
        elif isinstance(item, str):
            _check_word(key, item, equation=equation)
        elif isinstance(item, float) and not math.isfinite(item):
            raise Refused("model.forbidden_value", f"{key[:80]!r} holds a number that is not finite")
        elif isinstance(item, int) and abs(item) > MAX_INTEGER:
            raise Refused("model.forbidden_value", f"{key[:80]!r} holds {item}, beyond {MAX_INTEGER}")


def _content(key: str, item: JsonObject) -> Json:
    """What is in an object that stands for a plain value: a tuple, a slice, an array."""
    kind = item.get("class_name")
    if set(item) == {"class_name", "items"} and kind in ("__tuple__", "TensorShape"):
        return item["items"]
    if set(item) == {"type", "value"} and item["type"] == "ndarray":
        return item["value"]
    if kind == "__ellipsis__" and not item.get("config"):
        return None
    config: Json = item.get("config")
    if kind in ("__slice__", "__numpy__", "__tensor__") and _is_value(item, config):
        check_dtype(config.get("dtype"))
        inner = [config.get(name) for name in ("start", "stop", "step", "value")]
        if not any(isinstance(part, str | dict) for part in inner):
            return inner
    if set(item) == {"start", "stop", "step"}:
        return list(item.values())
    if "class_name" in item:
        raise forbidden(item)
    raise Refused("model.forbidden_value", f"{key[:80]!r} holds an object, where a number or a word belongs")


def _is_value(item: JsonObject, config: Json) -> bool:
    if not isinstance(config, dict) or not set(item) <= {"class_name", "config"}:
        return False
    return set(config) <= {"start", "stop", "step", "value", "dtype"}


def _check_word(key: str, text: str, *, equation: bool) -> None:
    plain = len(text) <= MAX_TEXT and text.isascii() and text.isprintable()
    parts = ("\\", "~", "://") if equation else ("/", "\\", "..", "~")
    if not plain or any(part in text for part in parts) or (equation and text.startswith("/")):
        raise Refused(
            "model.forbidden_value", f"{key[:80]!r} is {short(text)}; no path, no URL and no long text is taken"
        )


def check_argument(value: Json) -> None:
    """What a layer is called with beside tensors. Raises Refused."""
    check_plain("an argument", value)


def forbidden(item: Json) -> Refused:
    """The refusal of an object for its class, with what is wrong with that class where it is known."""
    if not isinstance(item, dict):
        return Refused("model.forbidden_class", f"the model holds {short(item)}, which is not taken")
    name, module, registered = item.get("class_name"), item.get("module"), item.get("registered_name")
    where = f" of {short(module)}" if module else ""
    known = "" if registered in (None, name) else f", registered as {short(registered)},"
    reason = pure_layers.why_not(name) or "only Keras's own layers and operations are, without code and files"
    said = f"the model holds a {short(name)}{where}{known} which is not taken: {reason}"
    return Refused("model.forbidden_class", said)


def short(value: Json) -> str:
    """Gives at most 120 characters of it."""
    return repr(value)[:120]
