"""From a spec to a model of Keras: its files, keras.applications, conversions."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import keras
import structlog

from service.arrays import KerasModel
from service.errors import KerascopeError, ModelNotLoadable, WeightsUnavailable, nearest
from service.files import replacing
from service.models.files import efficientnet_lite0
from service.models.files.opening import keras3
from service.models.files.opening.contents import Config, Contents, contents_of
from service.models.files.opening.first_look import missing_file, missing_weights
from service.models.files.opening.library_message import short_sentence
from service.models.files.opening.own_code import own_objects
from service.models.files.spec import ModelSpec
from service.models.memory import OUT_OF_MEMORY

log = structlog.get_logger(__name__)

RANDOM_WEIGHTS_SEED = 0


def load(spec: ModelSpec, cache_dir: Path, *, trusted: bool = False) -> tuple[KerasModel, str, Config | None]:
    """The Keras model of `spec`, uncompiled, its digest `sha256:…`, and what `compile` was told, as JSON values.

    Code in its file is run only where `trusted`.

    Raises ModelNotLoadable with what was found and what would be right, or WeightsUnavailable when ImageNet
    weights cannot be downloaded or a package is missing.
    """
    if spec.source == "application":
        return *_application(spec), None
    if spec.source == "efficientnet-lite0":
        return *_efficientnet_lite0(cache_dir), None
    require_files(spec)
    digest = file_digest(*spec.files())
    if spec.sha256 and digest != f"sha256:{spec.sha256}":
        raise ModelNotLoadable(f"the file of model {spec.id!r} has {digest}, its spec says sha256:{spec.sha256}")
    try:
        contents = contents_of(spec)
        return open_contents(contents, spec, trusted=trusted), digest, contents.training
    except (KerascopeError, *OUT_OF_MEMORY):
        raise
    except Exception as error:
        raise ModelNotLoadable(f"{spec.weights!r} cannot be loaded: {short_sentence(error)}") from error


def require_files(spec: ModelSpec) -> None:
    """Raises ModelNotLoadable where a file that the spec names is not there."""
    for path in spec.files():
        if not path.is_file():
            raise ModelNotLoadable(missing_file(spec, path))


def open_contents(contents: Contents, spec: ModelSpec, *, trusted: bool = False) -> KerasModel:
    """The model that a file holds, built by the Keras that wrote it. Raises ModelNotLoadable, or what Keras raises."""
    objects = own_objects(spec, contents.keras) if trusted else {}
    if contents.keras == 2:
        from service.models.files.opening import keras2

        return keras2.open_model(contents, objects, trusted=trusted)
    return keras3.open_model(contents, objects, trusted=trusted)


def file_digest(*paths: Path) -> str:
    """`sha256:…` over the bytes of the files one after another."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return f"sha256:{digest.hexdigest()}"


def _application(spec: ModelSpec) -> tuple[KerasModel, str]:
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
    if problem := missing_weights(spec):
        raise ModelNotLoadable(problem)
    path = spec.path(kind)
    model = application(weights=None)
    keras3.load_weights(model, path)
    return model, file_digest(path)


def _efficientnet_lite0(cache_dir: Path) -> tuple[KerasModel, str]:
    """Converted once, then read from the cache; a cache that cannot be read is made again."""
    digest = efficientnet_lite0.SHA256
    cached = cache_dir / f"efficientnet-lite0-{digest[:16]}.keras"
    if cached.is_file():
        try:
            return keras.models.load_model(cached, compile=False, safe_mode=True), f"sha256:{digest}"
        except (ValueError, OSError, zipfile.BadZipFile, KeyError):
            cached.unlink(missing_ok=True)
    model = efficientnet_lite0.convert(efficientnet_lite0.find_checkpoint())
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with replacing(cached) as fresh:
            model.save(fresh)
    except OSError as error:
        # A full or read-only disk costs the conversion at the next start, and nothing else.
        log.warning("converted model not kept", folder=str(cache_dir), reason=error.strerror)
    return model, f"sha256:{digest}"


def _label_digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
