"""The check on errors finds what it looks for, and nothing else."""

from __future__ import annotations

import httpx
import pytest

from tests.leaks import leaks


def said(text: str, **headers: str) -> list[str]:
    request = httpx.Request("GET", "http://127.0.0.1/v1/models/asked-for")
    return leaks(httpx.Response(422, text=text, headers=headers, request=request), {"a-secret-value"})


@pytest.mark.parametrize(
    "text",
    [
        "cannot open /tmp/x/model.keras", "in '/root/.keras'", "Traceback (most recent", 'File "a", line 3', "main.py",
        "<class 'int'>", "at 0x7f00deadbeef", "OSError: no", "OSError(5, 'Input/output error')", "keras.src.saving",
        "service.models.registry", "pydantic.error_wrappers", "sqlalchemy.exc", "h5py.h5f", "KerascopeError",
        "ModelNotLoadable: x", "UploadForm", "RequestValidationError", "a-secret-value", "tensorflow.python",
    ],
)  # fmt: skip
def test_what_leaks(text: str) -> None:
    assert said(f"it failed: {text}")
    assert said("it failed", **{"X-Why": text})


@pytest.mark.parametrize(
    "text",
    [
        "there is nothing at '/v1/models/asked-for'; /docs lists every route", "a .keras archive, HDF5 (.h5, .hdf5)",
        "the log of the service says why", "layer 'conv2d' of keras.layers", "a file as numpy.save writes it", "Conv2D",
        "urn:kerascope:problem:unknown-model",
    ],
)  # fmt: skip
def test_what_does_not(text: str) -> None:
    assert said(text) == []
