"""What tests of the HTTP contract share: pictures made on the spot, and what every problem must be."""

from __future__ import annotations

import io
import re
import struct
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image, ImageDraw

from service import errors
from service.api.answering.schemas import Problem
from service.api.problems import MEDIA_TYPE
from service.app import create_app
from service.errors import KerascopeError
from service.settings import Settings
from tests.conftest import Service

PNG = {"Content-Type": "image/png"}
NPY = {"Content-Type": "application/x-npy"}
JSON = {"Content-Type": "application/json"}
MODEL = "/v1/models/shapes"
CAM = f"{MODEL}/cam"
OUR_CLASSES = [name for name, value in vars(errors).items() if isinstance(value, type) and value is not KerascopeError]
LEAKS = re.compile(
    r"/(?:tmp|home|root|work|usr|var|opt|proc|etc)\b|Traceback|\bservice\.\w|\.py\b|<class|0x[0-9a-f]{6}|"
    rf"pydantic|site-packages|\b(?:{'|'.join(OUR_CLASSES)}|KerascopeError|ValueError|TypeError|KeyError)\b"
)


def triangle(width: int = 60, height: int = 40) -> Image.Image:
    """A white triangle on dark blue."""
    image = Image.new("RGB", (width, height), (10, 20, 90))
    corners = [(width * 0.5, height * 0.15), (width * 0.2, height * 0.8), (width * 0.8, height * 0.8)]
    ImageDraw.Draw(image).polygon(corners, fill="white")
    return image


def saved(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def as_npy(array: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises `width` times `height` pixels and holds none."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def problem(response: httpx.Response, status: int, kind: str | None, *words: str) -> dict[str, Any]:
    """The body of an RFC 9457 problem of this status and type, whose sentence has these words and leaks nothing.

    `kind` None stands for the framework's own errors; every other status must be in the route's documentation.
    """
    assert response.status_code == status, response.text[:2000]
    assert response.headers["content-type"] == MEDIA_TYPE
    body: dict[str, Any] = response.json()
    Problem.model_validate(body)
    assert set(body) == {"type", "title", "status", "detail", "instance", "errors"}
    assert body["type"] == (f"urn:kerascope:problem:{kind}" if kind else "about:blank")
    assert body["status"] == status
    assert body["instance"] == response.headers["x-request-id"]
    assert len(body["title"]) > 5
    assert len(body["detail"].split()) > 3, "a sentence, not a code"
    for word in words:
        assert word.lower() in body["detail"].lower(), body["detail"]
    assert not LEAKS.search(response.text), response.text
    if kind:
        documented = operation(response.request.method, response.request.url.path)["responses"]
        assert str(status) in documented, f"{response.request.url.path} does not document {status}"
    return body


def log_line(service: Service, request_id: str) -> dict[str, object]:
    """The line about a request, which is written just after its answer has left."""
    (line,) = service.told(request_id=request_id)
    return line


@cache
def openapi() -> dict[str, Any]:
    """The OpenAPI document of the default application."""
    return create_app(Settings(data_dir=Path("unused"))).openapi()


def operation(method: str, path: str) -> dict[str, Any]:
    """The documented operation that answers a request, or `{}`."""
    found: dict[str, Any] = {}
    for template in sorted(openapi()["paths"], key=lambda item: len(re.sub(r"\{.*?\}", "", item))):
        pattern = re.sub(r"\\{((model|job)_id|version)\\}", "[^/]+", re.escape(template)).replace(r"\{layer\}", ".*")
        if re.fullmatch(pattern, path):
            found = openapi()["paths"][template].get(method.lower(), found)
    return found
