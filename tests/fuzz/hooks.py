"""What schemathesis sends where a body is a picture, an array or a model: real ones, damaged ones, and noise."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import schemathesis
from hypothesis import strategies as st
from PIL import Image

FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP", "image/gif": "GIF", "image/bmp": "BMP"}
MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"]


def picture(form: str, width: int, height: int, mode: str) -> bytes:
    """A small picture in that format; in RGB where the format has no such mode."""
    buffer = io.BytesIO()
    try:
        Image.new(mode, (width, height), 1).save(buffer, form)
    except (OSError, ValueError, KeyError):
        buffer = io.BytesIO()
        Image.new("RGB", (width, height), (9, 90, 200)).save(buffer, form)
    return buffer.getvalue()


def array(shape: tuple[int, ...], kind: str) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ones(shape, kind))
    return buffer.getvalue()


def damaged(data: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """As it is, cut off, or with a byte changed."""

    def change(what: bytes, place: int, byte: int, how: str) -> bytes:
        place %= max(1, len(what))
        if how == "cut":
            return what[:place]
        return what if how == "whole" else what[:place] + bytes([byte]) + what[place + 1 :]

    hows = st.sampled_from(["whole", "whole", "cut", "changed"])
    return st.builds(change, data, st.integers(0, 5000), st.integers(0, 255), hows)


sides = st.integers(1, 64)
for media_type, name in FORMATS.items():
    pictures = st.builds(picture, st.just(name), sides, sides, st.sampled_from(MODES))
    schemathesis.openapi.media_type(media_type, damaged(pictures) | st.binary(max_size=100))
shapes = st.lists(st.integers(0, 40), min_size=0, max_size=4).map(tuple)
kinds = st.sampled_from(["uint8", "float32", "float64", "int64", "bool", "complex64", "U3"])
schemathesis.openapi.media_type("application/x-npy", damaged(st.builds(array, shapes, kinds)) | st.binary(max_size=100))


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Mostly a model and a layer that are there: what is not there is soon refused."""
    usual = {"model_id": "shapes", "layer": "conv2d"}
    for name, value in usual.items():
        if path_parameters and name in path_parameters and len(str(path_parameters[name])) % 4:
            path_parameters[name] = value
    return path_parameters
