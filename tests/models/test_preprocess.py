"""Pixels to network input, value by value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.errors import InvalidParameter
from service.models.preprocess import InputShape, Region, as_is, fit, normalise, nothing, prepare
from service.models.spec import InputSpec, Preprocessing

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


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("none", 102), ("rescale01", 0.4), ("tf", -0.2), ("caffe", 102 - 103.939)],
)
def test_modes_on_one_channel(mode: Any, expected: float) -> None:
    value = normalise(np.array([[[102]]], np.float32), Preprocessing(mode=mode))
    np.testing.assert_allclose(value, [[[expected]]], rtol=1e-5)


def test_keras_preprocess_input_agrees() -> None:
    from keras.applications import densenet, mobilenet_v2, vgg16

    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3)).astype(np.float32)
    for mode, module in (("caffe", vgg16), ("tf", mobilenet_v2), ("torch", densenet)):
        expected = module.preprocess_input(pixels.copy())
        np.testing.assert_allclose(normalise(pixels, Preprocessing(mode=mode)), expected, rtol=1e-5, atol=1e-5)


def test_colour_order() -> None:
    shape, spec = InputShape(1, 1, 3), InputSpec(colour_order="bgr")
    assert prepare(PIXEL, shape, spec, NONE).batch.ravel().tolist() == [0, 51, 255]
    caffe = Preprocessing(mode="caffe")
    assert np.array_equal(prepare(PIXEL, shape, spec, caffe).batch, prepare(PIXEL, shape, InputSpec(), caffe).batch)


@pytest.mark.parametrize(
    ("have", "wanted", "expected"),
    [
        ([10], 1, [10]),
        ([10], 3, [10, 10, 10]),
        ([10], 4, [10, 10, 10, 255]),
        ([10, 20, 30], 3, [10, 20, 30]),
        ([10, 20, 30], 1, [10 * 0.299 + 20 * 0.587 + 30 * 0.114]),
        ([10, 20, 30], 4, [10, 20, 30, 255]),
        ([10, 20, 30, 7], 3, [10, 20, 30]),
        ([10, 20, 30, 7], 4, [10, 20, 30, 7]),
        ([10, 20, 30, 7], 1, [10 * 0.299 + 20 * 0.587 + 30 * 0.114]),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_channels(have: list[int], wanted: int, expected: list[float], dtype: Any) -> None:
    image = np.array([[have]], dtype)
    batch = prepare(image, InputShape(1, 1, wanted), InputSpec(), NONE).batch
    np.testing.assert_allclose(batch, [[[expected]]], rtol=1e-6)
    assert image.tolist() == [[have]]


@pytest.mark.parametrize("have", [1, 3, 4])
def test_a_number_of_channels_no_photograph_has(have: int) -> None:
    with pytest.raises(InvalidParameter, match=r"the model takes 6 channels; send an array \(H, W, 6\)"):
        prepare(np.zeros((2, 2, have), np.uint8), InputShape(2, 2, 6), InputSpec(), NONE)


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
    # 2×4 becomes 1×2; rows of 0..30 and 40..70 average to 20, 25+20 = 45.
    assert pixels[..., 0].tolist() == [[25, 45], [0, 0]]
    assert region == Region(-1, 0, 4, 4)


def test_pad_of_a_wide_input_by_a_tall_image() -> None:
    pixels, region = fit(np.full((4, 2, 3), 9, np.uint8), InputShape(2, 3, 3), InputSpec(resize="pad"))
    assert (pixels[..., 0] == 9).tolist() == [[False, True, False]] * 2
    assert region == Region(0, -2, 4, 6)


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


def test_float_arrays_keep_their_fractions() -> None:
    image = np.array([[[0.25], [0.75]]], np.float32)
    batch = prepare(image, InputShape(1, 1, 1), InputSpec(interpolation="box"), NONE).batch
    assert batch.tolist() == [[[[0.5]]]]


def test_rank3_input_has_no_channel_axis() -> None:
    batch = prepare(RAMP, InputShape(2, 4, 1, rank3=True), InputSpec(), NONE).batch
    assert batch.tolist() == [[[0, 10, 20, 30], [40, 50, 60, 70]]]
    as_given = as_is(RAMP, InputShape(2, 4, 1, rank3=True)).batch
    assert np.array_equal(as_given, batch)


def test_as_is() -> None:
    values = np.array([[[-1.5, 2.5]]], np.float32)
    found = as_is(values, InputShape(1, 1, 2))
    batch, region = found.batch, found.region
    assert batch.tolist() == [[[[-1.5, 2.5]]]]
    assert region == Region(0, 0, 1, 1)


@pytest.mark.parametrize("shape", [(2, 2, 3), (2, 3, 1), (3, 2, 3), (2, 3)])
def test_as_is_refuses_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidParameter) as caught:
        as_is(np.zeros(shape, np.float32), InputShape(2, 3, 3))
    assert caught.value.detail == f"with preprocess=false the array must be (2, 3, 3), got {shape}"


def test_without_an_image_colours_are_still_those_of_the_network() -> None:
    mode = Preprocessing(mode="mean_std", mean=(10, 20, 30), std=(2, 4, 5))
    found = nothing(InputShape(1, 2, 3), InputSpec(), mode)
    assert found.batch.tolist() == [[[[0, 0, 0]] * 2]]
    assert found.colour((12, 24, 40)).tolist() == [1, 1, 2]
