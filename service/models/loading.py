"""From a spec to a Keras model: `.keras`, legacy HDF5, architecture JSON + weights, keras.applications, conversions."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import keras

from service.errors import KerascopeError, ModelNotLoadable, WeightsUnavailable, nearest
from service.models import efficientnet_lite0
from service.models.legacy import Config, repair
from service.models.memory import OUT_OF_MEMORY
from service.models.spec import ModelSpec

RANDOM_WEIGHTS_SEED = 0
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def load(spec: ModelSpec, cache_dir: Path) -> tuple[Any, str]:
    """The Keras model of `spec`, uncompiled, and its digest `sha256:…`.

    Raises ModelNotLoadable with what was found and what would be right, or WeightsUnavailable when ImageNet
    weights cannot be downloaded or a package is missing.
    """
    if spec.source == "application":
        return _application(spec)
    if spec.source == "efficientnet-lite0":
        return _efficientnet_lite0(cache_dir)
    for path in spec.files():
        if not path.is_file():
            raise ModelNotLoadable(f"model {spec.id!r} names the file {path.name!r}, which is not in its folder")
    digest = file_digest(*spec.files())
    if spec.sha256 and digest != f"sha256:{spec.sha256}":
        raise ModelNotLoadable(f"the file of model {spec.id!r} has {digest}, its spec says sha256:{spec.sha256}")
    weights = spec.path(spec.weights or "")
    try:
        if spec.architecture:
            return _from_pair(spec.path(spec.architecture), weights), digest
        return load_file(weights), digest
    except (KerascopeError, *OUT_OF_MEMORY):
        raise
    except Exception as error:
        raise ModelNotLoadable(f"{weights.name!r} cannot be loaded: {_sentence(error)}") from error


def load_file(path: Path) -> Any:
    """A full model from one file, by its first bytes and not by its name."""
    with path.open("rb") as file:
        magic = file.read(8)
    if magic.startswith(b"PK\x03\x04"):
        repair(_archive_config(path))
        with _named(path, ".keras") as archive:
            return keras.models.load_model(archive, compile=False, safe_mode=True)
    if magic == HDF5_MAGIC:
        return with_weights(build(_hdf5_config(path)), path)
    raise ModelNotLoadable(
        f"{path.name!r} is no model file: it starts with {magic[:4]!r}, neither a .keras archive nor HDF5 (.h5, .hdf5)"
    )


def file_digest(*paths: Path) -> str:
    """`sha256:…` over the bytes of the files one after another."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return f"sha256:{digest.hexdigest()}"


def _archive_config(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("config.json"))
    except KeyError as error:
        raise ModelNotLoadable(
            f"{path.name!r} is a zip archive but not a .keras file: it has no config.json"
        ) from error
    except zipfile.BadZipFile as error:
        raise ModelNotLoadable(f"{path.name!r} is a damaged or incomplete zip archive: {_sentence(error)}") from error
    except (ValueError, RecursionError) as error:
        raise ModelNotLoadable(f"the config.json in {path.name!r} is not valid JSON") from error


def _hdf5_config(path: Path) -> Config:
    with h5py.File(path, "r") as file:
        text = file.attrs.get("model_config")
        if text is None:
            layers = file.attrs.get("layer_names", file.get("layers", file).keys())
            raise ModelNotLoadable(
                f"{path.name!r} holds the weights of {len(layers)} layers and no architecture. Save the whole model "
                f"(model.save('{path.stem}.keras')), or put the architecture beside it as {path.stem}.json "
                "(model.to_json())"
            )
        if "model_weights" not in file:
            raise ModelNotLoadable(f"{path.name!r} holds an architecture and no weights")
    return _parse(text, path.name)


def _from_pair(architecture: Path, weights: Path) -> Any:
    return with_weights(build(_parse(architecture.read_bytes(), architecture.name)), weights)


def _parse(text: str | bytes, name: str) -> Config:
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelNotLoadable(f"the architecture in {name!r} is not valid JSON") from error
    return repair(config)


