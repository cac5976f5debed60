"""Arrays and what is said about them in one file: exact, also for NumPy's own reader, and nothing is unpickled."""

from __future__ import annotations

import io

import numpy as np
import pytest

from service.usecases.archive import pack, unpack

ARRAYS = {
    "0/images": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "block/conv:linear": np.array([[True, False]]),
    "scalar": np.float64(2.5).reshape(()),
    "empty": np.zeros((0, 3), np.uint8),
}


def test_both_come_back() -> None:
    arrays, payload = unpack(pack(ARRAYS, {"reply": {"results": [1, None, "ä"]}}))
    assert payload == {"reply": {"results": [1, None, "ä"]}}
    assert list(arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype


def test_numpy_reads_the_arrays() -> None:
    with np.load(io.BytesIO(pack(ARRAYS)), allow_pickle=False) as found:
        np.testing.assert_array_equal(found["0/images"], ARRAYS["0/images"])


def test_equal_input_equal_bytes() -> None:
    assert pack(ARRAYS, {"a": 1}) == pack(dict(ARRAYS), {"a": 1})


def test_what_is_no_archive_is_refused() -> None:
    with pytest.raises(ValueError, match="no archive"):
        unpack(b"PK\x03\x04 and no more")
    objects = io.BytesIO()
    np.savez(objects, allow_pickle=True, evil=np.array([{}], object))
    with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
        unpack(objects.getvalue())
