"""Sets of pictures: what methods look at that are asked about many pictures at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from service.arrays import Floats

MOST_PICTURES = 500


@dataclass(frozen=True)
class SetAsked:
    """A set that a method is asked about: its name in a request, what is in it, and how many pictures it takes."""

    name: str
    what: str
    least: int
    most: int = MOST_PICTURES


@dataclass(frozen=True, eq=False)
class PictureSet:
    """The pictures of one set. `names` are the caller's, in order.

    `pixels` (n, h, w, 3) uint8 RGB are the pictures at the network's size, as they are drawn; while a call is only
    checked they are those of the first picture alone. `as_input` makes of some of them what the network takes,
    (b, h, w, c) float32.
    """

    names: tuple[str, ...]
    pixels: NDArray[np.uint8]
    as_input: Callable[[NDArray[np.uint8]], Floats]

    def __len__(self) -> int:
        return len(self.names)

    def batch(self, places: slice | Sequence[int] | NDArray[np.intp]) -> Floats:
        """What the network takes of the pictures at these places, (b, h, w, c) float32."""
        return self.as_input(self.pixels[places])
