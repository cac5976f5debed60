"""A warm model: the Keras model, its canonical graph and head, and all that was inferred about it. Never mutated."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from service.arrays import KerasModel, Value
from service.errors import InvalidParameter, ModelNotLoadable, UnknownLayer
from service.json_types import Fields
from service.models.backends.gradients import OwnGradients, has_own_code
from service.models.backends.tensorflow import CALL_BYTES, TensorFlowBackend
from service.models.dialects import dialect_of
from service.models.files.sources import load
from service.models.files.spec import ModelSpec, Preprocessing, labels_of
from service.models.graph.canonical import canonical
from service.models.graph.finite import bad_weights
from service.models.graph.graph import LISTED, Graph
from service.models.graph.head import Head, find_head, head_of_training
from service.models.graph.inputs import find_input
from service.models.graph.preprocess import InputShape, input_problem
from service.models.graph.scaling import find_scaling
from service.models.memory import enough_memory

# What Keras and the graph keep of a layer beside its weights: 70 to 130 kB on five networks.
LAYER_BYTES = 80_000


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """Everything an explainer needs, made once at load. `weight_bytes` is what its variables take, `layer_bytes`
    what Keras and the graph keep beside them.

    `obstacle` says, as a sentence, why no image can be explained by it: it takes a volume, or several inputs. None
    where one can. `weights_problem` says which weights are not finite.
    """

    spec: ModelSpec
    keras_model: KerasModel
    graph: Graph
    heads: tuple[Head, ...]
    labels: tuple[str, ...]
    input_shape: InputShape
    preprocessing: Preprocessing
    preprocessing_assumed: bool
    digest: str
    weight_bytes: int
    backend: TensorFlowBackend
    layer_bytes: int = 0
    notes: tuple[str, ...] = ()
    obstacle: str | None = None
    weights_problem: str | None = None

    @property
    def bytes(self) -> int:
        """Counts all that it takes at the moment, what is compiled for it included; the registry's budget bounds it."""
        return self.weight_bytes + self.layer_bytes + self.graph.folds.bytes + self.backend.plans.bytes

    @property
    def written_by(self) -> int:
        """The generation of Keras that the model belongs to, 2 or 3."""
        return self.graph.dialect.version

    @cached_property
    def fingerprint(self) -> str:
        """32 hex digits of all that an answer follows from: the file's bytes, the spec, the labels."""
        said = "\0".join([self.digest, self.spec.model_dump_json(), *self.labels])
        return hashlib.sha256(said.encode()).hexdigest()[:32]

    @property
    def head(self) -> Head:
        """Gives the head of the first output."""
        return self.heads[0]

    def head_of(self, output: str | None) -> Head:
        """The head of an output by name, path or index; the first for None. Raises InvalidParameter."""
        if output is None:
            return self.heads[0]
        names, paths = self.graph.output_names, [head.output.path for head in self.heads]
        for known in (names, paths):
            if output in known:
                return self.heads[list(known).index(output)]
        if output.isdecimal() and int(output) < len(paths):
            return self.heads[int(output)]
        raise InvalidParameter(f"there is no output {output!r}; the model has {', '.join(names)}")

    def labels_for(self, head: Head) -> tuple[str, ...]:
        """The class names of a head: the spec's, where their number fits."""
        return self.labels if head.classes == len(self.labels) else ()


