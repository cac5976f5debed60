"""Planes as callers send them (a PNG, an npy array) → as parameters hold them."""

from __future__ import annotations

import numpy as np

from service.arrays import Array
from service.errors import FieldError, InvalidParameter, KerascopeError
from service.explainers import EXPLAINERS
from service.explainers.params import ExplainerParams
from service.explainers.planes import MOST_SIDE_PX, at_size, packed, parts_of
from service.imaging.decode import DecodeLimits, decode, decode_base64
from service.imaging.formats import sniff
from service.imaging.npy import decode_npy
from service.json_types import Fields, JsonObject

# Every name that a file beside the image may have.
PART_NAMES = tuple(dict.fromkeys(name for explainer in EXPLAINERS for name in parts_of(explainer.Params)))
LIMITS = DecodeLimits(max_pixels=4096**2, max_side_px=8192)
LARGEST = 1e30
EXACT = ("png", "gif", "bmp")


def with_planes(params: type[ExplainerParams], given: Fields) -> JsonObject:
    """The parameters, with each plane in them read. Raises InvalidParameter for one that cannot be."""
    read: JsonObject = dict(given)
    for name, part in parts_of(params).items():
        value = given.get(name)
        if value is None:
            continue
        try:
            if isinstance(value, list):
                raise InvalidParameter("it is sent twice; send it once")
            if not isinstance(value, str):
                raise InvalidParameter("send it as a file part, or as the base64 of a PNG or of an npy file")
            data = decode_base64(value)
            read[name] = packed(_labels(data) if part.holds == "labels" else _values(data))
        except KerascopeError as error:
            raise InvalidParameter(f"{name}: {error.detail}", errors=[FieldError((name,), error.detail)]) from error
    return read


def _labels(data: bytes) -> Array:
    """(h, w) int32 labels from 0: of an array its numbers, of a picture its colours, each one a segment."""
    if data.startswith(b"\x93NUMPY"):
        array = decode_npy(data, LIMITS)
        if array.shape[2] != 1 or not (array == np.rint(array)).all():
            raise InvalidParameter(f"an array of labels is (height, width) of whole numbers, not {array.shape}")
        plane: Array = array[..., 0]
    else:
        if sniff(data).short not in EXACT:
            raise InvalidParameter("labels are a PNG or an npy array; JPEG and WebP change colours, and so labels")
        pixels = decode(data, LIMITS).pixels.astype(np.int32)
        plane = pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]
    plane = _within(plane)
    _, places = np.unique(plane, return_inverse=True)
    return places.reshape(plane.shape).astype(np.int32)


def _values(data: bytes) -> Array:
    """(h, w) float32: of an array its numbers, of a picture the mean of its colours, 0 to 255."""
    if not data.startswith(b"\x93NUMPY"):
        return _within(decode(data, LIMITS).pixels.mean(axis=2, dtype=np.float32))
    array = decode_npy(data, LIMITS)
    if array.shape[2] != 1:
        raise InvalidParameter(f"a map is an array (height, width) of numbers, not {array.shape}")
    found = _within(array[..., 0].astype(np.float32))
    if np.abs(found).max() > LARGEST:
        raise InvalidParameter(
            f"its numbers reach beyond {LARGEST:g}, where differences overflow; divide it by its largest"
        )
    return found


def _within(plane: Array) -> Array:
    """The plane with no side longer than one may be."""
    return at_size(plane, (min(plane.shape[0], MOST_SIDE_PX), min(plane.shape[1], MOST_SIDE_PX)))
