"""Models that Keras 3 wrote, with what it gets wrong itself mended."""

from __future__ import annotations

import inspect
import json
from functools import cache
from pathlib import Path

import keras
from keras.src import ops as operations
from keras.src.saving.serialization_lib import SafeModeScope

from service.arrays import KerasModel, Structure
from service.errors import ModelNotLoadable
from service.json_types import Fields
from service.models.files.opening.contents import Config, Contents, is_legacy_layout, without_top, without_training
from service.models.files.opening.files import archive_with, named
from service.models.files.opening.library_message import short_sentence

VERSION = str(keras.__version__)
_CONTAINERS = {
    "Sequential": "keras",
    "Functional": "keras.src.models.functional",
    "Model": "keras.src.models.functional",
}
_OF_APPLICATIONS = {
    "LayerScale": "keras.src.applications.convnext",
    "StochasticDepth": "keras.src.applications.convnext",
    "CustomScaleLayer": "keras.src.applications.inception_resnet_v2",
}
_OF_EVERY_LAYER = (
    "name", "trainable", "dtype", "autocast", "activity_regularizer", "input_shape", "batch_shape", "input_dim",
    "layer",
)  # fmt: skip
_OPERATIONS = ("numpy", "nn", "core", "math", "image", "linalg", "einops")


def open_model(contents: Contents, objects: Fields, *, trusted: bool) -> KerasModel:
    """The model, with its weights, not compiled. `objects` are the operator's own classes and functions by name.

    Raises ModelNotLoadable, and what Keras raises for a file that it cannot read.
    """
    with keras.saving.custom_object_scope(dict(objects)), SafeModeScope(not trusted):
        if contents.form == "archive":
            config, as_written = mended(contents.config), without_top(contents.config)
            with archive_with(contents.path, None if config == as_written else config) as path:
                return keras.models.load_model(path, compile=False, safe_mode=not trusted)
        model = build(contents.config)
        load_weights(model, contents.path)
        return model


def build(config: Config) -> KerasModel:
    """The model of a config, with fresh weights. Raises ModelNotLoadable for one that states no input."""
    try:
        model = keras.models.model_from_json(json.dumps(mended(config)))
    except Exception as error:
        raise ModelNotLoadable(
            f"the architecture cannot be built with Keras {VERSION}: {short_sentence(error)}"
        ) from error
    if not model.built:
        raise ModelNotLoadable("the architecture does not say the shape of its input; save the model after building it")
    return model


def load_weights(model: KerasModel, path: Path) -> None:
    """Loads weights of the layout of HDF5, or of `.weights.h5`. Raises ModelNotLoadable where they do not fit."""
    try:
        with named(path, ".h5" if is_legacy_layout(path) else ".weights.h5") as link:
            model.load_weights(link)
    except ValueError as error:
        raise ModelNotLoadable(
            f"the weights in {path.name!r} do not fit the architecture: {short_sentence(error)}"
        ) from error
    # Keras itself does this of the outermost layers alone, so that a Normalization deeper inside normalises nothing
    # (keras-team/keras#20147).
    for layer in model._flatten_layers():
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()


def mended(config: Config) -> Config:
    """A config as today's Keras reads it: nothing of it means anything else than before.

    Keras 3.0 to 3.4 wrote a list of one for the only input or output of a model, which later ones take for a list that
    the model really gives (keras-team/keras#20084). HDF5 files name classes without their modules.
    """
    return _object(without_training(config))


def _object(item: Config) -> Config:
    name = item.get("class_name")
    inner = item.get("config")
    if name in _CONTAINERS and isinstance(inner, dict) and isinstance(inner.get("layers"), list):
        ends = {key: _bare(inner[key]) for key in ("input_layers", "output_layers") if key in inner}
        layers = [_object(layer) if isinstance(layer, dict) else layer for layer in inner["layers"]]
        item = item | {"config": inner | ends | {"layers": layers}}
        if "module" in item:
            return item
        kind = "Sequential" if name == "Sequential" else "Functional"
        return item | {"class_name": kind, "module": _CONTAINERS[name], "registered_name": None}
    if not isinstance(name, str) or not isinstance(inner, dict):
        return item
    if item.get("module") in (None, "keras.layers") and (unknown := _unknown_keys(name, inner)):
        inner = {key: value for key, value in inner.items() if key not in unknown}
        item = item | {"config": inner}
    if "module" in item:
        return item
    # Keras's operations say nothing of training or of a policy, which every layer does.
    module = None if "trainable" in inner or "dtype" in inner else _module_of(name)
    if module is None and hasattr(keras.layers, name):
        return item | {"module": "keras.layers", "registered_name": None}
    module = module or _OF_APPLICATIONS.get(name)
    # Keras looks for classes of the operator's by their registered name alone.
    return item | {"module": module, "registered_name": name.removeprefix("Custom>")}


def _unknown_keys(name: str, config: Config) -> set[str]:
    """Keys of another version of Keras 3 that this one's constructor refuses, and that mean nothing to a prediction.

    Those are the settings of random augmentation, and whatever is not set.
    """
    layer = getattr(keras.layers, name, None)
    if not isinstance(layer, type):
        return set()
    known = set(_OF_EVERY_LAYER)
    for base in layer.__mro__:
        known.update(inspect.signature(vars(base).get("__init__", object.__init__)).parameters)
    is_random = name.startswith("Random")
    return {key for key, value in config.items() if key not in known and (is_random or value in (None, False))}


def _bare(ends: Structure) -> KerasModel:
    single = isinstance(ends, list) and len(ends) == 1 and isinstance(ends[0], list)
    return ends[0] if single else ends


@cache
def _module_of(name: str) -> str | None:
    """The module of Keras's operation of that name; None where there is none."""
    for place in _OPERATIONS:
        found = getattr(getattr(operations, place, None), name, None)
        if isinstance(found, type) and issubclass(found, keras.Operation):
            return str(found.__module__)
    return None
