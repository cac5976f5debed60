"""What a use case gives back: pictures, arrays and everything that is known about them. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Format = Literal["json", "png", "jpeg", "webp", "gif", "npy", "npz"]
PictureFormat = Literal["png", "jpeg", "webp"]
# The forms that are one picture; of a method that moves the last two hold how its images came about.
PICTURES: tuple[Format, ...] = ("png", "jpeg", "webp", "gif")
ANIMATED: tuple[Format, ...] = ("webp", "gif")
ArrayEncoding = Literal["none", "base64", "list"]


@dataclass(frozen=True)
class AnswerOptions:
    """What the caller wants of the answer: `outputs` None means every picture of the method.

    `picture` is what the pictures within a JSON answer are, `quality` (1 to 100) how much is kept of what JPEG and WebP
    drop, None for the usual, and `max_side` the most pixels that a side of a picture may have, None for any number.
    """

    format: Format = "json"
    outputs: tuple[str, ...] | None = None
    arrays: ArrayEncoding = "none"
    top: int = 5
    picture: PictureFormat | None = None
    quality: int | None = None
    max_side: int | None = None

    @property
    def still(self) -> PictureFormat:
        """What pictures that do not move are written as."""
        return self.format if self.format in ("png", "jpeg", "webp") else self.picture or "png"


@dataclass(frozen=True)
class Picture:
    """An encoded picture."""

    name: str
    width: int
    height: int
    data: bytes
    media_type: str


@dataclass(frozen=True)
class Result:
    """What one method gave: `body` holds method, targets, predictions, warnings and statistics as JSON values."""

    name: str
    body: Mapping[str, Any]
    pictures: tuple[Picture, ...]
    arrays: Mapping[str, NDArray[np.generic]]
    primary: str


@dataclass(frozen=True)
class Answer:
    """The model that answered, how the image was decoded, a result for each method; times are in ms.

    `fingerprint` is that of the model, with its spec.
    """

    model: Mapping[str, Any]
    image: Mapping[str, Any] | None
    results: tuple[Result, ...]
    timing_ms: Mapping[str, float]
    fingerprint: str