@enough_memory("to load the model")
def load_model(
    spec: ModelSpec,
    cache_dir: Path,
    call_bytes: int = CALL_BYTES,
    most_bytes: int | None = None,
    *,
    grown: Callable[[], None] = lambda: None,
    trusted: bool = False,
) -> LoadedModel:
    """Loads and examines; `call_bytes` bounds one step of a call, `grown` hears when the model takes more than before.

    Normalisation is folded where the weights and their folded copies stay within `most_bytes`.

    Code in the model's files is run only where `trusted`. Raises ModelNotLoadable, WeightsUnavailable or OutOfMemory.
    """
    # Until it is there, nobody knows whether it has code of its own.
    gradients = OwnGradients(keeps=True)
    with gradients.defined():
        model, digest, training = load(spec, cache_dir, trusted=trusted)
        graph = canonical(model)
        gradients.keeps = has_own_code(model)
    if spec.cam_layer:
        _check_cam_layer(graph, spec)
    heads = _heads(graph, spec, training)
    labels, notes = _labels(spec, heads[0])
    found = find_input(graph, spec)
    scaling = find_scaling(model.name, graph, found.tensor, spec.preprocessing)
    if found.obstacle is None and (problem := input_problem(found.shape, spec.input, scaling.preprocessing)):
        raise ModelNotLoadable(f"model {spec.id!r}: {problem}")
    if scaling.assumed and found.obstacle is None:
        mode = scaling.preprocessing.mode
        notes.append(f"preprocessing {mode!r} is assumed; say it in model.toml if it is another")
    notes += found.notes
    # A ReLU may make 0 of NaN, and then nothing in an answer shows it.
    weights_problem = bad_weights(graph)
    notes += [weights_problem] if weights_problem else []
    variables = dialect_of(model).variables(model)
    weight_bytes = sum(math.prod(variable.shape) * _item_bytes(variable) for variable in variables)
    graph.folds.copies = most_bytes is None or weight_bytes + graph.folds.bound(graph.nodes) <= most_bytes
    return LoadedModel(
        spec=spec,
        keras_model=model,
        graph=graph,
        heads=heads,
        labels=labels,
        input_shape=found.shape,
        preprocessing=scaling.preprocessing,
        preprocessing_assumed=scaling.assumed,
        digest=digest,
        weight_bytes=weight_bytes,
        layer_bytes=LAYER_BYTES * len(graph.layers),
        backend=TensorFlowBackend(call_bytes, gradients, grown),
        notes=tuple(notes),
        obstacle=found.obstacle,
        weights_problem=weights_problem,
    )


def _heads(graph: Graph, spec: ModelSpec, training: Fields | None) -> tuple[Head, ...]:
    """One an output. What the spec states is about the first."""
    names = graph.output_names
    return tuple(
        find_head(graph, spec.head if place == 0 else None, place, head_of_training(training, names, place))
        for place in range(len(graph.outputs))
    )


def _labels(spec: ModelSpec, head: Head) -> tuple[tuple[str, ...], list[str]]:
    """The class names, and notes. Raises ModelNotLoadable where their number does not fit."""
    labels = labels_of(spec)
    if not labels or head.classes is None or len(labels) == head.classes:
        return labels, []
    if spec.labels_found:
        return (), [f"the {len(labels)} labels in {spec.labels!r} are left out: the model has {head.classes} classes"]
    if spec.labels != "imagenet":
        raise ModelNotLoadable(f"model {spec.id!r} has {head.classes} classes and its spec {len(labels)} labels")
    return (), [f"the ImageNet labels are left out: the model has {head.classes} classes"]


def _check_cam_layer(graph: Graph, spec: ModelSpec) -> None:
    said = f"the spec of model {spec.id!r} names a cam_layer, but"
    try:
        entry = graph.entry(spec.cam_layer or "")
    except UnknownLayer as error:
        # No route lists the layers of a model that is not loaded.
        raise ModelNotLoadable(f"{said} {error.detail.removesuffix(LISTED)}") from error
    shape = entry.output.shape
    if len(shape) != 4 or shape[1:3] == (1, 1):
        raise ModelNotLoadable(f"{said} the output of {entry.path!r} has the shape {shape[1:]} and is no spatial map")


def _item_bytes(variable: Value) -> int:
    """Says how many bytes one number of a variable takes, of either Keras."""
    return int(np.dtype(getattr(variable.dtype, "as_numpy_dtype", variable.dtype)).itemsize)
