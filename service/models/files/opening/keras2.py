"""Models that Keras 2 wrote, built by `tf_keras`, the Keras 2 that goes on. Imported with the first such model."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
import tf_keras
from tf_keras.src.saving.serialization_lib import SafeModeScope

from service.arrays import KerasModel, Layer, Structure, Value
from service.errors import ModelNotLoadable
from service.json_types import Fields, Json, JsonObject
from service.models.dialects.reading import scope_name
from service.models.files.opening.contents import Config, Contents, is_legacy_layout, without_top, without_training
from service.models.files.opening.files import archive_with, extracted, named, scratch
from service.models.files.opening.library_message import short_sentence
from service.models.files.opening.weights import is_old_layout, require_own_storage, with_new_paths

_MOVED = ("keras.engine.", "keras.layers.", "keras.applications.", "keras.feature_column.")
VERSION = str(tf_keras.__version__)


def open_model(contents: Contents, objects: Fields, *, trusted: bool) -> KerasModel:
    """The model, with its weights, not compiled. `objects` are the operator's own classes and functions by name.

    Raises ModelNotLoadable, and what tf_keras raises for a file that it cannot read.
    """
    with tf_keras.saving.custom_object_scope(_of_applications() | dict(objects)), SafeModeScope(not trusted):
        if contents.form == "saved_model":
            return _of_saved_model(contents, trusted=trusted)
        if contents.form in ("hdf5", "pair"):
            model = build(contents.config, trusted=trusted)
            load_weights(model, contents.path)
            return with_old_resizing(model, contents.written_by)
        return _of_archive(contents, trusted=trusted)


def _of_applications() -> JsonObject:
    """Layers of `tf_keras.applications` that are in no public module, and that it does not find by itself."""
    from tf_keras.src.applications import convnext, inception_resnet_v2

    return {
        "LayerScale": convnext.LayerScale,
        "StochasticDepth": convnext.StochasticDepth,
        "CustomScaleLayer": inception_resnet_v2.CustomScaleLayer,
    }


def build(config: Fields, *, trusted: bool = False) -> KerasModel:
    """The model of a config, with fresh weights. Raises ModelNotLoadable for one that states no input."""
    renamed: dict[str, str] = {}
    buildable = _with_scope_names(_with_calls_that_are_there(with_new_modules(without_training(config))), renamed)
    try:
        with tf_keras.saving.custom_object_scope(_of_applications()), SafeModeScope(not trusted):
            model = tf_keras.models.model_from_json(json.dumps(buildable))
    except Exception as error:
        raise ModelNotLoadable(
            f"the architecture cannot be built with Keras {VERSION}: {short_sentence(error)}"
        ) from error
    for layer in model._flatten_layers():
        layer._name = renamed.get(layer.name, layer.name)
    if not model.built:
        raise ModelNotLoadable("the architecture does not say the shape of its input; save the model after building it")
    return model


def load_weights(model: KerasModel, path: Path) -> None:
    """Loads weights of any layout: of HDF5, of Keras 2.12 to 2.14, of later ones.

    Raises ModelNotLoadable where they do not fit.
    """
    require_own_storage(path)
    legacy = is_legacy_layout(path)
    if legacy or not is_old_layout(path):
        try:
            with named(path, ".h5" if legacy else ".weights.h5") as link:
                model.load_weights(str(link))
        except (ValueError, KeyError) as error:
            said = f"the weights in {path.name!r} do not fit the architecture: {short_sentence(error)}"
            raise ModelNotLoadable(said) from error
        return
    with scratch() as folder:
        renamed = folder / "renamed.weights.h5"
        count = with_new_paths(path.resolve(), renamed)
        wanted = len({id(weight) for weight in model.weights})
        if count != wanted:
            raise ModelNotLoadable(
                f"the weights in {path.name!r} do not fit the architecture: it has {wanted} arrays, the file {count}"
            )
        model.load_weights(str(renamed))


def _with_calls_that_are_there(value: Json) -> Json:
    """A nested Sequential of TensorFlow 2.0 to 2.2 has the shape that it was built for, and calls that are counted as
    if it had none; with both, tf_keras waits for a call that never comes."""
    if isinstance(value, list):
        return [_with_calls_that_are_there(item) for item in value]
    if not isinstance(value, dict):
        return value
    changed = {key: _with_calls_that_are_there(item) for key, item in value.items()}
    layers = changed.get("layers")
    if not isinstance(layers, list) or "output_layers" not in changed:
        return changed
    first_calls = set(_called_first([changed["output_layers"], *(layer.get("inbound_nodes") for layer in layers)]))
    changed["layers"] = [_without_shape(layer) if layer.get("name") in first_calls else layer for layer in layers]
    return changed


def _with_scope_names(value: Json, renamed: dict[str, str]) -> Json:
    """Layers of a Sequential under names that its Keras can build; `renamed` takes their own names by these.

    Keras 2 names scopes by its layers, and TensorFlow takes no spaces and no other scripts there.
    """
    if isinstance(value, list):
        return [_with_scope_names(item, renamed) for item in value]
    if not isinstance(value, dict):
        return value
    changed = {key: _with_scope_names(item, renamed) for key, item in value.items()}
    layers, inner = changed.get("layers"), changed.get("config")
    if isinstance(layers, list) and "output_layers" not in changed:
        changed["layers"] = [_renamed(layer, renamed) for layer in layers]
    elif changed.get("class_name") == "Sequential" and isinstance(inner, list):
        changed["config"] = [_renamed(layer, renamed) for layer in inner]
    return changed


def _renamed(layer: Config, renamed: dict[str, str]) -> Config:
    inner = layer.get("config")
    name = inner.get("name") if isinstance(inner, dict) else None
    if not isinstance(inner, dict) or not isinstance(name, str) or scope_name(name) == name:
        return layer
    plain = f"{scope_name(name)}_{len(renamed)}"
    renamed[plain] = name
    return layer | {"config": inner | {"name": plain}} | ({"name": plain} if "name" in layer else {})


def _called_first(structure: Structure) -> Iterator[str]:
    """Names in references to the very first call, which is 0."""
    if isinstance(structure, dict):
        structure = list(structure.values())
    if isinstance(structure, list):
        if len(structure) >= 3 and isinstance(structure[0], str) and structure[1] == 0:
            yield structure[0]
        for item in structure:
            yield from _called_first(item)


def _without_shape(layer: Config) -> Config:
    inner = layer.get("config")
    if layer.get("class_name") != "Sequential" or not isinstance(inner, dict):
        return layer
    return layer | {"config": {key: value for key, value in inner.items() if key != "build_input_shape"}}


def with_old_resizing(model: KerasModel, written_by: str) -> KerasModel:
    """Keras before 2.3 stood on TensorFlow 1, whose bilinear resizing took the corners of pixels for their centres."""
    if not re.match(r"2\.[0-2]\.\d+$", written_by):
        return model
    for layer in model._flatten_layers():
        if type(layer) is tf_keras.layers.UpSampling2D and layer.interpolation == "bilinear":
            layer.call = _old_bilinear(layer)
    return model


def _old_bilinear(layer: Layer) -> Layer:
    def call(inputs: Value) -> Value:
        sizes = tf.shape(inputs)[1:3] * tf.constant(layer.size)
        result = tf.compat.v1.image.resize_bilinear(inputs, sizes)
        static = [size and size * times for size, times in zip(inputs.shape[1:3], layer.size, strict=True)]
        result.set_shape((inputs.shape[0], *static, inputs.shape[3]))
        return result

    return call


def _of_archive(contents: Contents, *, trusted: bool) -> KerasModel:
    config = with_new_modules(without_training(contents.config))
    with extracted(contents.path, "model.weights.h5") as weights:
        require_own_storage(weights)
        if is_old_layout(weights):
            model = tf_keras.saving.deserialize_keras_object(config, safe_mode=not trusted)
            load_weights(model, weights)
            return model
    with archive_with(contents.path, None if config == without_top(contents.config) else config) as path:
        return tf_keras.models.load_model(path, compile=False, safe_mode=not trusted)


def with_new_modules(value: Json) -> Json:
    """Keras 2.12 names modules as they were before all of them moved into `keras.src`, and numbers as arrays."""
    if isinstance(value, list):
        return [with_new_modules(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") == "__numpy__" and isinstance(value["config"].get("value"), (int, float)):
        return value["config"]["value"]
    changed = {key: with_new_modules(item) for key, item in value.items()}
    module = changed.get("module")
    if module == "tensorflow.python.ops.init_ops_v2":
        changed["module"] = "keras.initializers"
    elif isinstance(module, str) and module.startswith(_MOVED) and module.count(".") > 1:
        changed["module"] = "keras.src." + module.removeprefix("keras.")
    return changed


def _of_saved_model(contents: Contents, *, trusted: bool) -> KerasModel:
    """Rebuilt from the architecture, its variables read by their names: no graph of the folder is run."""
    model = build(contents.config, trusted=trusted)
    prefix = str(contents.path / "variables" / "variables")
    status = model.load_weights(prefix)
    status.assert_existing_objects_matched()
    for layer in model._flatten_layers():
        # A Normalization works its constants out of what was loaded only when it is told to.
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()
    return model
