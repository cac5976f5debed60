"""Pictures and arrays inside JSON, as inference protocols send them → one image a call."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from service.arrays import Array
from service.errors import InvalidParameter, KerascopeError
from service.imaging.decode import decode_base64
from service.json_types import Json
from service.usecases import archive
from service.usecases.request import SentImage

PICTURES = "BYTES"
NUMBERS = {"FP32": "iuf", "UINT8": "iu"}
DATATYPES = (*NUMBERS, PICTURES)


@dataclass(frozen=True)
class Instance:
    """One image of a batch; `preprocess` False says that its array is the network's input as it is."""

    image: SentImage
    preprocess: bool


def instances_of(values: Sequence[Json], preprocess: bool) -> list[Instance]:
    """Each of `values` is nested lists (H, W, C), or `{"b64": "…"}` with an image file.

    `preprocess` is for the arrays; a picture always is. Raises InvalidParameter or UndecodableImage.
    """
    found = []
    for number, value in enumerate(values):
        with numbered(number, len(values)):
            if isinstance(value, dict):
                found.append(_picture(value.get("b64") if set(value) == {"b64"} else None))
            else:
                found.append(Instance(_as_input(_numbers(value, "the instance")), preprocess))
    return found


def instances_of_tensor(name: str, shape: Sequence[int], datatype: str, data: Json, preprocess: bool) -> list[Instance]:
    """`FP32` or `UINT8` of the shape (N, H, W, C), or `BYTES` (N,): base64 of image files. Flat, or nested lists.

    Raises InvalidParameter or UndecodableImage.
    """
    if datatype not in DATATYPES:
        raise InvalidParameter(f"the tensor {name!r} is of {datatype!r}; send {', '.join(DATATYPES)}")
    if datatype == PICTURES:
        texts = list(_flat(data))
        _check_count(name, shape, len(texts))
        found = []
        for number, text in enumerate(texts):
            with numbered(number, len(texts)):
                found.append(_picture(text))
        return found
    array = _numbers(data, f"the tensor {name!r}")
    _check_count(name, shape, array.size)
    if array.ndim > 1 and array.shape != tuple(shape):
        raise InvalidParameter(
            f"the tensor {name!r} says it has the shape {list(shape)}, and its lists have {list(array.shape)}"
        )
    if array.dtype.kind not in NUMBERS[datatype] or (datatype == "UINT8" and (array.min() < 0 or array.max() > 255)):
        raise InvalidParameter(f"the tensor {name!r} is of UINT8 and holds other than whole numbers from 0 to 255")
    if len(shape) != 4:
        raise InvalidParameter(f"the tensor {name!r} has the shape {list(shape)}; send [N, height, width, channels]")
    return [Instance(_as_input(part), preprocess) for part in array.reshape(tuple(shape))]


@contextmanager
def numbered(number: int, of: int) -> Iterator[None]:
    """Errors say which instance of a batch they are about, counted from 0."""
    try:
        yield
    except KerascopeError as error:
        if of == 1:
            raise
        detail = f"instance {number}: {error.detail}"
        raise type(error)(detail, errors=error.errors, retry_after_s=error.retry_after_s) from error


def _picture(text: Json) -> Instance:
    if not isinstance(text, str):
        raise InvalidParameter('a picture is written as {"b64": "<base64 of an image file>"} and nothing beside it')
    return Instance(SentImage(decode_base64(text)), preprocess=True)


def _numbers(value: Json, what: str) -> Array:
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError):
        raise InvalidParameter(f"{what} is ragged: its lists must have the same length at each depth") from None
    if array.dtype.kind not in "iuf" or not array.size:
        raise InvalidParameter(f"{what} must be lists of numbers, at least one")
    return array


def _as_input(array: Array) -> SentImage:
    # What float32 cannot hold becomes infinite here, and is refused with everything that is not finite.
    with np.errstate(over="ignore"):
        return SentImage(archive.npy(array.astype(np.float32)).joined(), npy=True)


def _check_count(name: str, shape: Sequence[int], count: int) -> None:
    if min(shape, default=0) < 1 or math.prod(shape) != count:
        raise InvalidParameter(f"the tensor {name!r} has the shape {list(shape)} and {count} elements")


def _flat(value: Json) -> Iterator[Json]:
    for item in value:
        if isinstance(item, list):
            yield from _flat(item)
        else:
            yield item
