"""NumPy files: which arrays are taken, and that a header is believed only where its bytes follow."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import ImageTooLarge, UndecodableImage
from service.imaging.decode import DecodeLimits
from service.imaging.npy import decode_npy

LIMITS = DecodeLimits()


def npy(array: np.ndarray, version: tuple[int, int] = (1, 0)) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version, allow_pickle=True)
    return stream.getvalue()


def npy_header(text: str, content: bytes = b"") -> bytes:
    head = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + content


@pytest.mark.parametrize(
    ("dtype", "result"),
    [
        ("u1", "u1"),
        ("<f4", "f4"),
        (">f4", "f4"),
        ("<f8", "f4"),
        ("<f2", "f4"),
        ("<u2", "u2"),
        (">u2", "u2"),
        (">i2", "f4"),
        ("<u4", "f4"),
        ("i1", "f4"),
    ],
)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_npy_numbers(dtype: str, result: str, order: str, version: tuple[int, int]) -> None:
    array = np.asarray(np.arange(24).reshape(2, 4, 3), dtype, order=order)
    decoded = decode_npy(npy(array, version), LIMITS)
    assert decoded.dtype == np.dtype(result)
    assert decoded.flags.c_contiguous
    np.testing.assert_array_equal(decoded, np.arange(24).reshape(2, 4, 3))


def test_npy_without_channels_gets_one() -> None:
    np.testing.assert_array_equal(decode_npy(npy(np.uint8([[1, 2, 3]])), LIMITS), [[[1], [2], [3]]])


@pytest.mark.parametrize("shape", [(2, 3, 1), (2, 3, 2), (70, 3, 64), (3, 32, 32), (3, 70, 80), (64, 2, 65)])
def test_npy_of_any_channels_last_or_first(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(1).random(shape).astype(np.float32)
    np.testing.assert_array_equal(decode_npy(npy(array), LIMITS), array)


@pytest.mark.parametrize(("shape", "size"), [((9, 70, 3), "70 x 9"), ((3, 9, 70), "70 x 9")])
def test_npy_is_measured_without_its_channels(shape: tuple[int, ...], size: str) -> None:
    data = npy(np.zeros(shape, np.uint8))
    assert decode_npy(data, DecodeLimits(max_pixels=630)).shape == shape
    with pytest.raises(ImageTooLarge, match=size):
        decode_npy(data, DecodeLimits(max_pixels=629))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "header is damaged"),
        (b"\x93NUMPY\x01\x00\xff\xff", "header is damaged"),
        (npy(np.zeros((2, 2, 3), np.uint8))[:-1], "announces 12 bytes of numbers, and 11 follow"),
        (npy(np.zeros((2, 2, 3), np.uint8)) + b"x", "announces 12 bytes of numbers, and 13 follow"),
        (npy(np.zeros((65, 2, 65), np.uint8)), r"shape \(65, 2, 65\); send .* with 1 to 64 channels"),
        (npy(np.zeros((65, 2, 0), np.uint8)), r"shape \(65, 2, 0\)"),
        (npy(np.zeros((2, 2, 0), np.uint8)), "it has no pixel"),
        (npy(np.zeros((2, 2, 3, 1), np.uint8)), r"shape \(2, 2, 3, 1\)"),
        (npy(np.zeros(5, np.uint8)), r"shape \(5,\)"),
        (npy(np.zeros((0, 4, 3), np.uint8)), "it has no pixel"),
        (npy(np.zeros((2, 2), bool)), "holds bool"),
        (npy(np.zeros((2, 2), complex)), "holds complex128"),
        (npy(np.array([[{}]], object)), "holds object"),
        (npy(np.full((1, 1), np.nan, np.float32)), "NaN, infinity"),
        (npy(np.full((1, 1), -np.inf, np.float32)), "NaN, infinity"),
        (npy(np.full((1, 1), 1e300)), "beyond float32"),
        (
            npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (7000, 7000, 3)}"),
            "announces 1176000000 bytes",
        ),
        (npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 2, 3)}"), "it has no pixel"),
        (npy_header("{'descr': '|O', 'fortran_order': False, 'shape': (1, 1)}", b"cos\nsystem"), "holds object"),
        (npy_header("(" * 100), "header is damaged"),
        (npy_header("__import__('os').getcwd()"), "header is damaged"),
    ],
)
def test_npy_that_is_refused(data: bytes, sentence: str) -> None:
    with pytest.raises(UndecodableImage, match=sentence):
        decode_npy(data, LIMITS)


def test_npy_beyond_the_limit_is_refused_by_its_header() -> None:
    with pytest.raises(ImageTooLarge, match="16000 x 16000 pixels"):
        decode_npy(npy_header("{'descr': '|u1', 'fortran_order': False, 'shape': (16000, 16000, 3)}"), LIMITS)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.binary(max_size=200))
def test_npy_of_anything_is_read_or_refused(tail: bytes) -> None:
    whole = npy(np.zeros((2, 2), np.uint8))
    for data in (tail, whole[:10] + tail, whole[:40] + tail, whole + tail):
        try:
            decode_npy(data, LIMITS)
        except (UndecodableImage, ImageTooLarge):
            continue
