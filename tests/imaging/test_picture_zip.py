"""Sets of pictures as zips: dangers are refused, and one bad picture takes no others along."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.errors import InvalidParameter, KerascopeError, TooLarge
from service.imaging import picture_zip
from service.imaging.decode import DecodeLimits
from service.imaging.picture_zip import OpenZip, Taken, pictures_in, zipped
from tests.checks import png_header, saved, triangle

LIMITS = DecodeLimits(max_pixels=100_000, max_side_px=1000)
GOOD = saved(triangle())
OTHER = saved(Image.new("RGB", (20, 10), "red"), "JPEG")


def packed(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, **changes: Any) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            for attribute, value in changes.items():
                setattr(info, attribute, value)
            archive.writestr(info, data)
    return stream.getvalue()


def test_pictures_in_the_order_of_their_names() -> None:
    members = {"b/2.png": GOOD, "a.jpg": OTHER, "b/1.png": GOOD, "b/": b""}
    found = pictures_in(packed(members), LIMITS)
    assert found.pictures == ("a.jpg", "b/1.png", "b/2.png")
    assert found.left_out == ()
    opened = OpenZip(packed(members), LIMITS)
    first, second = opened.picture("b/2.png"), opened.picture("a.jpg")
    np.testing.assert_array_equal(first.pixels, np.asarray(triangle()))
    assert second.pixels.shape == (10, 20, 3)


def test_files_of_any_names_become_members_of_names_of_their_own() -> None:
    names = [
        "a.png",
        "a.png",
        "2 a.png",
        "..",
        "",
        "dir/a.png",
        b"\xff\xfe.png".decode("utf-8", "surrogateescape"),
        "\0",
    ]
    found = pictures_in(zipped([(name, GOOD) for name in names]), LIMITS)
    assert len(found.pictures) == len(names)
    assert found.left_out == ()
    assert {"a.png", "2 a.png", "2 2 a.png", "3 a.png", "picture", "2 picture"} <= set(found.pictures)


def test_what_file_managers_leave_behind_is_passed_over() -> None:
    members = {
        "cats/1.png": GOOD, "__MACOSX/cats/._1.png": b"x", "cats/.DS_Store": b"x", "cats/Thumbs.db": b"x",
        "desktop.ini": b"x", "cats/._1.png": b"x",
    }  # fmt: skip
    found = pictures_in(packed(members), LIMITS)
    assert (found.pictures, found.left_out) == (("cats/1.png",), ())


def damaged(data: bytes, name: str) -> bytes:
    """A byte of a stored member is another than its checksum says."""
    at = data.index(name.encode()) + len(name) + 40
    return data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]


BAD = {
    "no picture": (b"just text", "plain text"),
    "cut off": (GOOD[: len(GOOD) // 2], "cut off"),
    "too large": (png_header(30_000, 30_000), "at most 100000 pixels"),
    "too long": (saved(Image.new("L", (1200, 2))), "1000 pixels a side"),
    "empty": (b"", "empty"),
    "hidden array": (b"\x93NUMPY\x01\x00", "NumPy array"),
}


@pytest.mark.parametrize("bad", BAD)
def test_one_bad_picture_is_left_out_and_named(bad: str) -> None:
    data, words = BAD[bad]
    found = pictures_in(packed({"1.png": GOOD, "2.png": data, "3.png": GOOD}), LIMITS)
    assert found.pictures == ("1.png", "3.png")
    ((name, why),) = found.left_out
    assert name == "2.png"
    assert words in why


def test_a_picture_that_is_damaged_in_the_zip_is_left_out() -> None:
    data = damaged(packed({"1.png": GOOD, "2.png": GOOD}, zipfile.ZIP_STORED), "1.png")
    found = pictures_in(data, LIMITS)
    assert found.pictures == ("2.png",)
    assert found.left_out == (("1.png", "It is damaged within the zip."),)


def lying(data: bytes, size: int) -> bytes:
    """The directory says of the only member that it has another size than it has."""
    at = data.index(b"PK\x01\x02") + 24
    return data[:at] + struct.pack("<I", size) + data[at + 4 :]


def overcounted(data: bytes, at: int, value: bytes) -> bytes:
    end = data.rindex(b"PK\x05\x06")
    return data[: end + at] + value + data[end + at + len(value) :]


def encrypted(data: bytes) -> bytes:
    """Says of the only member that it is encrypted, in its own header and in the directory."""
    entry = data.index(b"PK\x01\x02") + 8
    return data[:6] + b"\x01" + data[7:entry] + b"\x01" + data[entry + 1 :]


ZIP = packed({"1.png": GOOD})
TWO = packed({"1.png": GOOD, "2.png": GOOD})
LINK, DEVICE = 0o120777 << 16, 0o020666 << 16
DANGERS: dict[str, tuple[Callable[[], bytes], type[KerascopeError], str]] = {
    "no zip": (lambda: b"hello", InvalidParameter, "it is no zip"),
    "a picture": (lambda: GOOD, InvalidParameter, "a picture is a file part of its own"),
    "cut off": (lambda: ZIP[:-30], InvalidParameter, "cut off"),
    "only a beginning": (lambda: b"PK\x03\x04", InvalidParameter, "cut off"),
    "a broken directory": (lambda: ZIP.replace(b"PK\x01\x02", b"PK\x01\x03"), InvalidParameter, "damaged"),
    "encrypted": (lambda: encrypted(ZIP), InvalidParameter, "is encrypted"),
    "a path upwards": (lambda: packed({"../1.png": GOOD}), InvalidParameter, "leads out of it"),
    "a path upwards, of Windows": (lambda: packed({"a\\..\\..\\1.png": GOOD}), InvalidParameter, "leads out of it"),
    "an absolute path": (lambda: packed({"/etc/1.png": GOOD}), InvalidParameter, "leads out of it"),
    "a link": (lambda: packed({"1.png": b"/etc/passwd"}, external_attr=LINK), InvalidParameter, "no ordinary"),
    "a device": (lambda: packed({"1.png": b""}, external_attr=DEVICE), InvalidParameter, "no ordinary"),
    "a zip in the zip": (lambda: packed({"1.zip": ZIP}), InvalidParameter, "another zip"),
    "a bomb": (lambda: packed({"1.png": bytes(2**24)}), TooLarge, "packed more than 100 times"),
    "packed otherwise": (lambda: packed({"1.png": GOOD}, zipfile.ZIP_BZIP2), InvalidParameter, "not taken"),
    "too many members": (lambda: packed({f"{n}.png": b"" for n in range(2001)}), TooLarge, "2000 members"),
    "a large directory": (lambda: overcounted(ZIP, 12, b"\xff\xff\xff\x0f"), TooLarge, "2000 members"),
    "twice the same": (lambda: TWO.replace(b"2.png", b"1.png"), InvalidParameter, "twice"),
}  # fmt: skip


@pytest.mark.parametrize("danger", DANGERS)
def test_dangers(danger: str) -> None:
    make, error, words = DANGERS[danger]
    with pytest.raises(error) as raised:
        pictures_in(make(), LIMITS)
    assert words in raised.value.detail


def test_a_member_that_is_larger_than_it_says_is_no_picture() -> None:
    assert pictures_in(lying(ZIP, 50), LIMITS).left_out[0][0] == "1.png"


def test_zip64_is_not_read() -> None:
    end = ZIP.rindex(b"PK\x05\x06")
    data = ZIP[:end] + b"PK\x06\x07" + bytes(16) + ZIP[end:]
    with pytest.raises(TooLarge):
        pictures_in(data, LIMITS)


def test_all_bytes_and_all_pixels_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = saved(Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)))
    many = packed({f"{number:02d}.png": noise for number in range(12)}, zipfile.ZIP_STORED)
    with pytest.raises(TooLarge, match="1000000 pixels in all"):
        pictures_in(many, LIMITS)
    monkeypatch.setattr(picture_zip, "MOST_UNPACKED_BYTES", 3 * len(noise))
    with pytest.raises(TooLarge, match="unpacks to more"):
        pictures_in(many, DecodeLimits())


def test_zips_of_the_same_files_are_the_same() -> None:
    files = [("a/1.png", GOOD), ("b\\1.png", OTHER), ("", GOOD)]
    assert zipped(files) == zipped(files)
    assert pictures_in(zipped(files), LIMITS).pictures == ("1.png", "2 1.png", "picture")


def test_whatever_the_bytes_are_only_our_errors_leave() -> None:
    generator = random.Random(0)
    whole = packed({"1.png": GOOD, "2.jpg": OTHER})
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(generator.randint(1, 12)):
            data[generator.randrange(len(data))] = generator.randrange(256)
        with suppress(KerascopeError):
            assert isinstance(pictures_in(bytes(data), LIMITS), Taken)
