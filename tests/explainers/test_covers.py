"""A colour that is put in place of pixels is what a photograph of that colour is to the network, and nothing else."""

from __future__ import annotations

from itertools import product
from typing import Any, get_args

import numpy as np
import pytest

from service.explainers.covers import covering
from service.explainers.maximization.colours import colour_map
from service.explainers.saliency.baselines import Baseline, baseline_of
from service.models.files.spec import InputSpec, Preprocessing, PreprocessingMode
from service.models.graph.preprocess import InputShape, NetworkInput, as_is, nothing, prepare

MODES = [
    *(Preprocessing(mode=mode) for mode in get_args(PreprocessingMode) if mode != "mean_std"),
    Preprocessing(mode="mean_std", mean=(10, 20, 30), std=(2, 4, 5)),
    Preprocessing(mode="mean_std", mean=(7,), std=(3,)),
]
ORDERS = ("rgb", "bgr")
CHANNELS = (1, 3, 4)
COLOURS = [(255, 0, 0), (0, 0, 255), (10, 200, 30), (128, 128, 128), (0, 0, 0)]


def is_for(mode: Preprocessing, channels: int) -> bool:
    """Whether a network of so many channels may have the mode."""
    if mode.mode == "torch" or len(mode.mean) == 3:
        return channels == 3
    return mode.mode != "caffe" or channels in (1, 3)


CASES = [
    (mode, order, channels) for mode, order, channels in product(MODES, ORDERS, CHANNELS) if is_for(mode, channels)
]
IDS = [f"{mode.mode}{len(mode.mean) or ''}-{order}-{channels}" for mode, order, channels in CASES]


def photograph(colour: tuple[int, int, int], shape: InputShape, spec: InputSpec, mode: Preprocessing) -> NetworkInput:
    """An image of one colour, as a file would be."""
    return prepare(np.full((shape.height, shape.width, 3), colour, np.uint8), shape, spec, mode)


def sent(shape: InputShape, spec: InputSpec, mode: Preprocessing) -> list[NetworkInput]:
    """An image that came as a photograph, as a float array, as what the network takes, and none at all."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (shape.height, shape.width, 3), np.uint8)
    own = random.normal(size=(shape.height, shape.width, shape.channels)).astype(np.float32)
    return [
        prepare(pixels, shape, spec, mode),
        prepare(pixels.astype(np.float32), shape, spec, mode),
        as_is(own, shape, spec, mode),
        nothing(shape, spec, mode),
    ]


def test_every_combination_is_there() -> None:
    assert {case[0].mode for case in CASES} == set(get_args(PreprocessingMode))
    assert (Preprocessing(mode="caffe"), "bgr", 3) in CASES
    assert len(CASES) == 32


@pytest.mark.parametrize(("mode", "order", "channels"), CASES, ids=IDS)
@pytest.mark.parametrize("axes", ["with channels", "without"])
def test_fills_and_baselines(mode: Preprocessing, order: Any, channels: int, axes: str) -> None:
    """Also of a network that has no channel axis at all, which is a grey one."""
    rank3 = channels == 1 and axes == "without"
    shape, spec = InputShape(4, 5, channels, rank3=rank3), InputSpec(colour_order=order)
    for image in sent(shape, spec, mode):
        for colour in COLOURS:
            expected = photograph(colour, shape, spec, mode).batch
            found = covering(image, ",".join(map(str, colour)))
            assert found.shape == shape.batch
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4, err_msg=str(colour))
        grey = photograph((128, 128, 128), shape, spec, mode).batch
        np.testing.assert_allclose(covering(image, "gray"), grey, rtol=1e-5, atol=1e-4)
        black = photograph((0, 0, 0), shape, spec, mode).batch
        np.testing.assert_allclose(baseline_of(image, "black"), black, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("mode", "order", "channels"), CASES, ids=IDS)
@pytest.mark.parametrize("colour", COLOURS)
def test_the_mean_and_the_blur_of_one_colour_are_that_colour(
    mode: Preprocessing, order: Any, channels: int, colour: tuple[int, int, int]
) -> None:
    shape, spec = InputShape(8, 8, channels), InputSpec(colour_order=order)
    image = photograph(colour, shape, spec, mode)
    for kind in ("mean", "blur"):
        assert kind in get_args(Baseline)
        np.testing.assert_allclose(covering(image, kind), image.batch, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(baseline_of(image, kind), image.batch, rtol=1e-4, atol=1e-3)  # type: ignore[arg-type]


@pytest.mark.parametrize(("mode", "order", "channels"), CASES, ids=IDS)
def test_the_values_of_an_ascent_are_those_of_a_photograph(mode: Preprocessing, order: Any, channels: int) -> None:
    """Levels of 0 to 255 as the ascent has them → what the network gets for a photograph of that colour."""
    shape, spec = InputShape(2, 2, channels), InputSpec(colour_order=order)
    colours = colour_map(nothing(shape, spec, mode), 0, 255)
    for colour in COLOURS:
        levels = np.array([sum(np.multiply(colour, (0.299, 0.587, 0.114)))] if channels == 1 else colour, np.float64)
        expected = photograph(colour, shape, spec, mode).batch[0, 0, 0]
        np.testing.assert_allclose(levels @ colours.matrix + colours.offset, expected, rtol=1e-4, atol=2e-3)
