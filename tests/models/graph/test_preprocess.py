"""Pixels to network input, value by value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.errors import InvalidParameter
from service.imaging.decode import DecodeLimits
from service.imaging.npy import decode_npy
from service.models.files.spec import InputSpec, Preprocessing
from service.models.graph.preprocess import STRIPPED_PX, InputShape, Region, as_is, fit, input_problem, nothing, prepare
from tests.checks import as_npy

NONE = Preprocessing(mode="none")
PIXEL = np.array([[[255, 51, 0]]], np.uint8)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (Preprocessing(mode="none"), [255, 51, 0]),
        (Preprocessing(mode="rescale01"), [1, 0.2, 0]),
        (Preprocessing(mode="tf"), [1, -0.6, -1]),
        (Preprocessing(mode="caffe"), [-103.939, 51 - 116.779, 255 - 123.68]),
        (Preprocessing(mode="torch"), [(1 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, -0.406 / 0.225]),
        (Preprocessing(mode="mean_std", mean=(127.0,) * 3, std=(128.0,) * 3), [1, -0.59375, -0.9921875]),
        (Preprocessing(mode="mean_std", mean=(5.0, 1.0, 2.0), std=(2.0, 5.0, 4.0)), [125, 10, -0.5]),
    ],
)
def test_modes(mode: Preprocessing, expected: list[float]) -> None:
    found = prepare(PIXEL, InputShape(1, 1, 3), InputSpec(), mode)
    batch, region = found.batch, found.region
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous
    np.testing.assert_allclose(batch, [[[expected]]], rtol=1e-6)
    assert region == Region(0, 0, 1, 1)


def test_colour_order() -> None:
    shape, spec = InputShape(1, 1, 3), InputSpec(colour_order="bgr")
    assert prepare(PIXEL, shape, spec, NONE).batch.ravel().tolist() == [0, 51, 255]
    caffe = Preprocessing(mode="caffe")
    assert np.array_equal(prepare(PIXEL, shape, spec, caffe).batch, prepare(PIXEL, shape, InputSpec(), caffe).batch)


@pytest.mark.parametrize(("have", "wanted"), [(1, 6), (3, 6), (4, 6), (5, 6), (64, 6), (6, 3), (2, 1), (2, 3)])
def test_channels_that_are_not_converted(have: int, wanted: int) -> None:
    takes = "1 channel" if wanted == 1 else f"{wanted} channels"
    with pytest.raises(InvalidParameter) as caught:
        prepare(np.zeros((2, 2, have), np.uint8), InputShape(2, 2, wanted), InputSpec(), NONE)
    assert caught.value.detail == (
        f"the model takes {takes} and the image has {have}; send an array (height, width, {wanted})"
    )


@pytest.mark.parametrize("channels", [2, 5, 64])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_any_number_of_channels_of_the_networks_own(channels: int, dtype: Any) -> None:
    """Blocks of 2×2 pixels are averaged in each channel, and scaled."""
    image = np.arange(16 * channels).reshape(4, 4, channels).astype(dtype)
    found = prepare(image, InputShape(2, 2, channels), InputSpec(interpolation="box"), Preprocessing(mode="rescale01"))
    means = image.astype(np.float64).reshape(2, 2, 2, 2, channels).mean(axis=(1, 3))
    tolerance = 0.5 if dtype is np.uint8 else 1e-4
    np.testing.assert_allclose(found.batch[0] * 255, means, rtol=0, atol=tolerance + 1e-4)


@pytest.mark.parametrize(
    ("channels", "spec", "mode", "problem"),
    [
        (3, {}, {"mode": "torch"}, None),
        (1, {}, {"mode": "caffe"}, None),
        (1, {}, {"mode": "mean_std", "mean": [1], "std": [2]}, None),
        (5, {"channels": [4, 0, 1]}, {"mode": "none"}, None),
        (5, {"channels": [5]}, {"mode": "none"}, "'channels' names channel 5, and the input has the channels 0 to 4"),
        (5, {}, {"mode": "caffe"}, "preprocessing 'caffe' is for 3 channels and the model takes 5 channels; state"),
        (1, {}, {"mode": "torch"}, "preprocessing 'torch' is for 3 channels and the model takes 1 channel; state mode"),
        (
            5,
            {},
            {"mode": "mean_std", "mean": [1, 2, 3], "std": [2]},
            "'mean' has 3 numbers and the model takes 5 channels; give 1 or 5 numbers",
        ),
        (
            1,
            {},
            {"mode": "mean_std", "mean": [1], "std": [2, 3]},
            "'std' has 2 numbers and the model takes 1 channel; give 1 number",
        ),
    ],
)
def test_what_keeps_a_spec_from_fitting(channels: int, spec: Any, mode: Any, problem: str | None) -> None:
    stated, preprocessing = InputSpec(**spec), Preprocessing(**mode)
    found = input_problem(InputShape(1, 1, channels), stated, preprocessing)
    assert (found or "").startswith(problem or "")
    assert bool(found) == bool(problem)
    if problem and not spec:
        with pytest.raises(InvalidParameter, match="the model takes"):
            prepare(np.zeros((1, 1, channels), np.uint8), InputShape(1, 1, channels), stated, preprocessing)


@pytest.mark.parametrize(
    ("channels", "order", "mode", "levels", "expected"),
    [
        (3, "rgb", "caffe", (10, 20, 30), [30 - 103.939, 20 - 116.779, 10 - 123.68]),
        (3, "bgr", "caffe", (10, 20, 30), [30 - 103.939, 20 - 116.779, 10 - 123.68]),
        (3, "bgr", "none", (10, 20, 30), [30, 20, 10]),
        (3, "rgb", "none", (10, 20, 30), [10, 20, 30]),
        (3, "rgb", "tf", (128, 128, 128), [128 / 127.5 - 1] * 3),
        (1, "rgb", "none", (10, 20, 30), [10 * 0.299 + 20 * 0.587 + 30 * 0.114]),
        (4, "rgb", "none", (10, 20, 30), [10, 20, 30, 255]),
        (5, "rgb", "tf", (128, 128, 128), [128 / 127.5 - 1] * 5),
        (2, "rgb", "rescale01", (0, 0, 0), [0, 0]),
    ],
)
def test_colours_are_the_networks_whatever_is_sent(
    channels: int, order: Any, mode: Any, levels: Any, expected: list[float]
) -> None:
    """A photograph, an array as it is, and no image at all: the same colour each time, and that of a photograph."""
    shape, spec, preprocessing = InputShape(2, 2, channels), InputSpec(colour_order=order), Preprocessing(mode=mode)
    image = np.zeros((2, 2, channels), np.float32)
    for found in (
        prepare(image, shape, spec, preprocessing),
        as_is(image, shape, spec, preprocessing),
        nothing(shape, spec, preprocessing),
    ):
        np.testing.assert_allclose(found.colour(levels), expected, rtol=1e-5, atol=1e-6)
    if channels == 3:
        photograph = prepare(np.full((2, 2, 3), levels, np.uint8), shape, spec, preprocessing)
        np.testing.assert_allclose(photograph.batch[0, 0, 0], expected, rtol=1e-5, atol=1e-5)


def test_no_red_for_five_channels() -> None:
    found = as_is(np.zeros((1, 1, 5), np.float32), InputShape(1, 1, 5), InputSpec(), NONE)
    with pytest.raises(InvalidParameter, match="is for 1, 3 or 4 channels and the model takes 5; use gray, or one num"):
        found.colour((255, 0, 0))


@pytest.mark.parametrize(
    ("channels", "order", "mode", "stated", "photograph", "array"),
    [
        (3, "rgb", "none", None, None, None),
        (3, "bgr", "none", None, None, (2, 1, 0)),
        (3, "rgb", "caffe", None, None, (2, 1, 0)),
        (3, "rgb", "none", (0,), None, (0,)),
        (5, "rgb", "none", None, None, None),
        (5, "bgr", "none", (4, 2, 0), (4, 2, 0), (4, 2, 0)),
    ],
)
def test_which_channels_are_drawn(
    channels: int, order: Any, mode: Any, stated: Any, photograph: Any, array: Any
) -> None:
    shape, spec = InputShape(1, 1, channels), InputSpec(colour_order=order, channels=stated)
    preprocessing, image = Preprocessing(mode=mode), np.zeros((1, 1, channels), np.float32)
    assert prepare(image, shape, spec, preprocessing).drawn == photograph
    assert as_is(image, shape, spec, preprocessing).drawn == array


RAMP = np.arange(8, dtype=np.uint8).reshape(2, 4, 1) * 10


def test_stretch() -> None:
    pixels, region = fit(RAMP, InputShape(2, 2, 1), InputSpec(interpolation="box"))
    assert pixels[..., 0].tolist() == [[5, 25], [45, 65]]
    assert region == Region(0, 0, 2, 4)


def test_crop_takes_the_centre() -> None:
    pixels, region = fit(RAMP, InputShape(2, 2, 1), InputSpec(resize="crop"))
    assert pixels[..., 0].tolist() == [[10, 20], [50, 60]]
    assert region == Region(0, 1, 2, 2)


def test_crop_of_a_tall_image_scales() -> None:
    tall = np.repeat(np.arange(8, dtype=np.uint8) * 10, 4).reshape(8, 4, 1)
    pixels, region = fit(tall, InputShape(2, 2, 1), InputSpec(resize="crop", interpolation="box"))
    assert pixels[..., 0].tolist() == [[25, 25], [45, 45]]
    assert region == Region(2, 0, 4, 4)


def test_pad_puts_black_around() -> None:
    pixels, region = fit(RAMP + 1, InputShape(4, 4, 1), InputSpec(resize="pad"))
    assert pixels[..., 0].tolist() == [[0] * 4, [1, 11, 21, 31], [41, 51, 61, 71], [0] * 4]
    assert region == Region(-1, 0, 4, 4)


def test_pad_scales_to_the_longer_side() -> None:
    pixels, region = fit(RAMP, InputShape(2, 2, 1), InputSpec(resize="pad", interpolation="box"))
    # 2×4 becomes 1×2; rows of 0..30 and 40..70 average to 20, 25+20 = 45. The one row of black stands below.
    assert pixels[..., 0].tolist() == [[25, 45], [0, 0]]
    assert region == Region(0, 0, 4, 4)


def test_pad_of_a_wide_input_by_a_tall_image() -> None:
    pixels, region = fit(np.full((4, 2, 3), 9, np.uint8), InputShape(2, 3, 3), InputSpec(resize="pad"))
    assert (pixels[..., 0] == 9).tolist() == [[False, True, False]] * 2
    assert region == Region(0, -2, 4, 6)


@pytest.mark.parametrize(
    ("resize", "photograph", "shape", "expected"),
    [
        # Height and width 7 and 10 to 4×4: the square of 7 is cut at 1.5, which is 2.
        ("crop", (7, 10), (4, 4), (0, 2, 7, 7)),
        # 10×7 to 3×4: 5.25×7 from 2.375 on, cut as 5×7 from 2 on.
        ("crop", (10, 7), (3, 4), (2, 0, 5, 7)),
        # 10×3 to 4×4: a scale of 2.5 leaves a width of 1.2, which is 1, at 1: one column is 3 px of the photograph.
        ("pad", (10, 3), (4, 4), (0, -3, 10, 12)),
        # 3×10 to 5×4: 1.2 rows are 1, at row 2.
        ("pad", (3, 10), (5, 4), (-6, 0, 15, 10)),
        # 427×640 to 90×50: 33.36 rows are 33, at row 28.
        ("pad", (427, 640), (90, 50), (-28 * 427 / 33, 0, 90 * 427 / 33, 640)),
    ],
)
def test_the_region_is_that_of_whole_pixels(resize: Any, photograph: Any, shape: Any, expected: Any) -> None:
    _, region = fit(np.zeros((*photograph, 1), np.uint8), InputShape(*shape, 1), InputSpec(resize=resize))
    np.testing.assert_allclose((region.top, region.left, region.height, region.width), expected, rtol=1e-12)


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_the_same_size_is_left_alone(resize: Any) -> None:
    pixels, region = fit(RAMP, InputShape(2, 4, 1), InputSpec(resize=resize))
    assert np.array_equal(pixels, RAMP)
    assert region == Region(0, 0, 2, 4)


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("size", [(1, 1), (1, 997), (997, 1), (3, 1000)])
def test_extreme_shapes(resize: Any, size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 100, np.uint8)
    pixels, _ = fit(image, InputShape(8, 8, 3), InputSpec(resize=resize))
    assert pixels.shape == (8, 8, 3)
    assert set(np.unique(pixels)) <= ({0, 100} if resize == "pad" else {100})


@pytest.mark.parametrize("interpolation", ["nearest", "box", "bilinear", "bicubic", "lanczos"])
def test_resizing_is_pillow_s(interpolation: Any) -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    expected = Image.fromarray(image).resize((4, 5), Image.Resampling[interpolation.upper()])
    pixels, _ = fit(image, InputShape(5, 4, 3), InputSpec(interpolation=interpolation))
    assert np.array_equal(pixels, np.asarray(expected))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "lanczos"])
@pytest.mark.parametrize("size", [(1200, 900), (777, 1300), (1400, 788), (4000, 251)])
@pytest.mark.parametrize("wanted", [(224, 224), (33, 70), (1300, 900)])
def test_large_photographs_are_resized_in_strips(
    interpolation: Any, size: tuple[int, int], wanted: tuple[int, int]
) -> None:
    """The same pixels as the whole at once, also where it grows."""
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    assert noise.shape[0] * noise.shape[1] > STRIPPED_PX
    spec = InputSpec(interpolation=interpolation)
    found, _ = fit(noise, InputShape(*wanted, 3), spec)
    method = Image.Resampling[interpolation.upper()]
    expected = np.asarray(Image.fromarray(noise).resize(wanted[::-1], method))
    np.testing.assert_array_equal(found, expected)


def test_float_arrays_keep_their_fractions() -> None:
    image = np.array([[[0.25], [0.75]]], np.float32)
    batch = prepare(image, InputShape(1, 1, 1), InputSpec(interpolation="box"), NONE).batch
    assert batch.tolist() == [[[[0.5]]]]


def test_rank3_input_has_no_channel_axis() -> None:
    batch = prepare(RAMP, InputShape(2, 4, 1, rank3=True), InputSpec(), NONE).batch
    assert batch.tolist() == [[[0, 10, 20, 30], [40, 50, 60, 70]]]
    as_given = as_is(RAMP, InputShape(2, 4, 1, rank3=True), InputSpec(), NONE).batch
    assert np.array_equal(as_given, batch)


def test_as_is() -> None:
    values = np.array([[[-1.5, 2.5]]], np.float32)
    found = as_is(values, InputShape(1, 1, 2), InputSpec(), Preprocessing(mode="tf"))
    assert found.batch.tolist() == [[[[-1.5, 2.5]]]]
    assert found.region == Region(0, 0, 1, 1)


OPEN = InputShape(224, 224, 3, open_height=True, open_width=True)
FIRST = InputShape(2, 4, 3, channels_first=True)


@pytest.mark.parametrize(
    ("given", "shape", "size", "turned"),
    [
        ((5, 7, 3), OPEN, (5, 7), False),
        ((2, 9, 3), InputShape(2, 4, 3, open_width=True), (2, 9), False),
        ((9, 4, 3), InputShape(2, 4, 3, open_height=True), (9, 4), False),
        ((9, 5, 1), InputShape(2, 4, 1, rank3=True, open_height=True, open_width=True), (9, 5), False),
        ((3, 2, 4), FIRST, (2, 4), True),
        ((2, 4, 3), FIRST, (2, 4), False),
        ((3, 3, 3), InputShape(3, 3, 3, channels_first=True), (3, 3), True),
        ((3, 6, 5), InputShape(8, 8, 3, open_height=True, open_width=True, channels_first=True), (6, 5), True),
        ((6, 5, 3), InputShape(8, 8, 3, open_height=True, open_width=True, channels_first=True), (6, 5), False),
    ],
)
def test_as_is_of_open_sizes_and_channels_first(
    given: tuple[int, ...], shape: InputShape, size: tuple[int, int], turned: bool
) -> None:
    values = np.random.default_rng(0).normal(size=given).astype(np.float32)
    found = as_is(values, shape, InputSpec(), NONE)
    expected = np.moveaxis(values, 0, -1) if turned else values
    np.testing.assert_array_equal(found.batch, (expected[..., 0] if shape.rank3 else expected)[None])
    assert found.batch.flags.c_contiguous
    assert (found.size, found.channels_first) == (size, turned)
    assert found.region == Region(0, 0, *size)


@pytest.mark.parametrize(
    ("given", "shape", "wanted"),
    [
        ((2, 2, 3), InputShape(2, 3, 3), "(2, 3, 3)"),
        ((2, 3, 1), InputShape(2, 3, 3), "(2, 3, 3)"),
        ((3, 2, 3), InputShape(2, 3, 3), "(2, 3, 3)"),
        ((2, 3), InputShape(2, 3, 3), "(2, 3, 3)"),
        ((5, 7, 4), OPEN, "(any, any, 3)"),
        ((3, 5, 7), OPEN, "(any, any, 3)"),
        ((3, 9, 3), InputShape(2, 4, 3, open_width=True), "(2, any, 3)"),
        ((4, 2, 3), FIRST, "(3, 2, 4) or (2, 4, 3)"),
    ],
)
def test_as_is_refuses_another_shape(given: tuple[int, ...], shape: InputShape, wanted: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        as_is(np.zeros(given, np.float32), shape, InputSpec(), NONE)
    assert caught.value.detail == f"with preprocess=false the array must be {wanted}, got {given}"


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("k_none", InputShape(224, 224, 3, open_height=True, open_width=True)),
        ("k_cf", InputShape(32, 32, 3, channels_first=True)),
        ("k_ms5", InputShape(32, 32, 5)),
        ("k_ch2", InputShape(32, 32, 2)),
    ],
)
def test_inputs_of_real_files_are_taken_as_they_are(data: Path, name: str, shape: InputShape) -> None:
    with np.load(data / "legacy" / f"{name}.npz") as arrays:
        inputs = arrays["x"]
    for values in inputs:
        found = as_is(decode_npy(as_npy(values), DecodeLimits()), shape, InputSpec(), NONE)
        expected = np.moveaxis(values, 0, -1) if shape.channels_first else values
        np.testing.assert_array_equal(found.batch[0], expected)


def test_without_an_image_colours_are_still_those_of_the_network() -> None:
    mode = Preprocessing(mode="mean_std", mean=(10, 20, 30), std=(2, 4, 5))
    found = nothing(InputShape(1, 2, 3), InputSpec(), mode)
    assert found.batch.tolist() == [[[[0, 0, 0]] * 2]]
    assert found.colour((12, 24, 40)).tolist() == [1, 1, 2]
