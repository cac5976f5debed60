"""Arrays and what is said about them in one file: exact, also for NumPy's own reader, and nothing is unpickled."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from service.usecases.archive import npy, pack, packed, unpack
from service.usecases.pieces import COPIED_BYTES, PIECE_BYTES
from tests.arrays import DTYPES, extremes

ARRAYS = {
    "0/images": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "block/conv:linear": np.array([[True, False]]),
    "scalar": np.float64(2.5).reshape(()),
    "empty": np.zeros((0, 3), np.uint8),
}


def test_both_come_back() -> None:
    arrays, said = unpack(pack(ARRAYS, b'{"results": [1, null]}'))
    assert said == b'{"results": [1, null]}'
    assert list(arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype


def test_numpy_reads_the_arrays() -> None:
    with np.load(io.BytesIO(pack(ARRAYS)), allow_pickle=False) as found:
        np.testing.assert_array_equal(found["0/images"], ARRAYS["0/images"])


def test_equal_input_equal_bytes() -> None:
    assert pack(ARRAYS, b"{}") == pack(dict(ARRAYS), b"{}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [0, 1, 1000, 3 * PIECE_BYTES])
def test_every_dtype_as_numpy_and_zip_tools_read_it(dtype: str, count: int) -> None:
    array = np.resize(extremes(dtype), count)
    data = pack({"before/it": array[:1], "x": array, "after": array[::-2]})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert [info.compress_type for info in archive.infolist()] == [zipfile.ZIP_STORED] * 3
    with np.load(io.BytesIO(data), allow_pickle=False) as found:
        assert found["x"].dtype == array.dtype
        assert found["x"].tobytes() == array.tobytes()
        assert found["after"].tobytes() == array[::-2].tobytes()
    alone = np.load(io.BytesIO(npy(array).joined()), allow_pickle=False)
    assert (alone.dtype, alone.tobytes()) == (array.dtype, array.tobytes())


def test_what_is_large_is_not_copied_and_what_is_small_is_one_piece() -> None:
    large, small = np.zeros((7, PIECE_BYTES // 4), np.float32), np.zeros(COPIED_BYTES // 8, np.float32)
    pieces = packed({"a": small, "b": small[:3], "large": large, "c": small, "d": small[:5]})
    found = list(pieces)
    assert [len(piece) for piece in found[1:-1]] == [PIECE_BYTES] * 7
    assert all(np.shares_memory(np.frombuffer(piece, np.uint8), large) for piece in found[1:-1])
    assert b"".join(found) == pieces.joined()
    assert pieces.size == len(pieces.joined())


def test_what_is_no_archive_is_refused() -> None:
    with pytest.raises(ValueError, match="no archive"):
        unpack(b"PK\x03\x04 and no more")
    objects = io.BytesIO()
    np.savez(objects, allow_pickle=True, evil=np.array([{}], object))
    with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
        unpack(objects.getvalue())
