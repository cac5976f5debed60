"""Pixels of every mode and orientation against values worked out by hand, and files that want to do harm."""

import base64
import io
import struct
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from service.errors import ImageTooLarge, UndecodableImage
from service.imaging.decode import DecodeLimits, decode, decode_base64, to_rgb

LIMITS = DecodeLimits()
WHITE, BLACK, RED, GREEN, BLUE = (255, 255, 255), (0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)


def saved(image: Image.Image, format_: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format_, **options)
    return stream.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, depth: int, colour: int, raw: bytes, extra: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def of_mode(mode: str, values: list[object]) -> Image.Image:
    """The six values as two rows of three."""
    image = Image.new(mode, (3, 2))
    for index, value in enumerate(values):
        image.putpixel((index % 3, index // 3), value)
    return image


def palette_image(transparency: object, mode: str = "P") -> Image.Image:
    image = of_mode(mode, [0, 1, 2, 3, 4, 0] if mode == "P" else [(0, 255), (1, 128), (4, 0)])
    image.putpalette([*RED, *GREEN, *BLUE, *WHITE, *BLACK])
    if transparency is not None:
        image.info["transparency"] = transparency
    return image


# Half transparent (128 / 255) colour c on white: 255 + (c - 255) * 128 / 255, so 127 for 0.
FILES: dict[str, tuple[Image.Image, list[tuple[int, int, int]]]] = {
    "1": (of_mode("1", [0, 255, 0, 255, 255, 0]), [BLACK, WHITE, BLACK, WHITE, WHITE, BLACK]),
    "L": (of_mode("L", [0, 50, 100, 150, 200, 255]), [(v, v, v) for v in (0, 50, 100, 150, 200, 255)]),
    "LA": (
        of_mode("LA", [(0, 255), (0, 128), (0, 0), (100, 128), (255, 128), (77, 255)]),
        [(v, v, v) for v in (0, 127, 255, 177, 255, 77)],
    ),
    "P": (palette_image(None), [RED, GREEN, BLUE, WHITE, BLACK, RED]),
    "P with one transparent colour": (palette_image(1), [RED, WHITE, BLUE, WHITE, BLACK, RED]),
    "P with alphas": (palette_image(b"\x00\x80\xff"), [WHITE, (127, 255, 127), BLUE, WHITE, BLACK, WHITE]),
    "RGB": (
        of_mode("RGB", [RED, GREEN, BLUE, (1, 2, 3), (200, 100, 50), WHITE]),
        [RED, GREEN, BLUE, (1, 2, 3), (200, 100, 50), WHITE],
    ),
    "RGBA": (
        of_mode("RGBA", [(*RED, 0), (*RED, 128), (*RED, 255), (0, 0, 0, 0), (0, 0, 0, 51), (10, 20, 30, 255)]),
        [WHITE, (255, 127, 127), RED, WHITE, (204, 204, 204), (10, 20, 30)],
    ),
    "I;16": (
        of_mode("I;16", [0, 257, 13_107, 32_768, 65_000, 65_535]),
        [(v, v, v) for v in (0, 1, 51, 128, 253, 255)],
    ),
}

# Where the six stored pixels a b c / d e f belong, as EXIF defines its eight orientations.
UPRIGHT = {
    1: ["abc", "def"],
    2: ["cba", "fed"],
    3: ["fed", "cba"],
    4: ["def", "abc"],
    5: ["ad", "be", "cf"],
    6: ["da", "eb", "fc"],
    7: ["fc", "eb", "da"],
    8: ["cf", "be", "ad"],
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("name", FILES)
def test_every_mode_in_every_orientation(name: str, orientation: int) -> None:
    image, colours = FILES[name]
    decoded = decode(saved(image, "PNG", exif=exif(orientation)), LIMITS)
    expected = [[colours["abcdef".index(letter)] for letter in row] for row in UPRIGHT[orientation]]
    np.testing.assert_allclose(decoded.pixels.astype(int), expected, atol=1)
    assert decoded.pixels.dtype == np.uint8
    assert decoded.pixels.flags.c_contiguous
    assert decoded.notes == {
        "width": len(expected[0]),
        "height": len(expected),
        "format": "png",
        "mode": name.partition(" ")[0],
        "orientation": orientation,
        "frames": 1,
        "alpha": name in ("LA", "RGBA") or "with" in name,
    }


@pytest.mark.parametrize(
    ("image", "colours", "alpha"),
    [
        (of_mode("CMYK", [(0, 255, 255, 0), (255, 0, 255, 0), (0, 0, 0, 255)]), [RED, GREEN, BLACK], False),
        (of_mode("YCbCr", [(76, 85, 255), (255, 128, 128), (0, 128, 128)]), [(254, 0, 0), WHITE, BLACK], False),
        (of_mode("HSV", [(0, 255, 255), (85, 255, 255), (0, 0, 100)]), [RED, GREEN, (100, 100, 100)], False),
        (of_mode("LAB", [(255, 128, 128), (0, 128, 128), (136, 208, 195)]), [WHITE, BLACK, (255, 1, 1)], False),
        (of_mode("I", [65_535, 32_768, -5]), [WHITE, (128, 128, 128), BLACK], False),
        (of_mode("I;16B", [65_535, 13_107, 0]), [WHITE, (51, 51, 51), BLACK], False),
        (of_mode("F", [300.0, 99.6, float("nan")]), [WHITE, (100, 100, 100), BLACK], False),
        (palette_image(None, "PA"), [RED, (127, 255, 127), WHITE], True),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "",
)
def test_modes_that_a_png_does_not_have(image: Image.Image, colours: list[tuple[int, int, int]], alpha: bool) -> None:
    rgb, had_alpha = to_rgb(image)
    np.testing.assert_allclose(np.asarray(rgb)[0].astype(int), colours, atol=1)
    assert had_alpha is alpha


def test_a_sixteen_bit_ramp_is_scaled_by_257_and_does_not_saturate() -> None:
    ramp = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    pixels = decode(saved(Image.fromarray(ramp), "PNG"), LIMITS).pixels
    np.testing.assert_array_equal(pixels[:, :, 1], (ramp.astype(int) + 128) // 257)


@pytest.mark.parametrize(
    ("depth", "colour", "raw", "transparent", "expected"),
    [
        (16, 2, struct.pack(">6H", 0x1234, 0x5678, 0x9ABC, 0xFFFF, 0, 0), (0x1234, 0x5678, 0x9ABC), [WHITE, RED]),
        (16, 0, struct.pack(">2H", 0x1234, 0), (0x1234,), [WHITE, BLACK]),
        (8, 0, bytes([85, 5]), (5,), [(85, 85, 85), WHITE]),
        (4, 0, b"\x50", (5,), [WHITE, BLACK]),
        (2, 0, b"\x60", (1,), [WHITE, (170, 170, 170)]),
        (1, 0, b"\x40", (0,), [WHITE, WHITE]),
    ],
)
def test_the_transparent_colour_of_a_png_at_every_depth(
    depth: int, colour: int, raw: bytes, transparent: tuple[int, ...], expected: list[tuple[int, int, int]]
) -> None:
    extra = chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent))
    decoded = decode(png(2, 1, depth, colour, b"\x00" + raw, extra), LIMITS)
    np.testing.assert_allclose(decoded.pixels[0].astype(int), expected, atol=1)
    assert decoded.alpha


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_jpeg_and_webp_orientation(orientation: int) -> None:
    stored = Image.new("RGB", (48, 32))
    colours = [RED, GREEN, BLUE, WHITE, BLACK, (128, 128, 128)]
    for index, colour in enumerate(colours):
        stored.paste(colour, (index % 3 * 16, index // 3 * 16, index % 3 * 16 + 16, index // 3 * 16 + 16))
    expected = [[colours["abcdef".index(letter)] for letter in row] for row in UPRIGHT[orientation]]
    for format_, options in (("JPEG", {"quality": 100, "subsampling": 0}), ("WEBP", {"lossless": True})):
        decoded = decode(saved(stored, format_, exif=exif(orientation), **options), LIMITS)
        np.testing.assert_allclose(decoded.pixels[8::16, 8::16].astype(int), expected, atol=2)
        assert decoded.orientation == orientation


def photographs() -> list[bytes]:
    """JPEGs of every kind of sampling, size and order of scans."""
    small = np.random.default_rng(2).integers(0, 256, (9, 14, 3), np.uint8)
    found = []
    for size in ((161, 97), (1, 1), (16, 8), (300, 33)):
        image = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
        for sampling in ("4:4:4", "4:2:2", "4:2:0"):
            for progressive in (False, True):
                found.append(saved(image, "JPEG", quality=88, subsampling=sampling, progressive=progressive))
        found += [
            saved(image, "JPEG", keep_rgb=True),
            saved(image.convert("L"), "JPEG"),
            saved(image, "JPEG", quality=5),
        ]
    return found


def test_jpegs_have_the_pixels_that_pillow_gives(data: Path) -> None:
    files = [path.read_bytes() for path in sorted((data / "images").glob("*.jp*g"))]
    assert len(files) >= 18
    for file in [*photographs(), *files]:
        expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(file))).convert("RGB"))
        np.testing.assert_array_equal(decode(file, LIMITS).pixels, expected)


def test_a_jpeg_with_extra_bytes_is_read_as_pillow_reads_it() -> None:
    """libjpeg warns of them, and goes on."""
    file = saved(Image.new("RGB", (40, 30), "teal"), "JPEG")
    spoilt = file[:-2] + b"\x00\x11\x22" * 5 + file[-2:]
    np.testing.assert_array_equal(decode(spoilt, LIMITS).pixels, np.asarray(Image.open(io.BytesIO(spoilt))))


def test_cmyk_jpeg() -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    decoded = decode(saved(red, "JPEG", quality=95), LIMITS)
    np.testing.assert_allclose(decoded.pixels[8, 8].astype(int), RED, atol=2)
    assert decoded.mode == "CMYK"


@pytest.mark.parametrize(("mode", "value"), [("1", 1), ("L", 255), ("P", 0), ("RGB", WHITE)])
def test_bmp_modes(mode: str, value: object) -> None:
    image = Image.new(mode, (3, 2), value)
    if mode == "P":
        image.putpalette([*WHITE])
    assert (decode(saved(image, "BMP"), LIMITS).pixels == 255).all()


@pytest.mark.parametrize("format_", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation(format_: str) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, GREEN, BLUE)]
    options = {"lossless": True} if format_ == "WEBP" else {}
    decoded = decode(saved(frames[0], format_, save_all=True, append_images=frames[1:], **options), LIMITS)
    assert (decoded.pixels == RED).all()
    assert decoded.frames == 3


def test_unreadable_exif_is_no_reason_to_refuse() -> None:
    tags = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\xff\xff\x00\x00\x00\x00\x00\x00"
    decoded = decode(saved(Image.new("RGB", (8, 8), RED), "PNG", exif=tags), LIMITS)
    assert decoded.orientation == 1
    assert (decoded.pixels == RED).all()


@pytest.mark.parametrize("value", [0, 9, 65_535])
def test_an_orientation_that_does_not_exist_is_upright(value: int) -> None:
    assert decode(saved(Image.new("RGB", (3, 2)), "PNG", exif=exif(value)), LIMITS).notes["orientation"] == 1


def gif_of(screen: int, frame: int) -> bytes:
    header = b"GIF89a" + struct.pack("<HH", screen, screen) + b"\x00\x00\x00"
    return header + b"," + struct.pack("<HHHH", 0, 0, frame, frame) + b"\x00\x02\x01\x00\x00;"


BOMBS = {
    "png": png(30_000, 30_000, 8, 2, b""),
    "png, one bit": png(65_535, 65_535, 1, 0, b""),
    "png, one side": png(16_385, 1, 8, 0, b""),
    "gif screen": gif_of(65_535, 1),
    "gif frame": gif_of(1, 65_535),
    "gif frame, where Pillow only warns": gif_of(1, 9_900),
    "bmp": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 100, 0, 0, 54, 40, 40_000, 40_000, 1, 24, 0, 0, 0, 0, 0, 0),
    "webp": b"RIFF" + struct.pack("<I", 40) + b"WEBPVP8X\x0a\x00\x00\x00" + bytes(4) + b"\xff" * 6 + bytes(20),
    "jpeg": b"\xff\xd8\xff\xc0\x00\x0b\x08\xff\xff\xff\xff\x01\x01\x11\x00\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_by_its_header(name: str) -> None:
    began = time.process_time()
    with pytest.raises(ImageTooLarge):
        decode(BOMBS[name], LIMITS)
    assert time.process_time() - began < 0.2


def test_a_refusal_names_the_size_and_the_limit() -> None:
    with pytest.raises(ImageTooLarge, match="30 x 20 pixels; at most 500 pixels in all and 16384 pixels a side"):
        decode(saved(Image.new("L", (30, 20)), "PNG"), DecodeLimits(max_pixels=500))
    assert decode(saved(Image.new("L", (30, 20)), "PNG"), DecodeLimits(max_pixels=600)).pixels.shape == (20, 30, 3)


@pytest.mark.parametrize(
    "data",
    [
        png(4, 4, 8, 0, b"")[:33] + chunk(b"abCd", b"") * 200_000,
        b"\xff\xd8" + b"\xff\xe5\x00\x02" * 500_000,
        b"\xff\xd8\xff" + b"\xff" * 1_000_000,
    ],
    ids=["png chunks", "jpeg segments", "jpeg fill bytes"],
)
def test_a_file_of_countless_small_pieces_is_given_up(data: bytes) -> None:
    with pytest.raises(UndecodableImage, match="too many small pieces"):
        decode(data, LIMITS)


def test_a_jpeg_of_countless_scans_is_refused() -> None:
    data = saved(Image.new("RGB", (16, 16)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    with pytest.raises(UndecodableImage, match="more than 100 scans"):
        decode(data[:last] + data[last:-2] * 200 + data[-2:], LIMITS)


SEED_IMAGE = Image.effect_mandelbrot((40, 30), (-2, -1.5, 1, 1.5), 60).convert("RGB")
SEEDS = {
    "png": saved(SEED_IMAGE, "PNG"),
    "png palette": saved(SEED_IMAGE.quantize(16), "PNG", transparency=3),
    "jpeg": saved(SEED_IMAGE, "JPEG", exif=exif(6)),
    "jpeg progressive": saved(SEED_IMAGE, "JPEG", progressive=True),
    "webp": saved(SEED_IMAGE, "WEBP"),
    "webp lossless": saved(SEED_IMAGE.convert("RGBA"), "WEBP", lossless=True, exif=exif(3)),
    "gif": saved(SEED_IMAGE, "GIF", save_all=True, append_images=[SEED_IMAGE.rotate(90)]),
    "bmp": saved(SEED_IMAGE.quantize(64), "BMP"),
}


def outcome(data: bytes) -> str:
    """`read`, or the sentence; any other exception fails the test."""
    try:
        decode(data, DecodeLimits(max_pixels=100_000))
    except (UndecodableImage, ImageTooLarge) as error:
        return error.detail
    return "read"


@pytest.mark.parametrize("name", SEEDS)
def test_a_file_cut_anywhere_is_read_or_refused(name: str) -> None:
    data = SEEDS[name]
    for length in [*range(0, len(data), 37), len(data) - 1]:
        outcome(data[:length])
    assert outcome(data) == "read"
    assert outcome(data[: len(data) // 3]).endswith("it was cut off on its way.")


@pytest.mark.filterwarnings("ignore")  # as in service, where warnings are no exceptions
@pytest.mark.parametrize("name", SEEDS)
def test_a_file_with_wrong_bits_is_read_or_refused(name: str) -> None:
    data = SEEDS[name]

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(1, 255)), min_size=1, max_size=4))
    def flip(flips: list[tuple[int, int]]) -> None:
        wrong = bytearray(data)
        for at, bits in flips:
            wrong[at] ^= bits
        assert "0x" not in outcome(bytes(wrong))

    flip()


def test_a_damaged_file_is_called_damaged() -> None:
    assert outcome(png(4, 4, 8, 0, b"\x09" * 5)) == "The PNG file is damaged: its pixels cannot be read."


def test_threads_get_equal_pixels_and_leave_pillow_as_it_was() -> None:
    before = Image.MAX_IMAGE_PIXELS
    barrier = threading.Barrier(4)

    def read(_: int) -> bytes:
        barrier.wait()
        return decode(SEEDS["jpeg"], LIMITS).pixels.tobytes()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(read, range(8)))) == 1
    assert before == Image.MAX_IMAGE_PIXELS


