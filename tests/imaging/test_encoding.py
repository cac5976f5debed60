"""PNG files as other programs read them: small and large, by one thread and by several."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from service import strips
from service.imaging.encoding import encode_png


def test_png_gives_back_the_pixels_and_nothing_else() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    data = encode_png(colours)
    assert data == encode_png(colours.copy())
    image = Image.open(io.BytesIO(data))
    np.testing.assert_array_equal(np.asarray(image), colours)
    assert image.info == {}
    assert len(encode_png(np.zeros((99, 99, 3), np.uint8))) < 400


def test_png_of_grey_is_grey() -> None:
    grey = np.uint8([[0, 128, 255]])
    image = Image.open(io.BytesIO(encode_png(grey)))
    assert image.mode == "L"
    np.testing.assert_array_equal(np.asarray(image), grey)


@pytest.mark.parametrize(
    "image",
    [np.zeros((2, 2, 4), np.uint8), np.zeros((2, 2), np.float32), np.zeros(3, np.uint8), np.zeros((0, 3, 3), np.uint8)],
)
def test_png_of_something_else_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="cannot encode shape"):
        encode_png(image)


@pytest.mark.parametrize("size", [(1, 1), (1, 400_000), (400_000, 1), (700, 701), (2, 300_001)])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_parts_of_a_large_picture_make_one_file(
    size: tuple[int, int], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow checks the sums of chunks, OpenCV's libpng that of the whole as well."""
    monkeypatch.setattr(strips, "_threads", lambda: threads)
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    smooth = np.zeros((*size, 3), np.uint8)
    smooth[:] = np.arange(size[0] * size[1]).reshape(*size, 1) // max(1, size[0] * size[1] // 256)
    for pixels in (noise, smooth):
        data = encode_png(pixels)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)
        read = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(read, pixels[..., ::-1])
    assert len(encode_png(smooth)) < max(200, smooth.size // 50)


def test_pixels_of_a_part_of_a_picture() -> None:
    """An array that is a view, with gaps between its rows."""
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)[3:17:2, 5:29, ::-1]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode_png(pixels)))), pixels)
