"""Planes: numbers laid over what the network sees, which a caller sends beside the image."""

from __future__ import annotations

import base64
import io
import zlib
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, WithJsonSchema

from service.arrays import Array

MOST_SIDE_PX = 1024
_HEADER_BYTES = 256
_MOST_BYTES = 4 * MOST_SIDE_PX**2 + _HEADER_BYTES


@dataclass(frozen=True)
class PlanePart:
    """Marks a parameter that is a plane of `labels`, whole numbers that tell segments apart."""

    holds: Literal["labels"] = "labels"


def packed(plane: Array) -> str:
    """A plane (h, w) as the text that a parameter holds: base64 of the compressed bytes of a NumPy file."""
    stream = io.BytesIO()
    np.save(stream, plane, allow_pickle=False)
    return base64.b64encode(zlib.compress(stream.getvalue(), 1)).decode()


def unpacked(text: str) -> Array:
    """The plane (h, w) of such a text. Raises ValueError for anything else, and for more than 1024 px a side."""
    data = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), _MOST_BYTES)
    plane = np.load(io.BytesIO(data), allow_pickle=False)
    if not isinstance(plane, np.ndarray) or plane.ndim != 2 or plane.dtype != np.int32 or not plane.size:
        raise ValueError("a plane of labels is an int32 array (h, w)")
    if max(plane.shape) > MOST_SIDE_PX:
        raise ValueError(f"a plane has at most {MOST_SIDE_PX} px a side")
    return plane


def _is_plane(text: str | None) -> str | None:
    try:
        if text is not None:
            unpacked(text)
    except (ValueError, zlib.error, EOFError, OSError) as error:
        raise ValueError("it is no plane of labels; send a PNG or an npy array, as base64 or as a file part") from error
    return text


SCHEMA = WithJsonSchema({"type": "string", "contentEncoding": "base64"})
LabelPlane = Annotated[str | None, PlanePart(), AfterValidator(_is_plane), SCHEMA]


def parts_of(params: type[BaseModel]) -> tuple[str, ...]:
    """The names of the parameters that are planes."""
    return tuple(
        name for name, info in params.model_fields.items() if any(isinstance(mark, PlanePart) for mark in info.metadata)
    )


def at_size(plane: Array, size: tuple[int, int]) -> Array:
    """The plane at another size (h, w): each pixel has the number of the cell that its centre lies in."""
    rows, columns = (
        ((np.arange(side) + 0.5) * cells / side).astype(int) for side, cells in zip(size, plane.shape, strict=True)
    )
    found: Array = plane[rows[:, None], columns]
    return found
