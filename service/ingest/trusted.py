"""What may be loaded from where: what is code in a model is found before any Keras loads it."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection
from enum import Enum
from pathlib import Path

from service.errors import ModelNotLoadable
from service.ingest.code import code_in, needs_hub
from service.ingest.config import Config
from service.ingest.graph import Wiring, check_functional
from service.ingest.limits import MAX_LAYERS
from service.ingest.upload import without_training
from service.ingest.verdict import Refused
from service.models.files.opening.contents import Contents, contents_of, objects_in
from service.models.files.opening.weights import foreign_storage
from service.models.files.sources import require_files
from service.models.files.spec import ModelSpec

_SAID_AT_MOST = 12


class Trust(Enum):
    """How far a model is trusted: to run code, to be what the service itself wrote, or only to compute."""

    WHOLE = "whole"
    NO_CODE = "no code"
    UPLOAD = "upload"
    SHIPPED = "shipped"


def trust_in(spec: ModelSpec, models_dir: Path, uploads_dir: Path, *, all_of_folder: bool) -> Trust:
    """By where the model lies, and by what its spec and the setting KERASCOPE_TRUST_MODELS_DIR say.

    What an upload's spec says counts for nothing.
    """
    folder = (spec.folder or Path()).resolve()
    if spec.folder and folder.is_relative_to(uploads_dir.resolve()):
        return Trust.UPLOAD
    if spec.folder and folder.is_relative_to(models_dir.resolve()):
        return Trust.WHOLE if all_of_folder or spec.trusted else Trust.NO_CODE
    return Trust.SHIPPED


def require_allowed(spec: ModelSpec, trust: Trust, extra_classes: Collection[str]) -> None:
    """Raises ModelNotLoadable for a model that is not what its place allows; `extra_classes` are for uploads."""
    if spec.source != "file" or trust is Trust.SHIPPED:
        return
    require_files(spec)
    if trust is Trust.NO_CODE:
        require_no_code(spec)
    elif trust is Trust.UPLOAD:
        require_upload(spec, extra_classes)
    else:
        require_hub(contents_of(spec))


def require_upload(spec: ModelSpec, extra_classes: Collection[str]) -> None:
    """The allow-list again, for the file that was written when the model was taken. Raises ModelNotLoadable."""
    config = without_training(contents_of(spec).config)
    try:
        Config(extra_classes, MAX_LAYERS).check_model(config)
    except Refused as refused:
        said = f"the stored file of model {spec.id!r} is not one that is taken: {refused.detail}"
        raise ModelNotLoadable(said) from None


def require_no_code(spec: ModelSpec) -> None:
    """Raises ModelNotLoadable for a model of files that holds code, opens files, or cannot be read.

    The sentence names everything at once. Reads no weights.
    """
    if spec.source != "file":
        return
    contents = contents_of(spec)
    found = code_in(contents.config)
    if contents.form in ("hdf5", "pair") and (link := foreign_storage(contents.path)):
        found.append(f"the file has a link to another file, at {link!r}")
    if found:
        raise ModelNotLoadable(f"model {spec.id!r} holds code or opens files: {_said(found)}. {_hint(found)}")
    require_hub(contents)
    if contents.keras == 2:
        require_wired(contents)


def require_wired(contents: Contents) -> None:
    """Raises ModelNotLoadable for a call of a layer that is not there, for which `tf_keras` would wait for ever."""
    for item in objects_in(contents.config):
        layers = item.get("layers")
        if isinstance(layers, list) and "output_layers" in item and all(isinstance(layer, dict) for layer in layers):
            try:
                check_functional(item, Wiring(str, lambda _: None), leftovers=True)
            except Refused as refused:
                raise ModelNotLoadable(
                    f"the architecture in {contents.path.name!r} is damaged: {refused.detail}"
                ) from None


def require_hub(contents: Contents) -> None:
    """Raises ModelNotLoadable for a model of KerasHub where that is not installed."""
    if needs_hub(contents.config) and importlib.util.find_spec("keras_hub") is None:
        raise ModelNotLoadable("the model is one of KerasHub, which is not installed: pip install 'kerascope[hub]'")


def _said(found: list[str]) -> str:
    more = f"; and {len(found) - _SAID_AT_MOST} more" if len(found) > _SAID_AT_MOST else ""
    return "; ".join(found[:_SAID_AT_MOST]) + more


def _hint(found: list[str]) -> str:
    classes = any(" is of the class " in item or " no function of Keras" in item for item in found)
    own = ', and custom_objects = "layers.py:MyLayer" with the Python file beside it' if classes else ""
    return (
        f"If you trust where it came from, say trusted = true in its model.toml{own}; the setting "
        "KERASCOPE_TRUST_MODELS_DIR trusts the whole folder"
    )
