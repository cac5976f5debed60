"""What the house asks of an operation, whichever Keras wrote it; a reader in `dialects` answers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.arrays import Function

Sides = tuple[int, int]


@dataclass(frozen=True)
class Pointwise:
    """Each cell of the output follows from the same cell of the inputs."""


@dataclass(frozen=True)
class Window:
    """Each cell of the output follows from a window of the one input, as in convolution and pooling.

    `rolls` says what is done in the window. `unpadded` computes the same without padding.
    """

    kernel: Sides
    strides: Sides
    dilation: Sides
    padding: str
    rolls: Literal["convolution", "max", "mean"]
    unpadded: Function


@dataclass(frozen=True)
class ZeroPadding:
    """The input with so many rows above and columns to its left more, which are 0, and others on the other sides."""

    top: int
    left: int


@dataclass(frozen=True)
class Cropping:
    """The input without its first rows and columns, and without others on the other sides."""

    top: int
    left: int


@dataclass(frozen=True)
class Repetition:
    """Each cell of the input so many times."""

    rows: int
    columns: int


Spatial = Pointwise | Window | ZeroPadding | Cropping | Repetition


@dataclass(frozen=True, eq=False)
class Affine:
    """`scale`·x + `offset`, each a number or one a channel."""

    scale: NDArray[np.float64]
    offset: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Traits:
    """What is known of one operation.

    `kind` is the name of its class (`Conv2D`, `Add`) or function (`relu`). `activation` is set when it is an activation
    and nothing else; `is_relu` when it gives 0 for every negative input, and then `ceiling` is where it saturates.
    `keeps_values` says that it changes the shape alone. `multiplications` counts those of one output value.
    `spatial` is None for what looks at the whole map, and for what is not known. `merge` says how several values, or
    the cells of one, become one. `affine` is set for arithmetic with constants, `moves_pixels` for what moves, cuts or
    copies the values of an image and leaves their range as it is. `has_weights` says that something in it was learned.
    """

    kind: str
    activation: str | None = None
    is_relu: bool = False
    ceiling: float | None = None
    keeps_values: bool = False
    multiplications: int = 0
    spatial: Spatial | None = None
    merge: Literal["mean", "extreme", "join", "sum", "product"] | None = None
    affine: Affine | None = None
    moves_pixels: bool = False
    has_weights: bool = False
