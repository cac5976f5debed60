"""A warm model: the Keras model, its canonical graph and head, and all that was inferred about it. Never mutated."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from service.errors import InvalidParameter, ModelNotLoadable, UnknownLayer
from service.models.backend import CALL_BYTES, TensorFlowBackend
from service.models.canonical import canonical
from service.models.freezing import Room
from service.models.graph import Graph
from service.models.head import Head, find_head
from service.models.labels import labels_of
from service.models.loading import load
from service.models.memory import enough_memory
from service.models.preprocess import InputShape
from service.models.spec import ModelSpec, Preprocessing, PreprocessingMode

DEFAULT_SIZE_PX = 224
# Preprocessing of well-known families, by the name Keras gives the network; the first match counts.
KNOWN_FAMILIES: Sequence[tuple[str, PreprocessingMode]] = (
    (r"^(vgg|resnet\d+$)", "caffe"),
    (r"^densenet", "torch"),
    (r"^(mobilenet_|mobilenetv2|inception|xception|nasnet|resnet\d+v2)", "tf"),
)
_SCALING_LAYERS = ("Rescaling", "Normalization")


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """Everything an explainer needs, made once at load. `weight_bytes` is what the registry's budget counts."""

    spec: ModelSpec
    keras_model: Any
    graph: Graph
    heads: tuple[Head, ...]
    labels: tuple[str, ...]
    input_shape: InputShape
    preprocessing: Preprocessing
    preprocessing_assumed: bool
    digest: str
    weight_bytes: int
    backend: TensorFlowBackend
    summary: str
    notes: tuple[str, ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        """32 hex digits of all that an answer follows from: the file's bytes, the spec, the labels."""
        said = "\0".join([self.digest, self.spec.model_dump_json(), *self.labels])
        return hashlib.sha256(said.encode()).hexdigest()[:32]

    @property
    def head(self) -> Head:
        """That of the first output."""
        return self.heads[0]

    def head_of(self, output: str | None) -> Head:
        """The head of an output by name or index; the first for None. Raises InvalidParameter."""
        names = [head.output.path for head in self.heads]
        if output is None:
            return self.heads[0]
        if output in names:
            return self.heads[names.index(output)]
        if output.isdecimal() and int(output) < len(names):
            return self.heads[int(output)]
        raise InvalidParameter(f"there is no output {output!r}; the model has {', '.join(names)}")

    def labels_for(self, head: Head) -> tuple[str, ...]:
        """The class names of a head: the spec's, where their number fits."""
        return self.labels if head.classes == len(self.labels) else ()


@enough_memory("to load the model")
def load_model(spec: ModelSpec, cache_dir: Path, call_bytes: int = CALL_BYTES, room: Room | None = None) -> LoadedModel:
    """Loads and examines; `call_bytes` bounds one step of a call, `room` what its plans hold as constants.

    Raises ModelNotLoadable, WeightsUnavailable or OutOfMemory.
    """
    model, digest = load(spec, cache_dir)
    graph = canonical(model)
    if spec.cam_layer:
        _check_cam_layer(graph, spec)
    heads = tuple(find_head(graph, spec.head, output) for output in range(len(graph.outputs)))
    head = heads[0]
    labels = labels_of(spec)
    notes = []
    if labels and head.classes is not None and len(labels) != head.classes:
        if spec.labels != "imagenet":
            raise ModelNotLoadable(f"model {spec.id!r} has {head.classes} classes and its spec {len(labels)} labels")
        notes.append(f"the ImageNet labels are left out: the model has {head.classes} classes")
        labels = ()
    preprocessing, assumed = infer_preprocessing(model.name, graph, spec)
    if assumed:
        notes.append(f"preprocessing {preprocessing.mode!r} is assumed; say it in model.toml if it is another")
    lines: list[str] = []
    model.summary(print_fn=lambda line, line_break=True: lines.append(line), line_length=110)
    return LoadedModel(
        spec=spec,
        keras_model=model,
        graph=graph,
        heads=heads,
        labels=labels,
        input_shape=infer_input_shape(graph, spec),
        preprocessing=preprocessing,
        preprocessing_assumed=assumed,
        digest=digest,
        weight_bytes=_weight_bytes(model),
        backend=TensorFlowBackend(call_bytes=call_bytes, variables=model.variables, room=room),
        summary="\n".join(lines) + "\n",
        notes=tuple(notes),
    )


def infer_input_shape(graph: Graph, spec: ModelSpec) -> InputShape:
    """The one image input. Open sizes are the spec's, else 224 px. Raises ModelNotLoadable for any other input."""
    if len(graph.inputs) != 1:
        names = ", ".join(repr(tensor.path) for tensor in graph.inputs)
        raise ModelNotLoadable(f"the model has {len(graph.inputs)} inputs ({names}); only one image can be its input")
    sizes = graph.inputs[0].shape[1:]
    if len(sizes) not in (2, 3):
        raise ModelNotLoadable(f"the model's input has the shape {sizes}; an image is (height, width, channels)")
    if len(sizes) == 3 and sizes[0] in (1, 3) and sizes[2] not in (1, 3, 4, None):
        raise ModelNotLoadable(f"the model's input {sizes} has its channels first; only channels last is supported")
    height = spec.input.height or sizes[0] or DEFAULT_SIZE_PX
    width = spec.input.width or sizes[1] or DEFAULT_SIZE_PX
    for name, stated, fixed in (("height", height, sizes[0]), ("width", width, sizes[1])):
        if fixed is not None and stated != fixed:
            raise ModelNotLoadable(f"the spec of model {spec.id!r} says {name} {stated}, its file says {fixed}")
    return InputShape(height, width, (sizes[2] or 3) if len(sizes) == 3 else 1, rank3=len(sizes) == 2)


def infer_preprocessing(name: str, graph: Graph, spec: ModelSpec) -> tuple[Preprocessing, bool]:
    """What the spec says; else none for a network that scales by itself; else its family's; else x/255, assumed."""
    if spec.preprocessing is not None:
        return spec.preprocessing, False
    if any(type(entry.layer).__name__ in _SCALING_LAYERS for entry in graph.layers[:6]):
        return Preprocessing(mode="none"), False
    for pattern, mode in KNOWN_FAMILIES:
        if re.match(pattern, name.lower()):
            return Preprocessing(mode=mode), True
    return Preprocessing(mode="rescale01"), True


def _check_cam_layer(graph: Graph, spec: ModelSpec) -> None:
    try:
        graph.entry(spec.cam_layer or "")
    except UnknownLayer as error:
        raise ModelNotLoadable(f"the spec of model {spec.id!r} names a cam_layer, but {error.detail}") from error


def _weight_bytes(model: Any) -> int:
    """Bytes of every variable, shared ones once."""
    unique = {id(variable): variable for variable in model.variables}
    return sum(math.prod(variable.shape) * np.dtype(variable.dtype).itemsize for variable in unique.values())
