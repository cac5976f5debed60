"""What a use case gives back: pictures, arrays and everything that is known about them. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Format = Literal["json", "png", "npy", "npz", "webp", "gif"]
ANIMATED: tuple[Format, ...] = ("webp", "gif")
ArrayEncoding = Literal["none", "base64", "list"]


@dataclass(frozen=True)
class AnswerOptions:
    """What the caller wants of the answer: `outputs` None means every picture of the method."""

    format: Format = "json"
    outputs: tuple[str, ...] | None = None
    arrays: ArrayEncoding = "none"
    top: int = 5


@dataclass(frozen=True)
class Picture:
    """An encoded picture, PNG unless it moves."""

    name: str
    width: int
    height: int
    data: bytes
    media_type: str = "image/png"


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
