"""Targets: the scores that are explained, as read from the text that a caller writes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.arrays import Floats
from service.errors import InvalidParameter, MethodNotValid, UnknownClass, nearest

if TYPE_CHECKING:
    from service.arrays import Ops, Value
    from service.models.graph.graph import Graph, Tensor
    from service.models.graph.head import Head

MAX_TARGETS = 10
# A model of no more classes names them all.
FEW_LABELS = 12
OFFERED_LABELS = 5
NOTHING = -1


@dataclass(frozen=True)
class Targets:
    """The scores that are explained, one map each.

    `matrix(ops, value)` turns the value of `tensor` into (batch, n) float32 scores. Each pair (a, b) stands for
    score a minus score b; b is -1 for none; a is -1 for the highest score, -2 for the second highest, and so on.
    `head` is None for neurons, `key` tells plans of different tensors apart, `labels` are the names of the classes.
    """

    tensor: Tensor
    matrix: Callable[[Ops, Value], Value]
    key: str
    pairs: tuple[tuple[int, int], ...] = ((-1, NOTHING),)
    head: Head | None = None
    labels: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What each pair is called: label or index, with `-` between the two of a contrast. Ranks must be resolved."""
        pairs = ([index for index in pair if index != NOTHING] for pair in self.pairs)
        return tuple("-".join(self.labels[index] if self.labels else str(index) for index in pair) for pair in pairs)

    def chosen(self, count: int = 1) -> NDArray[np.int32]:
        """The pairs as (count, targets, 2) int32, the same for each of `count` images, for a compiled plan."""
        return np.broadcast_to(np.array(self.pairs, np.int32), (count, len(self.pairs), 2))

    def scores(self, ops: Ops, matrix: Value, chosen: Value) -> list[Value]:
        """(batch, n) scores and the (batch, targets, 2) pairs as tensors → for each target its (batch,) scores."""
        count = matrix.shape[1]
        _, ranking = ops.top_k(matrix, min(count, MAX_TARGETS))
        found = []
        for place in range(len(self.pairs)):
            first, second = chosen[:, place, 0], chosen[:, place, 1]
            ranked = ops.take_along_axis(ranking, ops.maximum(-first - 1, 0)[:, None], axis=1)[:, 0]
            index = ops.where(first < 0, ops.cast(ranked, "int32"), first)
            value = ops.sum(matrix * ops.one_hot(index, count, dtype="float32"), axis=1)
            found.append(value - ops.sum(matrix * ops.one_hot(second, count, dtype="float32"), axis=1))
        return found

    def resolved(self, scores: Floats) -> Targets:
        """Replaces every rank by the index it has in the (n,) `scores`."""
        order = np.argsort(-scores, kind="stable")
        pairs = tuple((int(order[-first - 1]) if first < 0 else first, second) for first, second in self.pairs)
        return replace(self, pairs=pairs)

    def values(self, scores: Floats) -> Floats:
        """(…, n) scores → (…, targets): each target's own score. Ranks must be resolved."""
        first = scores[..., [first for first, _ in self.pairs]]
        second = [scores[..., b] if b != NOTHING else np.zeros_like(scores[..., 0]) for _, b in self.pairs]
        return np.asarray(first - np.stack(second, axis=-1), np.float32)

    @property
    def has_probability(self) -> bool:
        """False for an output that is no probability, for contrasts and for neurons."""
        head = self.head
        return head is not None and head.kind != "values" and all(second == NOTHING for _, second in self.pairs)

    def probabilities(self, scores: Floats) -> Floats | None:
        """Gives as `values` does the probabilities; None where the target has none."""
        if self.head is None or not self.has_probability:
            return None
        flat = scores.reshape(-1, scores.shape[-1])
        rows = [self.head.probabilities(row) for row in flat]
        return self.values(np.stack([row for row in rows if row is not None]).reshape(scores.shape))


def parse_targets(text: str, graph: Graph, head: Head, labels: Sequence[str]) -> Targets:
    """`top1` … `top10`, an index, a label, several of these with commas, a contrast `a-b`, or `neuron:layer:…`.

    Raises UnknownClass with the closest labels, with all of a few, or with the valid range, InvalidParameter for what
    cannot be read, MethodNotValid for a model without class scores.
    """
    if text.startswith("neuron:"):
        return _neuron(text, graph)
    if head.classes is None:
        raise MethodNotValid(
            f"the model's output has the shape {head.output.shape[1:]}: a map and no vector of class scores; explain a "
            "cell of it with target=neuron:<layer>:<row>,<column>,<channel>"
        )
    ranks = re.fullmatch(r"top(\d{1,4})", text)
    if ranks:
        count = int(ranks[1])
        if not 1 <= count <= min(MAX_TARGETS, head.classes):
            raise InvalidParameter(f"target {text!r}: at most top{min(MAX_TARGETS, head.classes)} for this model")
        pairs = [(-rank, NOTHING) for rank in range(1, count + 1)]
    else:
        pairs = [_pair(part.strip(), head.classes, labels) for part in text.split(",")]
    if len(pairs) > MAX_TARGETS:
        raise InvalidParameter(f"{len(pairs)} targets are more than the {MAX_TARGETS} one call may have")
    return replace(class_targets(head, tuple(pairs)), labels=tuple(labels))


