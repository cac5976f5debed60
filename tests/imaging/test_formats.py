"""What is told from bytes alone."""

import io

import pytest
from PIL import Image

from service.errors import UndecodableImage
from service.imaging.formats import FORMATS, gif_frames, jpeg_scans, sniff, webp_size


def saved(format_: str, size: tuple[int, int] = (5, 3), **options: object) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, (200, 30, 60)).save(stream, format_, **options)
    return stream.getvalue()


@pytest.mark.parametrize("format_", ["png", "jpeg", "webp", "gif", "bmp"])
def test_each_accepted_format_is_recognised_and_complete(format_: str) -> None:
    data = saved(format_)
    found = sniff(data)
    assert found.short == format_
    assert not found.is_cut_off(data)
    assert found.is_cut_off(data[:-10])


def test_each_format_has_its_media_types() -> None:
    assert {each.short: each.media_types for each in FORMATS} == {
        "png": ("image/png",),
        "jpeg": ("image/jpeg", "image/jpg"),
        "webp": ("image/webp",),
        "gif": ("image/gif",),
        "bmp": ("image/bmp",),
    }


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "0 bytes arrived"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b'<?xml version="1.0"?>\n<svg/>', "an SVG drawing"),
        (b'<?xml version="1.0"?><note/>', "an XML document"),
        (b"\xef\xbb\xbf<!DOCTYPE html><html>", "an HTML page"),
        (b'{"image": "..."}', "JSON"),
        (b"[1, 2]", "JSON"),
        (b"data:image/png;base64,iVBORw0KGgo", "base64 text"),
        (b"/9j/4AAQSkZJRg", "base64 text"),
        (b"\x93NUMPY\x01\x00", "a NumPy array"),
        (b"%PDF-1.7", "a PDF document"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"II*\x00\x08\x00\x00\x00", "a TIFF image"),
        (b"MM\x00*\x00\x00\x00\x08", "a TIFF image"),
        (b"\x00\x00\x00\x1cftypavif", "an AVIF image"),
        (b"\x00\x00\x00\x18ftypheic", "a HEIC image"),
        (b"\x00\x00\x00\x18ftypisom", "a video"),
        (b"8BPS\x00\x01", "a Photoshop document"),
        (b"hello, world", "plain text"),
        (b"\x01\x02\x03\xff", "not an image of a known format"),
        (b"RIFF\x00\x00\x00\x00WAVE", "a WAV recording"),
        (bytes(128) + b"DICM" + bytes(200), "a DICOM image"),
        (b"\x08\x00\x05\x00CS\n\x00ISO_IR 100", "a DICOM image"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "a pointer of Git LFS and not the file",
        ),
        ("Grüße, and a longer text. ".encode() * 40, "plain text"),
        ("naïve".encode("utf-16"), "plain text"),
        (b"a,b\n1,2\n" * 100, "plain text"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"P6\n# made\n2 2\n255\n" + bytes(12), "a Netpbm image"),
        (b"v/1\x01\x02\x00", "an OpenEXR image"),
        (b"SIMPLE  =                    T", "a FITS image"),
        (bytes([0x5C, 1, 0, 0]) + bytes(340) + b"n+1\x00", "a NIfTI volume"),
        (b"Rar!\x1a\x07\x01\x00", "a RAR archive"),
        (b"7z\xbc\xaf\x27\x1c\x00\x04", "a 7z archive"),
        (bytes(257) + b"ustar\x00", "a tar archive"),
        (b"\xff\x0a\xfa\x7f", "a JPEG XL image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "a PostScript document"),
        (b"\x7fELF\x02", "a program"),
    ],
)
def test_other_bytes_are_named_and_the_accepted_formats_too(data: bytes, what: str) -> None:
    with pytest.raises(UndecodableImage) as caught:
        sniff(data)
    assert what in caught.value.detail
    assert "PNG, JPEG, WebP, GIF and BMP are accepted" in caught.value.detail


@pytest.mark.parametrize("options", [{"quality": 50}, {"lossless": True}, {"save_all": True}, {"exif": b"Exif\0\0MM"}])
def test_webp_size_of_each_kind_of_header(options: dict[str, object]) -> None:
    assert webp_size(saved("webp", (301, 77), **options)) == (301, 77)


def test_webp_size_of_a_header_cut_off() -> None:
    with pytest.raises(EOFError):
        webp_size(saved("webp")[:29])


def test_gif_frames_are_counted_up_to_a_thousand() -> None:
    frames = [Image.new("P", (4, 4), index) for index in range(7)]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:], palette=bytes(range(256)) * 3)
    data = stream.getvalue()
    assert gif_frames(data) == 7
    assert gif_frames(data[: len(data) // 2]) < 7
    header = b"GIF89a\x01\x00\x01\x00\x00\x00\x00"
    frame = b"," + bytes([0, 0, 0, 0, 1, 0, 1, 0, 0]) + b"\x02\x02\x44\x01\x00"
    assert gif_frames(header + 5 * frame + b";") == 5
    assert gif_frames(header + 100_000 * frame + b";") == 1000


def test_jpeg_scans() -> None:
    assert jpeg_scans(saved("jpeg")) == 1
    assert jpeg_scans(saved("jpeg", progressive=True)) > 5
