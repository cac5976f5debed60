"""Arrays as input: the file that holds one, and which of its values are taken for levels 0..255."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.errors import UndecodableImage
from service.imaging.decode import DecodeLimits

MAX_CHANNELS = 64


def decode_npy(
    data: bytes, limits: DecodeLimits
) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | npt.NDArray[np.float32]:
    """A NumPy file's array: (H, W, C) or (C, H, W) uint8, uint16 or float32, C from 1 to 64, C-contiguous; (H, W)
    becomes (H, W, 1).

    Which of the two it is, only the model knows. Other numbers become float32. The header is believed only where the
    bytes that follow agree with it. Raises `UndecodableImage` (not such an array, not finite) or `ImageTooLarge`.
    """
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[
            version
        ]
        shape, fortran_order, dtype = read_header(stream)
    except Exception as error:
        raise UndecodableImage(
            "The body is not a NumPy file as numpy.save writes it: its header is damaged."
        ) from error
    if dtype.kind not in "uif":
        raise UndecodableImage(f"The array holds {dtype.name}; send uint8 or float32 numbers.")
    if len(shape) == 2:
        shape = (*shape, 1)
    last, first = (len(shape) == 3 and 1 <= shape[axis] <= MAX_CHANNELS for axis in (2, 0))
    if not last and not first:
        raise UndecodableImage(
            f"The array has the shape {shape}; send (height, width, channels) with 1 to {MAX_CHANNELS} channels."
        )
    limits.check(*((shape[1], shape[0]) if last else (shape[2], shape[1])))
    expected, there = math.prod(shape) * dtype.itemsize, len(data) - stream.tell()
    if expected != there:
        raise UndecodableImage(f"The header announces {expected} bytes of numbers, and {there} follow.")
    flat = np.frombuffer(data, dtype, offset=stream.tell())
    kept = dtype.newbyteorder("=") if dtype.kind == "u" and dtype.itemsize <= 2 else np.dtype(np.float32)
    with np.errstate(over="ignore"):
        numbers = flat.astype(kept, copy=False)
    if not np.isfinite(numbers).all():
        raise UndecodableImage("The array holds NaN, infinity, or numbers beyond float32.")
    return np.ascontiguousarray(numbers.reshape(shape, order="F" if fortran_order else "C"))


@dataclass(frozen=True, eq=False)
class Levels:
    """An array as levels, uint8 or float32 of the same shape.

    `scaled` says how they were made of other numbers, `problem` why these can hardly be levels; both None as a rule.
    """

    values: npt.NDArray[np.uint8] | npt.NDArray[np.float32]
    scaled: str | None = None
    problem: str | None = None


def as_levels(
    array: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | npt.NDArray[np.float32],
) -> Levels:
    """Scales uint16 beyond 255 by 1/257, as 16-bit files are; computes everything else as it is.

    What lies within 0..1 without being 0 everywhere, below 0, or above 255 is told as a problem.
    """
    if array.dtype == np.uint8:
        return Levels(array.astype(np.uint8, copy=False))
    low, high = float(array.min()), float(array.max())
    values = array.astype(np.float32, copy=False)
    if array.dtype == np.uint16 and high > 255:
        return Levels(values / np.float32(257), scaled="uint16 / 257")
    if low >= 0 and (1 < high <= 255 or high == 0):
        return Levels(values)
    return Levels(
        values,
        problem=f"the array's numbers lie from {low:g} to {high:g} and are computed as levels 0..255; "
        "send levels 0..255, or preprocess=false with the network's own values",
    )