PNG_TEXT = base64.b64encode(SEEDS["png"]).decode()


@pytest.mark.parametrize(
    "wrap", [str, "data:image/png;base64,{}".format, "DATA:Image/PNG;charset=x;base64,{}\n".format]
)
def test_base64(wrap: Callable[[str], str]) -> None:
    assert decode_base64(wrap(PNG_TEXT)) == SEEDS["png"]
    assert decode_base64(wrap("aGVsbG8=")) == b"hello"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        ("data:image/png;base64,", "is empty"),
        ("data:image/svg+xml;base64,PHN2Zy8+", r"type 'image/svg\+xml'; PNG, JPEG"),
        ("data:text/html;base64,PHN2Zy8+", "type 'text/html'"),
        ("data:;base64,aGVsbG8=", "type ''"),
        ("data:image/png,aGVsbG8=", "is not base64: write"),
        ("data:image/png;base64", "is not base64: write"),
        ("aGVs\nbG8=", "white space"),
        (" aGVsbG8=", "white space"),
        ("aGVsbG8=\n\n", "white space"),
        ("aGVsbG8", "not valid base64"),
        ("aGVsbG8==", "not valid base64"),
        ("aGV-bG8_", "not valid base64"),
        ("aGVsbG8=aGVsbG8=", "not valid base64"),
        ("aGVsbG8é", "not valid base64"),
    ],
)
def test_base64_that_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(UndecodableImage, match=sentence):
        decode_base64(text)
