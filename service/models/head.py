"""How a model's output becomes class scores: which value is the logit, and what turns it into a probability."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from service.errors import MethodNotValid
from service.models.graph import Graph, Node, Tensor
from service.models.spec import HeadKind

_SHAPE_ONLY = (keras.layers.Reshape, keras.layers.Flatten, keras.layers.Dropout, keras.layers.Identity)


@dataclass(frozen=True, eq=False)
class Head:
    """`logits` is the value in front of softmax or sigmoid; with neither, the model's output itself.

    `activation` names what the file applies last (`softmax`, `sigmoid`, `linear`, `relu`, …). `classes` counts the
    targets a caller may ask for: a single sigmoid unit has two (1 is +z, 0 is -z). None when the output is a map
    and no vector of class scores.
    """

    kind: HeadKind
    activation: str
    logits: Tensor
    output: Tensor
    classes: int | None
    inferred: bool

    @property
    def binary(self) -> bool:
        """One sigmoid unit that stands for two classes."""
        return self.kind == "sigmoid" and _units(self.logits) == 1

    @property
    def score_kind(self) -> str:
        """`logit`, or `output` where the file ends in an activation that is no probability, such as ReLU."""
        return "output" if self.kind == "logits" and self.activation != "linear" else "logit"

    def check_classes(self) -> None:
        """Raises MethodNotValid when the output is a map."""
        if self.classes is None:
            raise MethodNotValid(
                f"the model's output has the shape {self.output.shape[1:]}: a map and no vector of class scores, "
                "so there is no class to explain"
            )

    def class_scores(self, logits: Any) -> Any:
        """(batch, …) logits → (batch, classes) float32 scores, one a target. Raises MethodNotValid for a map."""
        self.check_classes()
        scores = keras.ops.cast(keras.ops.reshape(logits, (-1, _units(self.logits) or 1)), "float32")
        return keras.ops.concatenate([-scores, scores], axis=1) if self.binary else scores

    def probabilities(self, scores: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """(classes,) scores → probabilities; None where the output is none (ReLU head, single linear unit)."""
        if self.kind == "sigmoid":
            return np.asarray(np.exp(-np.logaddexp(0, -scores.astype(np.float64))), np.float32)
        if self.kind == "logits" and (self.activation != "linear" or len(scores) < 2):
            return None
        shifted = np.exp(scores.astype(np.float64) - scores.max())
        return np.asarray(shifted / shifted.sum(), np.float32)


def find_head(graph: Graph, stated: HeadKind | None = None, output: int = 0) -> Head:
    """The head of one output. `stated`, from the spec, says what is applied where the file cannot tell."""
    last = graph.outputs[output]
    node = _behind_shape_changes(graph, last)
    activation = (node.activation if node else None) or "linear"
    found: HeadKind = "logits"
    logits = last
    if node is not None and activation in ("softmax", "sigmoid"):
        found = "softmax" if activation == "softmax" else "sigmoid"
        logits = node.inputs[0]
    kind = stated or found
    units = _units(logits)
    classes = 2 if kind == "sigmoid" and units == 1 else units
    return Head(kind, activation, logits, last, classes, inferred=stated is None)


def _behind_shape_changes(graph: Graph, tensor: Tensor) -> Node | None:
    """The node that made the values of `tensor`, past reshapes and dropouts, which leave them as they are."""
    node = graph.producer.get(tensor)
    while node is not None and (isinstance(node.op, _SHAPE_ONLY) or node.activation == "linear"):
        node = graph.producer.get(node.inputs[0])
    return node


def _units(tensor: Tensor) -> int | None:
    """Class scores in `tensor`: its size when all but one of its axes are 1, else None."""
    sizes = tensor.shape[1:]
    if any(size is None for size in sizes) or sum(size != 1 for size in sizes) > 1:
        return None
    return math.prod(size for size in sizes if size is not None)
