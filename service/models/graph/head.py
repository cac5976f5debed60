"""How a model's output becomes class scores: which value is explained, and what turns it into a probability."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from service.arrays import Value
from service.errors import MethodNotValid
from service.json_types import Fields
from service.models.files.spec import HeadKind
from service.models.graph.graph import Graph, Node, Tensor

IMAGENET_CLASSES = 1000
_SOFTMAX, _SIGMOID = ("softmax", "log_softmax"), ("sigmoid",)
_IN_0_TO_1 = (*_SOFTMAX[:1], *_SIGMOID, "hard_sigmoid", "sparsemax")
_OF_SOFTMAX = {"CategoricalCrossentropy", "SparseCategoricalCrossentropy", "CategoricalFocalCrossentropy"}
_OF_SIGMOID = {"BinaryCrossentropy", "BinaryFocalCrossentropy"}
_ROUNDING = 1e-6
_DEEPEST = 64


@dataclass(frozen=True, eq=False)
class Head:
    """`logits` is the value that is explained: in front of softmax or sigmoid, else the model's output itself.

    `kind` says what it is. `softmax` and `sigmoid`: a logit. `logits`: a logit too, behind which the file applies
    nothing. `probabilities`: a probability itself, which the network has averaged or pooled. `values`: neither, as in
    regression. `activation` names what the file applies last (`softmax`, `sigmoid`, `linear`, `relu`, …). `classes`
    counts the targets a caller may ask for: a single unit that is a logit or probability has two (1 is z or p, 0 is -z
    or 1 - p). None when the output is a map and no vector of class scores.
    """

    kind: HeadKind
    activation: str
    logits: Tensor
    output: Tensor
    classes: int | None
    inferred: bool

    @property
    def binary(self) -> bool:
        """One unit that stands for two classes."""
        return self.kind != "values" and self.kind != "softmax" and _units(self.logits) == 1

    @property
    def score_kind(self) -> str:
        """`logit`, `probability` or `value`."""
        return {"probabilities": "probability", "values": "value"}.get(self.kind, "logit")

    @property
    def doubt(self) -> str | None:
        """What the file leaves open of a head whose units it applies nothing to, and how to say it; None for others."""
        if self.kind != "values" or not self.inferred or self.activation != "linear" or self.classes is None:
            return None
        return (
            f"the network ends in {self.classes} linear unit{'s' if self.classes > 1 else ''}, and nothing in the file "
            'says that these are logits: they are taken as plain values. Say head = "logits" in model.toml where a '
            'softmax or sigmoid belongs behind them, or head = "values" to leave this warning out'
        )

    def check_classes(self) -> None:
        """Raises MethodNotValid when the output is a map."""
        if self.classes is None:
            raise MethodNotValid(
                f"the model's output has the shape {self.output.shape[1:]}: a map and no vector of class scores, "
                "so there is no class to explain"
            )

    def class_scores(self, logits: Value) -> Value:
        """(batch, …) of `logits` → (batch, classes) float32 scores, one a target. Raises MethodNotValid for a map."""
        self.check_classes()
        scores = keras.ops.cast(keras.ops.reshape(logits, (-1, _units(self.logits) or 1)), "float32")
        if not self.binary:
            return scores
        return keras.ops.concatenate([1 - scores if self.kind == "probabilities" else -scores, scores], axis=1)

    def probabilities(self, scores: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """(classes,) scores → probabilities; None where the output is none."""
        if self.kind == "values":
            return None
        if self.kind == "probabilities":
            return np.asarray(scores, np.float32)
        if self.kind == "sigmoid" or self.binary:
            return np.asarray(np.exp(-np.logaddexp(0, -scores.astype(np.float64))), np.float32)
        shifted = np.exp(scores.astype(np.float64) - scores.max())
        return np.asarray(shifted / shifted.sum(), np.float32)


def find_head(graph: Graph, stated: HeadKind | None = None, output: int = 0, trained: HeadKind | None = None) -> Head:
    """The head of one output. `stated` is what the spec says, `trained` what the training config in the file does."""
    last = graph.outputs[output]
    node = _behind_shape_changes(graph, last)
    activation = (node.activation if node else None) or "linear"
    units = _units(last)
    found: HeadKind = "values"
    if activation in _SOFTMAX:
        found = "softmax"
    elif activation in _SIGMOID:
        found = "sigmoid"
    elif _is_probability(graph, last):
        found = "probabilities"
    elif activation == "linear" and trained is not None:
        found = "logits" if units == 1 else trained
    elif activation == "linear" and units == IMAGENET_CLASSES:
        found = "logits"
    kind = stated or found
    is_output = kind in ("probabilities", "values")
    before = node.inputs[0] if node and activation in (*_SOFTMAX, *_SIGMOID) and not is_output else last
    units = _units(before)
    classes = 2 if units == 1 and kind not in ("values", "softmax") else units
    return Head(kind, activation, before, last, classes, inferred=stated is None)


def head_of_training(training: Fields | None, names: Sequence[str], place: int) -> HeadKind | None:
    """What the loss says of an output that the file applies nothing to: `logits` for softmax or one unit, `sigmoid`.

    `training` is what `compile` was told, as JSON values; `names` are those of the outputs. None where no loss says
    `from_logits`.
    """
    loss = (training or {}).get("loss")
    if isinstance(loss, dict) and "class_name" not in loss:
        loss = loss.get(names[place])
    elif isinstance(loss, list):
        loss = loss[place] if place < len(loss) else None
    config = loss.get("config") if isinstance(loss, dict) else None
    if not isinstance(loss, dict) or not isinstance(config, dict) or not config.get("from_logits"):
        return None
    if loss.get("class_name") in _OF_SOFTMAX:
        return "logits"
    return "sigmoid" if loss.get("class_name") in _OF_SIGMOID else None


def _behind_shape_changes(graph: Graph, tensor: Tensor) -> Node | None:
    """The node that made the values of `tensor`, past reshapes and dropouts, which leave them as they are."""
    node = graph.producer.get(tensor)
    while node is not None and node.traits.keeps_values and node.inputs:
        node = graph.producer.get(node.inputs[0])
    return node


def _is_probability(graph: Graph, tensor: Tensor) -> bool:
    """Whether values are merged or pooled from probabilities, and so that they stay between 0 and 1."""
    bounds = _bounds(graph, tensor, 0)
    return bounds is not None and bounds[0] >= -_ROUNDING and bounds[1] <= 1 + _ROUNDING


def _bounds(graph: Graph, tensor: Tensor, depth: int) -> tuple[float, float] | None:
    """Between which numbers values lie that follow from probabilities alone; None where they do not."""
    node = _behind_shape_changes(graph, tensor)
    if node is None or depth > _DEEPEST:
        return None
    if node.activation in _IN_0_TO_1:
        return 0.0, 1.0
    if not node.inputs or (node.traits.merge is None and node.traits.affine is None):
        return None
    parts = [_bounds(graph, part, depth + 1) for part in node.inputs]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    if node.traits.affine is not None:
        (low, high), scale, offset = known[0], node.traits.affine.scale, node.traits.affine.offset
        ends = np.stack([low * scale + offset, high * scale + offset])
        return float(ends.min()), float(ends.max())
    lows, highs = zip(*known, strict=True)
    if node.traits.merge == "sum":
        return sum(lows), sum(highs)
    if node.traits.merge == "product":
        return (0.0, math.prod(highs)) if min(lows) >= 0 else None
    return min(lows), max(highs)


def _units(tensor: Tensor) -> int | None:
    """Class scores in `tensor`: its size when all but one of its axes are 1, else None."""
    sizes = tensor.shape[1:]
    if any(size is None for size in sizes) or sum(size != 1 for size in sizes) > 1:
        return None
    return math.prod(size for size in sizes if size is not None)
