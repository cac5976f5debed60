"""What a reader of one Keras answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from service.models.dialects.traits import Affine, Traits
from service.models.dialects.weighted import Weighted

Shape = tuple[int | None, ...]


@dataclass(frozen=True, eq=False)
class Symbol:
    """A value in a model of Keras: `key` tells it from others."""

    key: int
    name: str
    shape: Shape
    dtype: str


@dataclass(frozen=True, eq=False)
class Call:
    """One call of an operation in a model. `fill` gives its arguments with others in the places of symbols, by key."""

    operation: Any
    fill: Callable[[Mapping[int, Any]], tuple[Any, Mapping[str, Any]]]
    outputs: Sequence[Symbol]


class Dialect(Protocol):
    """Models, layers and functions of one Keras are passed as they are; nothing of them is changed."""

    @property
    def version(self) -> Literal[2, 3]:
        """The generation that it reads."""

    def functional(self, thing: Any) -> Any | None:
        """The node-by-node form of a model: itself, a built Sequential's inside, or None for anything else."""

    def inputs(self, functional: Any) -> Sequence[tuple[Symbol, Any]]:
        """The inputs, each with the layer it belongs to."""

    def outputs(self, functional: Any) -> Sequence[Symbol]:
        """The outputs in order."""

    def output_names(self, functional: Any) -> Sequence[str]:
        """How the file's author names them: the keys of a dictionary, else the names of the layers."""

    def calls(self, functional: Any) -> Iterator[Call]:
        """Every call in an order in which they can be computed, without the inputs."""

    def is_sequential(self, thing: Any) -> bool:
        """Whether it is a Sequential model."""

    def is_layer(self, operation: Any) -> bool:
        """Whether it is a layer, and no bare operation or function."""

    def context(self, operation: Any, kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """The named arguments for a call that predicts: `training` is False wherever it is taken."""

    def fused_activation(self, operation: Any) -> Callable[..., Any] | None:
        """The activation that a dense layer or convolution applies to its result, None for none."""

    def without_activation(self, layer: Any) -> Any:
        """A twin whose activation is linear."""

    def twin(self, layer: Any, **changes: Any) -> Any:
        """A second object on the very same variables, with other attributes, that leaves no losses in the first."""

    def channels_last(self, layer: Any) -> Any | None:
        """A twin that takes and gives channels last, of a layer that has them first; None where there is no such."""

    def traits(self, operation: Any, arguments: Any) -> Traits:
        """What the operation is; `arguments` are those beside tensors, in any structure."""

    def weighted(self, operation: Any) -> Weighted | None:
        """The operation of a convolution or dense layer on its own variables; None for what computes anything else."""

    def normalisation(self, operation: Any) -> tuple[int, Affine] | None:
        """The one axis that a BatchNormalization normalises along, and what it predicts; None for anything else."""

    def shapes(self, operation: Any, args: Any, kwargs: Mapping[str, Any]) -> list[Shape]:
        """The shapes of what the operation gives; in the arguments a `Symbol` stands for each tensor."""

    def variables(self, model: Any) -> Sequence[Any]:
        """Every variable once."""

    def weights(self, layer: Any) -> Sequence[tuple[str, NDArray[np.generic]]]:
        """Names and values of a layer's own weights."""

    def config(self, layer: Any) -> dict[str, Any]:
        """The layer's config, in this Keras's words."""

    def summary(self, model: Any, width: int) -> str:
        """Keras's own text of `model.summary(line_length=width)`, as it prints it where lines of `width` fit."""

    def until(self, functional: Any, layer: Any, call: int) -> Any:
        """A model of the inputs up to what a layer gives when it is called for the `call`-th time, counted from 1; it
        shares the layers. Named as the first such model of a session. Raises LookupError for a layer that is not there.
        """
