"""Networks that have their channels first, as a graph that has them last.

Every picture, map and window of the service is (batch, height, width, channels). So the graph of a network of the other
order holds its maps in ours: layers that know `data_format` are taken as twins that have channels last, on the same
weights, and around any other operation the values are turned.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import keras

from service.arrays import KerasModel, Layer, Structure, Value
from service.models.dialects.dialect import Dialect, Shape, Symbol

_TO_FIRST, _TO_LAST = (0, 3, 1, 2), (0, 2, 3, 1)
_FEW = (1, 2, 3, 4)
# Activations that do not look at each value alone.
ALONG_CHANNELS = ("softmax", "log_softmax", "sparsemax")


def last(shape: Shape) -> Shape:
    """(batch, channels, height, width) → (batch, height, width, channels)."""
    return (shape[0], shape[2], shape[3], shape[1])


def has_channels_first(dialect: Dialect, functional: KerasModel, symbol: Symbol) -> bool:
    """Whether an input of four axes has its channels first.

    The first layer says it that has a `data_format`; without one the shape does, where only its second axis is as small
    as channels are.
    """
    if len(symbol.shape) != 4:
        return False
    said = _said(dialect, functional)
    if said is not None and not _turned_first(dialect, functional, symbol):
        return said == "channels_first"
    return symbol.shape[1] in _FEW and symbol.shape[3] is not None and symbol.shape[3] not in _FEW


def _said(dialect: Dialect, functional: KerasModel) -> str | None:
    for call in dialect.calls(functional):
        inner = dialect.functional(call.operation)
        found = _said(dialect, inner) if inner is not None else getattr(call.operation, "data_format", None)
        if type(call.operation).__name__ != "Flatten" and found in ("channels_first", "channels_last"):
            return str(found)
    return None


def _turned_first(dialect: Dialect, functional: KerasModel, symbol: Symbol) -> bool:
    """Whether what reads the input turns its axes before anything else."""
    # Of several inputs the others are nothing here; Keras 3 asks for each by its key.
    known: defaultdict[int, Value] = defaultdict(lambda: None, {symbol.key: symbol})
    for call in dialect.calls(functional):
        args, kwargs = call.fill(known)
        if any(item is symbol for item in keras.tree.flatten((tuple(args), dict(kwargs)))):
            return _turn(call.operation) is not None
    return False


def _turn(operation: Layer) -> tuple[int, ...] | None:
    """The order of four axes that a Permute or Transpose brings them in; None for any other operation."""
    if type(operation).__name__ == "Permute" and len(operation.dims) == 3:
        return (0, *(int(axis) for axis in operation.dims))
    if type(operation).__name__ == "Transpose" and len(getattr(operation, "axes", None) or ()) == 4:
        return tuple(int(axis) for axis in operation.axes)
    return None


@dataclass(frozen=True)
class ChannelsFirst:
    """What one operation takes and gives in the file; `knows_format` says that a twin may have channels last."""

    takes_first: bool
    gives_first: bool
    knows_format: bool

    @classmethod
    def of(cls, operation: Layer, takes_first: bool) -> ChannelsFirst:
        """`takes_first` says that some value among its arguments has channels first in the file."""
        stated = getattr(operation, "data_format", None)
        turn = _turn(operation)
        if turn is not None:
            gives_first = turn == _TO_FIRST if not takes_first else turn == (0, 1, 2, 3)
        elif stated in ("channels_first", "channels_last"):
            gives_first = stated == "channels_first"
        else:
            gives_first = takes_first
        return cls(takes_first, gives_first, stated == "channels_first")

    def around(self, operation: Layer, dialect: Dialect, turns: tuple[bool, ...]) -> Layer:
        """What computes the same of values that have channels last; `turns` says which of all arguments are such."""
        if not self.takes_first and not self.gives_first:
            return operation
        if self.knows_format and self.takes_first and (twin := dialect.channels_last(operation)) is not None:
            return twin
        return Turned(operation, turns, self.gives_first)


@dataclass(frozen=True, eq=False)
class Turned:
    """An operation of values with channels first, called with values that have them last."""

    operation: Layer
    turns: tuple[bool, ...]
    gives_first: bool

    def __call__(self, *args: Structure, **kwargs: Structure) -> Value:
        given = (args, kwargs)
        # Constants of the file are in its own order already.
        values = [
            _turned(item, _TO_FIRST) if turn else item
            for item, turn in zip(keras.tree.flatten(given), self.turns, strict=True)
        ]
        args, kwargs = keras.tree.pack_sequence_as(given, values)
        result = self.operation(*args, **kwargs)
        return keras.tree.map_structure(lambda item: _turned(item, _TO_LAST), result) if self.gives_first else result


def _turned(item: Structure, order: tuple[int, ...]) -> Value:
    is_map = hasattr(item, "dtype") and hasattr(item, "shape") and len(item.shape) == 4
    return keras.ops.transpose(item, order) if is_map else item
