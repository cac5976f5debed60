"""SavedModel folders that Keras 2 wrote: the architecture in their metadata. Nothing of their graphs is ever run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError

from service.json_types import Json, JsonObject
from service.models.files.opening.first_look import NO_MODEL

_MODEL = ("_tf_keras_model", "_tf_keras_network", "_tf_keras_sequential")
MAX_BYTES = 2**31 - 1


class IsSavedModel(Exception):
    """Why a folder is no model that can be rebuilt, as the end of a sentence."""


@dataclass(frozen=True)
class Architecture:
    """`config` as `model.to_json()` has it; `training` what `compile` was told."""

    config: JsonObject
    written_by: str
    training: JsonObject | None


def read_saved_model(folder: Path) -> Architecture:
    """Raises IsSavedModel for a folder that is none, or that holds no architecture of Keras."""
    if not (folder / "saved_model.pb").is_file():
        raise IsSavedModel(NO_MODEL)
    for identifier, text in _metadata(folder):
        if identifier not in _MODEL:
            continue
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            raise IsSavedModel("is a SavedModel whose metadata is no valid JSON") from None
        found = _architecture(values)
        if found is not None:
            return found
    raise IsSavedModel(
        "is a SavedModel without an architecture of Keras (a subclassed or exported model, or one that no Keras wrote)"
        "; save the model itself (model.save('mine.keras'))"
    )


def _architecture(values: Json) -> Architecture | None:
    """What the metadata of a node says; None for a subclassed model, which has no config."""
    if not isinstance(values, dict):
        return None
    # TensorFlow 2.0 to 2.2 put the architecture one level deeper.
    config = values.get("model_config") or values
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        return None
    inner = config.get("config")
    if not isinstance(inner, dict) or not isinstance(inner.get("layers"), list):
        return None
    whole = {"class_name": config["class_name"], "config": inner}
    version = values.get("keras_version") or config.get("keras_version") or "2"
    training = values.get("training_config")
    return Architecture(whole, str(version), training if isinstance(training, dict) else None)


def _metadata(folder: Path) -> Iterator[tuple[str, str]]:
    """(identifier, JSON) of every object of Keras: from a file of its own since TensorFlow 2.5, before that from the
    graph of objects."""
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow.python.keras.protobuf import saved_metadata_pb2

    own = folder / "keras_metadata.pb"
    try:
        if own.is_file():
            for node in saved_metadata_pb2.SavedMetadata.FromString(own.read_bytes()).nodes:
                yield node.identifier, node.metadata
            return
        model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    except DecodeError:
        raise IsSavedModel("is a damaged SavedModel") from None
    for graph in model.meta_graphs:
        for node in graph.object_graph_def.nodes:
            if node.HasField("user_object"):
                yield node.user_object.identifier, node.user_object.metadata