def stated_targets(text: str) -> int:
    """How many targets a text names."""
    ranks = re.fullmatch(r"top(\d{1,4})", text)
    if ranks:
        return int(ranks[1])
    return 1 if text.startswith("neuron:") else len(text.split(","))


def class_targets(head: Head, pairs: tuple[tuple[int, int], ...] = ((-1, NOTHING),)) -> Targets:
    """Targets among the classes of one output."""
    return Targets(
        head.logits, lambda _, logits: head.class_scores(logits), f"classes of {head.output.path}", pairs, head
    )


def _pair(text: str, classes: int, labels: Sequence[str]) -> tuple[int, int]:
    """A class, or two of them with `-` between; labels may hold a `-` themselves."""
    if not _is_index(text) and text not in labels:
        for cut in (match.start() for match in re.finditer("-", text)):
            left, right = text[:cut], text[cut + 1 :]
            if all(_is_index(part) or part in labels for part in (left, right)):
                return _class_index(left, classes, labels), _class_index(right, classes, labels)
    return _class_index(text, classes, labels), NOTHING


def _is_index(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,9}", text) is not None


def _class_index(text: str, classes: int, labels: Sequence[str]) -> int:
    if re.fullmatch(r"-?[0-9]+", text):
        if not _is_index(text) or int(text) >= classes:
            raise UnknownClass(f"there is no class {text[:40]}; the model has the classes 0 to {classes - 1}")
        return int(text)
    places = [index for index, label in enumerate(labels) if label == text]
    if not places:
        places = [index for index, label in enumerate(labels) if label.lower() == text.lower().replace(" ", "_")]
    if len(places) > 1:
        raise InvalidParameter(f"{text!r} is the label of the classes {places}; say which by its index")
    if places:
        return places[0]
    if not labels:
        raise UnknownClass(
            f"{text!r} is no class: this model has no labels, so write an index from 0 to {classes - 1}, or top1"
        )
    if len(labels) <= FEW_LABELS:
        raise UnknownClass(f"there is no class {text!r}; the classes are {', '.join(map(repr, labels))}")
    near = nearest(text, labels, OFFERED_LABELS) or f"; write a label, or an index from 0 to {classes - 1}"
    raise UnknownClass(f"there is no class {text!r}{near}")


def _neuron(text: str, graph: Graph) -> Targets:
    """`neuron:layer:unit` of a vector, `neuron:layer:channel` (mean of a map) or `neuron:layer:row,column,channel`."""
    match = re.fullmatch(r"neuron:(.+):(\d{1,6})(?:,(\d{1,6}),(\d{1,6}))?", text)
    if match is None:
        raise InvalidParameter(
            f"target {text!r} is no neuron; write neuron:<layer>:<unit or channel>, or "
            "neuron:<layer>:<row>,<column>,<channel>"
        )
    tensor = graph.value(match[1])
    shape = tensor.shape[1:]
    cell = [int(part) for part in match.groups()[1:] if part is not None]
    if len(shape) not in (1, 3) or (len(shape) == 1 and len(cell) == 3) or None in shape:
        raise InvalidParameter(f"target {text!r} does not fit layer {tensor.path!r} of the shape {shape}")
    limits = shape if len(cell) == len(shape) else shape[-1:]
    if any(place >= (limit or 0) for place, limit in zip(cell, limits, strict=True)):
        raise InvalidParameter(f"target {text!r} lies outside layer {tensor.path!r} of the shape {shape}")
    index = int(np.ravel_multi_index(cell, [size or 1 for size in limits]))
    mean = len(shape) == 3 and len(cell) == 1

    count = int(np.prod([size or 1 for size in shape]))

    def matrix(ops: Ops, value: Value) -> Value:
        values = ops.cast(value, "float32")
        return ops.mean(values, axis=(1, 2)) if mean else ops.reshape(values, (-1, count))

    return Targets(tensor, matrix, f"{'mean of ' if mean else ''}{tensor.path}", ((index, NOTHING),))
