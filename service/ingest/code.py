"""What in a model's architecture is code, or opens a file: looked for in the operator's own folder, before Keras loads.

Other than in uploads, whatever computes and nothing else passes: layers of Keras that no table of ours knows, any name,
any number. `safe_mode` is not enough for that: Keras 2 runs the byte code of a Lambda out of HDF5 files and SavedModels
whatever it says, takes functions of any module, and writes files by a TFOpLambda.
"""

from __future__ import annotations

from collections.abc import Iterator

from service.ingest import pure_layers
from service.ingest.operations import is_operation, why_not_pure
from service.ingest.pure_functions import CODE_OPERATIONS
from service.ingest.values import short
from service.json_types import Json, JsonObject

_WORDS = {
    "activation": pure_layers.ACTIVATIONS,
    "initializer": pure_layers.INITIALIZER_NAMES,
    "regularizer": pure_layers.REGULARIZER_NAMES,
    "constraint": pure_layers.CONSTRAINT_NAMES,
}
_OBJECTS = (
    pure_layers.INITIALIZERS
    | pure_layers.REGULARIZERS
    | pure_layers.CONSTRAINTS
    | frozenset().union(*pure_layers.OTHER_OBJECTS.values())
)
_OBJECT_MODULES = {
    "tensorflow.python.ops.init_ops_v2",
    "keras.initializers",
    "keras.regularizers",
    "keras.constraints",
    *(module for module in pure_layers.OTHER_OBJECTS if module),
}
# Classes of KerasHub's own package, which its extra installs.
HUB = ("keras_hub.src.models.", "keras_hub.src.layers.", "keras_hub.src.utils.")
# What tf_keras decodes a second time, in the place of a tensor.
_COMPOSITE = "_COMPOSITE_TYPE"
# What is taken out before Keras gets the rest.
_NEVER_BUILT = ("compile_config",)
# Beside such a key tf_keras makes an object of whatever stands there, in any place, while it reads the text.
PASSIVE = "__passive_serialization__"


def code_in(config: Json) -> list[str]:
    """What is code in an architecture, each as a half sentence with the layer's name; empty where nothing is."""
    found = list(dict.fromkeys(_found(config)))
    # Of a Lambda it is said already, with its name.
    lambdas = {item.partition(" is a Lambda: ")[0] for item in found if " is a Lambda: " in item}
    return [item for item in found if item.removesuffix(" holds Python code") not in lambdas]


def needs_hub(config: Json) -> bool:
    """Whether some class is KerasHub's."""
    return any(str(item.get("module")).startswith(HUB) for item, _ in _objects(config))


def _found(config: Json) -> Iterator[str]:
    if any(_COMPOSITE in item for item in _lists(config)):
        yield "the architecture holds a composite tensor, which is read as another document"
    for item, name in _objects(config):
        where = f"{name!r}" if name else "the architecture"
        if PASSIVE in item:
            yield f"{where} holds an object that is made while the text is read"
        if why := _why(item):
            yield f"{where} {why}"
        yield from (f"{where} {why}" for why in _words(item))


def _lists(config: Json) -> Iterator[list[Json]]:
    """Every JSON list, from the outside inwards."""
    waiting = [config]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            yield item
            waiting.extend(item)
        elif isinstance(item, dict):
            waiting.extend(item.values())


def _objects(config: Json) -> Iterator[tuple[JsonObject, str | None]]:
    """Every JSON object with the name of the layer it belongs to, from the outside inwards, in the file's order."""
    waiting: list[tuple[Json, str | None]] = [(config, None)]
    while waiting:
        item, name = waiting.pop()
        if isinstance(item, list):
            waiting.extend((inner, name) for inner in reversed(item))
        if not isinstance(item, dict):
            continue
        inner = item.get("config")
        own = item.get("name") or (inner.get("name") if isinstance(inner, dict) else None)
        if "class_name" in item and isinstance(own, str):
            name = own
        yield item, name
        waiting.extend((value, name) for key, value in reversed(item.items()) if key not in _NEVER_BUILT)


def _why(item: JsonObject) -> str | None:
    """Why an object is code, as the end of a sentence; None where it is none."""
    kind, module, registered = item.get("class_name"), item.get("module"), item.get("registered_name")
    if kind is None:
        return None
    if not isinstance(kind, str) or not isinstance(module, str | None):
        return f"is of the class {short(kind)} of {short(module)}"
    if kind in pure_layers.VALUES | pure_layers.VALUES_2:
        return None
    if kind == "function":
        return None if pure_layers.is_activation_function(item) else f"holds the function {_place(item)}"
    if kind == "__lambda__":
        return "holds Python code"
    if registered is not None and str(registered).rpartition(">")[2] != kind.rpartition(">")[2]:
        return f"is of the class {kind!r}, registered as {registered!r:.100}"
    if isinstance(registered, str) and ">" in registered and not _is_hubs(module):
        return None if pure_layers.is_pure(module, kind, registered) else f"is of the class {registered!r}"
    kind = kind.removeprefix("Custom>") if kind in pure_layers.APPLICATION_NAMES else kind
    if kind.startswith("__") or kind in ("TypeSpec", "CompositeTensor"):
        return f"holds a value of the kind {kind!r}"
    if reason := pure_layers.CODE_LAYERS.get(kind) or CODE_OPERATIONS.get(kind):
        return f"is a {kind}: {reason}"
    if is_operation(kind):
        inner = item.get("config")
        why = why_not_pure(kind, inner if isinstance(inner, dict) else {})
        return f"is a {kind} that {why}" if why else None
    return None if _is_keras(kind, module) else f"is of the class {kind!r}{f' of {module!r}' if module else ''}"


def _is_keras(kind: str, module: str | None) -> bool:
    """Whether a class is one of Keras's own that computes, or a model."""
    if kind in pure_layers.CONTAINERS and module in pure_layers.CONTAINERS[kind]:
        return True
    if module is None:
        return kind in _OBJECTS or pure_layers.is_pure(None, kind, None)
    if module in pure_layers.LAYER_MODULES:
        # What a later Keras adds is not known here, and passes: the loader says whether there is such a layer. Small
        # letters begin functions, which are no layers.
        return kind[:1].isupper() and ">" not in kind
    if module in _OBJECT_MODULES:
        return kind in _OBJECTS
    if module in ("keras", "keras.mixed_precision", "keras.dtype_policies"):
        return kind in _OBJECTS
    return _is_hubs(module) or pure_layers.is_pure(module, kind, kind)


def _is_hubs(module: str | None) -> bool:
    return module is not None and module.startswith(HUB)


def _place(item: JsonObject) -> str:
    module, name = item.get("module"), item.get("config")
    return f"{name!r}" if module in (None, "builtins") else f"{name!r} of {module!r}"


def _words(item: JsonObject) -> Iterator[str]:
    """Words in a layer's config that stand for functions of somebody else, files and foreign types."""
    inner = item.get("config")
    kind = str(item.get("class_name"))
    if not isinstance(inner, dict) or kind in ("TFOpLambda", "TensorFlowOpLayer"):
        return
    for key, value in inner.items():
        known = next((names for ending, names in _WORDS.items() if key.endswith(ending)), None)
        if known is not None and isinstance(value, str) and value not in known:
            yield f"has as {key} {value!r}, which is no function of Keras"
        if key in pure_layers.FILE_KEYS.get(kind, ()) and isinstance(value, str):
            yield f"opens the file {value!r}"
        if key in pure_layers.FUNCTION_KEYS.get(kind, ()) and isinstance(value, dict):
            yield f"has as {key} an object of its own"
