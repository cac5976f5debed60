"""What a model file holds, read as JSON and HDF5 before any Keras sees it: an architecture, and who wrote it."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py

from service.errors import ModelNotLoadable
from service.json_types import Json, JsonObject
from service.models.files.opening.first_look import (
    HDF5_MAGIC,
    UNPACKED_WEIGHTS,
    ZIP_MAGIC,
    first_bytes,
    hdf5_problem,
    weights_problem,
    zip_problem,
)
from service.models.files.opening.library_message import short_sentence
from service.models.files.opening.saved_model import IsSavedModel, read_saved_model
from service.models.files.opening.strangers import what_it_is
from service.models.files.spec import ModelSpec

Config = JsonObject
Form = Literal["archive", "hdf5", "pair", "saved_model"]
CONTAINERS = ("Sequential", "Functional", "Model")
MAX_JSON_BYTES = 256 * 1024**2


@dataclass(frozen=True)
class Contents:
    """`config` is the architecture as Keras writes it, `training` what `compile` was told, both as JSON values.

    `path` holds the weights: a file, or the folder of an unpacked archive or SavedModel. `keras` is the generation that
    understands it, `written_by` the version that the file names, empty where it names none.
    """

    form: Form
    path: Path
    config: Config
    keras: Literal[2, 3]
    written_by: str
    training: Config | None = None


def contents_of(spec: ModelSpec) -> Contents:
    """Reads no weights. Raises ModelNotLoadable with what the file is and what would be right."""
    weights = spec.path(spec.weights or "")
    try:
        if spec.architecture:
            return _of_pair(spec.path(spec.architecture), weights)
        return contents_of_path(weights)
    except (TypeError, ValueError, KeyError, AttributeError, OSError) as error:
        raise ModelNotLoadable(f"{weights.name!r} is damaged: {short_sentence(error)}") from error


def contents_of_path(path: Path) -> Contents:
    """Reads one file or folder, told by its first bytes and not by its name. Raises ModelNotLoadable."""
    if path.is_dir():
        return _of_folder(path)
    head = first_bytes(path)
    if head.startswith(ZIP_MAGIC):
        if problem := zip_problem(path):
            raise ModelNotLoadable(problem)
        return _of_archive(path)
    if head.startswith(HDF5_MAGIC):
        if problem := hdf5_problem(path, head):
            raise ModelNotLoadable(problem)
        return _of_hdf5(path)
    raise ModelNotLoadable(f"{path.name!r} is no model file: {what_it_is(path)}")


def _of_folder(path: Path) -> Contents:
    weights = path / UNPACKED_WEIGHTS
    if (path / "config.json").is_file() and weights.is_file():
        if problem := weights_problem(weights):
            raise ModelNotLoadable(problem)
        members = {"config.json": (path / "config.json").read_bytes()}
        if (path / "metadata.json").is_file():
            members["metadata.json"] = (path / "metadata.json").read_bytes()
        return _of_members(path, members)
    try:
        found = read_saved_model(path)
    except IsSavedModel as no:
        raise ModelNotLoadable(f"the folder {path.name!r} {no}") from None
    return _contents("saved_model", path, found.config, found.written_by, found.training)


def _of_archive(path: Path) -> Contents:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {info.filename.replace("\\", "/"): info for info in archive.infolist()}
            members: dict[str, bytes] = {}
            for name in ("config.json", "metadata.json"):
                if name in names:
                    with archive.open(names[name]) as member:
                        members[name] = member.read(MAX_JSON_BYTES)
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise ModelNotLoadable(
            f"{path.name!r} is a damaged or incomplete zip archive; copy or save it again"
        ) from error
    except (NotImplementedError, RuntimeError) as error:
        raise ModelNotLoadable(f"{path.name!r} is a zip archive that cannot be read: {str(error)[:200]}") from error
    return _of_members(path, members)


def _of_members(path: Path, members: dict[str, bytes]) -> Contents:
    config = parsed(members["config.json"], f"the config.json in {path.name!r}")
    metadata = parsed(members.get("metadata.json", b"{}"), f"the metadata.json in {path.name!r}")
    training = config.get("compile_config") if isinstance(config, dict) else None
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    return _contents("archive", path, config, version, training)


def _of_hdf5(path: Path) -> Contents:
    try:
        with h5py.File(path, "r") as file:
            attributes = {name: file.attrs.get(name) for name in ("model_config", "keras_version", "training_config")}
            layers = len(file.attrs.get("layer_names", file.get("layers", file).keys()))
            has_weights = "model_weights" in file
    except OSError as error:
        raise ModelNotLoadable(f"{path.name!r} is a damaged or incomplete HDF5 file: {str(error)[:200]}") from error
    config = attributes["model_config"]
    if config is None:
        name = path.stem.removesuffix(".weights").removesuffix("_weights")
        raise ModelNotLoadable(
            f"{path.name!r} holds the weights of {layers} layers and no architecture. Save the whole model "
            f"(model.save('{name}.keras')), or put the architecture beside it as {name}.json (model.to_json())"
        )
    if not has_weights:
        raise ModelNotLoadable(f"{path.name!r} holds an architecture and no weights")
    training = attributes["training_config"]
    return _contents(
        "hdf5",
        path,
        parsed(config, f"the architecture in {path.name!r}"),
        attributes["keras_version"],
        None if training is None else parsed(training, f"the training config in {path.name!r}"),
    )


def _of_pair(architecture: Path, weights: Path) -> Contents:
    if problem := weights_problem(weights):
        raise ModelNotLoadable(problem)
    config = parsed(architecture.read_bytes(), f"the architecture in {architecture.name!r}")
    return _contents("pair", weights, config, config.get("keras_version") if isinstance(config, dict) else None, None)


def is_legacy_layout(path: Path) -> bool:
    """Whether weights are named as HDF5 files have them (`layer_names` at the root or under `model_weights`)."""
    with h5py.File(path, "r") as file:
        return "layer_names" in file.attrs or "model_weights" in file


def parsed(text: str | bytes, what: str) -> Json:
    """JSON values. Raises ModelNotLoadable."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelNotLoadable(f"{what} is not valid JSON") from error


