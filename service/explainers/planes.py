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
    """Marks a parameter that is a plane: of `labels`, whole numbers that tell segments apart (int32), or of `values`
    (float32, finite)."""

    holds: Literal["labels", "values"]


def packed(plane: Array) -> str:
    """A plane (h, w) as the text that a parameter holds: base64 of the compressed bytes of a NumPy file."""
    stream = io.BytesIO()
    np.save(stream, plane, allow_pickle=False)
    return base64.b64encode(zlib.compress(stream.getvalue(), 1)).decode()


def unpacked(text: str) -> Array:
    """The plane (h, w) of such a text. Raises ValueError for anything else, and for more than 1024 px a side."""
    data = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), _MOST_BYTES)
    plane = np.load(io.BytesIO(data), allow_pickle=False)
    if not isinstance(plane, np.ndarray) or plane.ndim != 2 or plane.dtype not in KINDS or not plane.size:
        raise ValueError("a plane is an int32 or float32 array (h, w)")
    if max(plane.shape) > MOST_SIDE_PX:
        raise ValueError(f"a plane has at most {MOST_SIDE_PX} px a side")
    if not np.isfinite(plane).all():
        raise ValueError("a plane holds finite numbers")
    return plane


def _is_plane(text: str | None) -> str | None:
    try:
        if text is not None:
            unpacked(text)
    except (ValueError, zlib.error, EOFError, OSError) as error:
        raise ValueError("it is no plane; send a PNG or an npy array, as base64 or as a file part") from error
    return text


KINDS = (np.int32, np.float32)
SCHEMA = WithJsonSchema({"type": "string", "contentEncoding": "base64"})
LabelPlane = Annotated[str | None, PlanePart("labels"), AfterValidator(_is_plane), SCHEMA]
ValuePlane = Annotated[str | None, PlanePart("values"), AfterValidator(_is_plane), SCHEMA]


def parts_of(params: type[BaseModel]) -> dict[str, PlanePart]:
    """The parameters that are planes, by their names."""
    return {
        name: mark
        for name, info in params.model_fields.items()
        for mark in info.metadata
        if isinstance(mark, PlanePart)
    }


def at_size(plane: Array, size: tuple[int, int]) -> Array:
    """The plane at another size (h, w): each pixel has the number of the cell that its centre lies in."""
    rows, columns = (
        ((np.arange(side) + 0.5) * cells / side).astype(int) for side, cells in zip(size, plane.shape, strict=True)
    )
    found: Array = plane[rows[:, None], columns]
    return found
