"""What a caller's image becomes before the engine is asked, and what is said of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from service.contract.results import DrawnAs, Explained
from service.explainers import BY_NAME
from service.imaging.decode import DecodeLimits
from service.usecases.request import ExplainRequest, InputImage, MethodCall, SentImage, decode_input
from service.usecases.results import as_seen
from tests.checks import as_npy

CALL = MethodCall("predict", BY_NAME["predict"], BY_NAME["predict"].Params())


def decoded(array: np.ndarray[Any, Any], *, preprocess: bool) -> InputImage:
    image = SentImage(as_npy(array), npy=True)
    return decode_input(ExplainRequest("shapes", (CALL,), image, preprocess=preprocess), DecodeLimits())


@pytest.mark.parametrize(
    ("dtype", "preprocess", "kept", "value", "scaled", "warned"),
    [
        (np.uint8, True, np.uint8, 200, None, False),
        (np.uint8, False, np.uint8, 200, None, False),
        (np.uint16, True, np.float32, 51400, "uint16 / 257", False),
        (np.uint16, False, np.float32, 51400, None, False),
        (np.float32, True, np.float32, 200, None, False),
        (np.float32, True, np.float32, 0.5, None, True),
        (np.float32, False, np.float32, 0.5, None, False),
        (np.int32, True, np.float32, 4096, None, True),
        (np.int32, True, np.float32, -1, None, True),
    ],
)
def test_numbers(dtype: Any, preprocess: bool, kept: Any, value: float, scaled: str | None, warned: bool) -> None:
    found = decoded(np.full((2, 3, 5), value, dtype), preprocess=preprocess)
    assert found.pixels is not None
    assert found.pixels.dtype == kept
    np.testing.assert_allclose(found.pixels, value / 257 if scaled else value, rtol=1e-6)
    notes = {"format": "npy", "height": 2, "width": 3, "channels": 5}
    assert found.notes == notes | ({"scaled": scaled} if scaled else {})
    assert [(item.code, f"from {value:g} to {value:g}" in item.detail) for item in found.warnings] == (
        [("array_range", True)] if warned else []
    )


def test_an_array_is_said_and_drawn_as_the_engine_took_it() -> None:
    array = np.arange(24, dtype=np.float32).reshape(3, 2, 4)
    sent = decoded(array, preprocess=False)
    said = {"model": {"id": "a", "digest": "0"}, "results": [], "region": [0, 0, 3, 2], "input_size": [3, 2]}
    assert as_seen(sent, Explained.model_validate(said)) is sent, "a job of an earlier version says nothing of it"
    assert as_seen(sent, Explained(**said, drawn=DrawnAs(channels_first=False))) is sent
    seen = as_seen(sent, Explained(**said, drawn=DrawnAs(channels_first=True)))
    np.testing.assert_array_equal(seen.pixels, np.moveaxis(array, 0, -1))
    assert seen.notes == {"format": "npy", "height": 2, "width": 4, "channels": 3, "channels_first": True}