def _contents(form: Form, path: Path, config: Json, version: Json, training: Json) -> Contents:
    name = config.get("class_name") if isinstance(config, dict) else type(config).__name__
    if name is None:
        raise ModelNotLoadable(f"the architecture in {path.name!r} says nothing of its kind: it has no 'class_name'")
    if not isinstance(config, dict) or (name not in CONTAINERS and not config.get("registered_name")):
        raise ModelNotLoadable(
            f"the architecture is a {name!r:.100}; only Sequential and Functional models can be loaded, "
            "because the layers of a subclassed model are not in its file"
        )
    written_by = version.decode("ascii", "replace") if isinstance(version, bytes) else str(version or "")
    training = training if isinstance(training, dict) and training else None
    return Contents(form, path, config, generation(written_by, config), written_by[:40], training)


def generation(version: str, config: Config) -> Literal[2, 3]:
    """Tells which Keras understands a config: what its version says (`2.2.4-tf` is one too), else how it is written.

    Raises ModelNotLoadable for Keras 1.
    """
    major = re.match(r"\d+", version)
    if major is None:
        return 3 if _is_of_keras_3(config) else 2
    if int(major[0]) < 2:
        raise ModelNotLoadable(
            f"the model was written by Keras {version[:40]}, whose layers are not those of Keras 2; load it with Keras "
            "2.0 to 2.2 and save it again"
        )
    return 3 if int(major[0]) >= 3 else 2


def _is_of_keras_3(config: Config) -> bool:
    """Keras 3 states `batch_shape` where Keras 2 stated `batch_input_shape`, and its calls have `args`."""
    for item in objects_in(config):
        if "batch_input_shape" in item:
            return False
        if "batch_shape" in item or {"args", "kwargs"} <= set(item):
            return True
    return False


def without_top(config: Config) -> Config:
    """A config without what `compile` was told of the whole model, which Keras does not read if it need not."""
    return {key: value for key, value in config.items() if key != "compile_config"}


def without_training(value: Json) -> Json:
    """A config without what `compile` was told: Keras makes objects of it, in nested models even if told not to."""
    if isinstance(value, list):
        return [without_training(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: without_training(item) for key, item in value.items() if key != "compile_config"}


def objects_in(value: Json) -> Iterator[Config]:
    """Every JSON object in a value, itself included, from the outside inwards."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
