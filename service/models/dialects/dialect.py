"""What a reader of one Keras answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from service.arrays import Function, KerasModel, Kwargs, Layer, Structure, Value
from service.json_types import Fields, JsonObject
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
class LayerCall:
    """One call of an operation in a model. `fill` gives its arguments with others in the places of symbols, by key."""

    operation: Layer
    fill: Callable[[Mapping[int, Value]], tuple[Structure, Kwargs]]
    outputs: Sequence[Symbol]


class Dialect(Protocol):
    """Models, layers and functions of one Keras are passed as they are; nothing of them is changed."""

    @property
    def version(self) -> Literal[2, 3]:
        """The generation that it reads."""

    def functional(self, thing: KerasModel) -> KerasModel | None:
        """The node-by-node form of a model: itself, a built Sequential's inside, or None for anything else."""

    def inputs(self, functional: KerasModel) -> Sequence[tuple[Symbol, Layer]]:
        """The inputs, each with the layer it belongs to."""

    def outputs(self, functional: KerasModel) -> Sequence[Symbol]:
        """The outputs in order."""

    def output_names(self, functional: KerasModel) -> Sequence[str]:
        """How the file's author names them: the keys of a dictionary, else the names of the layers."""

    def calls(self, functional: KerasModel) -> Iterator[LayerCall]:
        """Every call in an order in which they can be computed, without the inputs."""

    def is_sequential(self, thing: KerasModel) -> bool:
        """Whether it is a Sequential model."""

    def is_layer(self, operation: Layer) -> bool:
        """Whether it is a layer, and no bare operation or function."""

    def context(self, operation: Layer, kwargs: Kwargs) -> Fields:
        """The named arguments for a call that predicts: `training` is False wherever it is taken."""

    def fused_activation(self, operation: Layer) -> Function | None:
        """The activation that a dense layer or convolution applies to its result, None for none."""

    def without_activation(self, layer: Layer) -> Layer:
        """A twin whose activation is linear."""

    def twin(self, layer: Layer, **changes: Structure) -> Layer:
        """A second object on the very same variables, with other attributes, that leaves no losses in the first."""

    def channels_last(self, layer: Layer) -> Layer | None:
        """A twin that takes and gives channels last, of a layer that has them first; None where there is no such."""

    def traits(self, operation: Layer, arguments: Structure) -> Traits:
        """What the operation is; `arguments` are those beside tensors, in any structure."""

    def weighted(self, operation: Layer) -> Weighted | None:
        """The operation of a convolution or dense layer on its own variables; None for what computes anything else."""

    def normalisation(self, operation: Layer) -> tuple[int, Affine] | None:
        """The one axis that a BatchNormalization normalises along, and what it predicts; None for anything else."""

    def shapes(self, operation: Layer, args: Structure, kwargs: Kwargs) -> list[Shape]:
        """The shapes of what the operation gives; in the arguments a `Symbol` stands for each tensor."""

    def variables(self, model: KerasModel) -> Sequence[Value]:
        """Every variable once."""

    def weights(self, layer: Layer) -> Sequence[tuple[str, NDArray[np.generic]]]:
        """Names and values of a layer's own weights."""

    def config(self, layer: Layer) -> JsonObject:
        """The layer's config, in this Keras's words."""

    def summary(self, model: KerasModel, width: int) -> str:
        """Keras's own text of `model.summary(line_length=width)`, as it prints it where lines of `width` fit."""

    def until(self, functional: KerasModel, layer: Layer, call: int) -> KerasModel:
        """A model of the inputs up to what a layer gives when it is called for the `call`-th time, counted from 1; it
        shares the layers. Named as the first such model of a session. Raises LookupError for a layer that is not there.
        """