def build(config: Config) -> Any:
    """The model of a config that `repair` gave, with fresh weights. Raises ModelNotLoadable."""
    try:
        model = keras.models.model_from_json(json.dumps(config))
    except Exception as error:
        raise ModelNotLoadable(
            f"the architecture cannot be built with Keras {keras.__version__}: {_sentence(error)}"
        ) from error
    if not model.built:
        raise ModelNotLoadable("the architecture does not say the shape of its input; save the model after building it")
    return model


def with_weights(model: Any, path: Path) -> Any:
    """Weights in the layout of Keras 2 (`layer_names` at the root or under `model_weights`) or of Keras 3.

    Raises ModelNotLoadable.
    """
    with h5py.File(path, "r") as file:
        legacy = "layer_names" in file.attrs or "model_weights" in file
    try:
        with _named(path, ".h5" if legacy else ".weights.h5") as named:
            model.load_weights(named)
    except ValueError as error:
        raise ModelNotLoadable(
            f"the weights in {path.name!r} do not fit the architecture: {_sentence(error)}"
        ) from error
    return model


@contextmanager
def _named(path: Path, suffix: str) -> Iterator[Path]:
    """`path` under a name with the ending by which Keras chooses its reader."""
    if path.name.removeprefix(path.name.split(".")[0]) == suffix:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="kerascope-") as folder:
        link = Path(folder) / f"model{suffix}"
        link.symlink_to(path.resolve())
        yield link


def _application(spec: ModelSpec) -> tuple[Any, str]:
    names = [name for name in dir(keras.applications) if name[0].isupper()]
    name = spec.application or ""
    if name not in names:
        raise ModelNotLoadable(f"keras.applications has no {name!r}{nearest(name, names)}")
    application = getattr(keras.applications, name)
    kind = spec.weights or "imagenet"
    if kind == "random":
        keras.utils.set_random_seed(RANDOM_WEIGHTS_SEED)
        return application(weights=None), _label_digest(
            f"{name} random {RANDOM_WEIGHTS_SEED} keras {keras.__version__}"
        )
    if kind == "imagenet":
        try:
            return application(weights="imagenet"), _label_digest(f"{name} imagenet keras {keras.__version__}")
        except Exception as error:
            raise WeightsUnavailable(
                f"the ImageNet weights of {name} could not be downloaded. Let this machine reach the network once, "
                "or put the weights file into the model's folder and name it as 'weights' in its spec"
            ) from error
    path = spec.path(kind)
    if not path.is_file():
        raise ModelNotLoadable(f"model {spec.id!r} names the weights {kind!r}, which is not in its folder")
    return with_weights(application(weights=None), path), file_digest(path)


def _efficientnet_lite0(cache_dir: Path) -> tuple[Any, str]:
    """Converted once, then read from the cache; a cache that cannot be read is made again."""
    digest = efficientnet_lite0.SHA256
    cached = cache_dir / f"efficientnet-lite0-{digest[:16]}.keras"
    if cached.is_file():
        try:
            return keras.models.load_model(cached, compile=False, safe_mode=True), f"sha256:{digest}"
        except (ValueError, OSError, zipfile.BadZipFile, KeyError):
            cached.unlink(missing_ok=True)
    model = efficientnet_lite0.convert(efficientnet_lite0.find_checkpoint())
    cache_dir.mkdir(parents=True, exist_ok=True)
    partial = cached.with_name(f".{cached.stem}.partial.keras")
    model.save(partial)
    partial.replace(cached)
    return model, f"sha256:{digest}"


def _label_digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _sentence(error: Exception) -> str:
    """What a library's message says first, bounded: long dumps of configs and folders stay out of answers."""
    innermost = str(error).rsplit("Exception encountered: ", 1)[-1]
    lines = [line.strip() for line in innermost.splitlines() if line.strip()] or [type(error).__name__]
    said = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return re.sub(r"(?<![\w.])/(?:[^\s'\"/]+/)+", "", said)[:300]
