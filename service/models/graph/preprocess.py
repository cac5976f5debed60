"""Pixels to the network's input, and which part of the photograph the input shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.errors import InvalidParameter
from service.models.files.spec import InputSpec, Preprocessing
from service.models.graph.channels import CONVERTIBLE, Pixels, converted, counted, mode_problem, normalise, ordered
from service.strips import side_by_side

# From so many pixels on a photograph is resized in strips of so many rows.
STRIPPED_PX = 1_000_000
STRIP_ROWS = 128


@dataclass(frozen=True)
class Region:
    """The box of the photograph that the input shows, in its pixels; it may reach beyond a padded photograph."""

    top: float
    left: float
    height: float
    width: float


@dataclass(frozen=True)
class InputShape:
    """What the network takes: sizes in px; `rank3` when it has no channel axis at all, as some MNIST networks.

    `open_height` and `open_width` say that the network takes any size there, and `height` and `width` are what images
    are resized to; `channels_first` that its file has (C, H, W), though batches are (1, h, w, c) everywhere.
    """

    height: int
    width: int
    channels: int
    rank3: bool = False
    open_height: bool = False
    open_width: bool = False
    channels_first: bool = False

    @property
    def batch(self) -> tuple[int, ...]:
        shape = (1, self.height, self.width)
        return shape if self.rank3 else (*shape, self.channels)


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """One image as the network takes it: `batch` (1, h, w, c) float32, and the region of the photograph it shows.

    `colour` gives the network's (c,) float32 values of a colour of three levels 0..255, and raises InvalidParameter
    for a colour that the network cannot be shown. `drawn` are the one or three channels of the array that was sent
    which are drawn, None for the usual ones; `channels_first` says that this array was (C, H, W).
    """

    batch: NDArray[np.float32]
    region: Region
    colour: Callable[[tuple[float, float, float]], NDArray[np.float32]]
    drawn: tuple[int, ...] | None = None
    channels_first: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """(h, w, c), or (h, w) of a network without a channel axis."""
        return self.batch.shape[1:]

    @property
    def size(self) -> tuple[int, int]:
        return self.batch.shape[1], self.batch.shape[2]


def input_problem(shape: InputShape, spec: InputSpec, mode: Preprocessing) -> str | None:
    """What keeps the spec from fitting a network of `shape.channels` channels; None when nothing does."""
    beyond = [channel for channel in spec.channels or () if channel >= shape.channels]
    if beyond:
        return f"'channels' names channel {beyond[0]}, and the input has the channels 0 to {shape.channels - 1}"
    return mode_problem(mode, shape.channels)


@dataclass(frozen=True)
class Fitting:
    """All that `fit` needs to know of a model; `fingerprint` is the warm model's that it holds for."""

    fingerprint: str
    shape: InputShape
    spec: InputSpec


def prepare(
    image: Pixels, shape: InputShape, spec: InputSpec, mode: Preprocessing, fitted: Region | None = None
) -> NetworkInput:
    """Makes the network's input of (H, W, C) levels 0..255, C the network's own number or one that it is converted
    from; where the image is `fitted` already it shows that region. Raises InvalidParameter for other channels, and for
    a mode that is not for them.
    """
    have = image.shape[2]
    if have != shape.channels and not {have, shape.channels} <= set(CONVERTIBLE):
        raise InvalidParameter(
            f"the model takes {counted(shape.channels)} and the image has {have}; "
            f"send an array (height, width, {shape.channels})"
        )
    pixels, region = (image, fitted) if fitted else fit(image, shape, spec)
    pixels = ordered(converted(pixels, shape.channels), spec, mode)
    values = normalise(pixels.astype(np.float32), mode)
    batch = np.ascontiguousarray(values.reshape(shape.batch), dtype=np.float32)
    # Three channels of levels are red, green and blue, whatever the network makes of them.
    drawn = spec.channels if have == shape.channels and have not in (1, 3) else None
    return NetworkInput(batch, region, lambda levels: _colour(levels, shape, spec, mode), drawn)


def as_is(image: Pixels, shape: InputShape, spec: InputSpec, mode: Preprocessing) -> NetworkInput:
    """Takes an array that is already what the network takes: (H, W, C), or (C, H, W) where the network's file has its
    channels first. Raises InvalidParameter when its shape is another.
    """
    given = tuple(image.shape)
    height, width = None if shape.open_height else shape.height, None if shape.open_width else shape.width
    last, first = (height, width, shape.channels), (shape.channels, height, width)
    turned = shape.channels_first and _fits(given, first)
    if not turned and not _fits(given, last):
        wanted = f"{_written(first)} or {_written(last)}" if shape.channels_first else _written(last)
        raise InvalidParameter(f"with preprocess=false the array must be {wanted}, got {given}")
    values = np.moveaxis(image, 0, -1) if turned else image
    height, width = values.shape[:2]
    batch = np.ascontiguousarray(values[..., 0] if shape.rank3 else values, dtype=np.float32)[None]
    bgr = (2, 1, 0) if shape.channels == 3 and (spec.colour_order == "bgr" or mode.mode == "caffe") else None
    region = Region(0.0, 0.0, float(height), float(width))
    return NetworkInput(
        batch, region, lambda levels: _colour(levels, shape, spec, mode), spec.channels or bgr, channels_first=turned
    )


def nothing(shape: InputShape, spec: InputSpec, mode: Preprocessing) -> NetworkInput:
    """Gives zeros, for methods that take no image; a colour is what the network takes for it all the same."""
    region = Region(0.0, 0.0, float(shape.height), float(shape.width))
    return NetworkInput(np.zeros(shape.batch, np.float32), region, lambda levels: _colour(levels, shape, spec, mode))


def fit(image: Pixels, shape: InputShape, spec: InputSpec) -> tuple[Pixels, Region]:
    """The photograph at the input's size: stretched, its centre cropped, or padded with black (or what 0 is).

    The region is that of the whole pixels that were cut or filled, so a map of the input lies where the input was.
    """
    height, width = image.shape[:2]
    if spec.resize == "stretch":
        return _resize(image, shape.height, shape.width, spec), Region(0.0, 0.0, float(height), float(width))
    ratios = (height / shape.height, width / shape.width)
    if spec.resize == "crop":
        scale = min(ratios)
        tall, wide = max(1, round(shape.height * scale)), max(1, round(shape.width * scale))
        top, left = round((height - shape.height * scale) / 2), round((width - shape.width * scale) / 2)
        crop = image[top : top + tall, left : left + wide]
        region = Region(float(top), float(left), float(crop.shape[0]), float(crop.shape[1]))
        return _resize(crop, shape.height, shape.width, spec), region
    scale = max(ratios)
    inner_height, inner_width = max(1, round(height / scale)), max(1, round(width / scale))
    canvas = np.zeros((shape.height, shape.width, image.shape[2]), image.dtype)
    top, left = (shape.height - inner_height) // 2, (shape.width - inner_width) // 2
    canvas[top : top + inner_height, left : left + inner_width] = _resize(image, inner_height, inner_width, spec)
    # Rounded sides give each axis a scale of its own.
    row, column = height / inner_height, width / inner_width
    return canvas, Region(-top * row, -left * column, shape.height * row, shape.width * column)


def _colour(
    levels: tuple[float, float, float], shape: InputShape, spec: InputSpec, mode: Preprocessing
) -> NDArray[np.float32]:
    pixel: Pixels = np.array(levels, np.float32).reshape(1, 1, 3)
    if shape.channels in CONVERTIBLE:
        pixel = ordered(converted(pixel, shape.channels), spec, mode)
    elif len(set(levels)) == 1:
        pixel = np.full((1, 1, shape.channels), levels[0], np.float32)
    else:
        raise InvalidParameter(
            f"a colour of red, green and blue is for 1, 3 or 4 channels and the model takes {shape.channels}; "
            "use gray, or one number"
        )
    return normalise(pixel.astype(np.float32), mode).reshape(-1)


def _fits(given: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(given) == len(wanted) and all(one in (size, None) for size, one in zip(given, wanted, strict=True))


def _written(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"


def _resize(image: Pixels, height: int, width: int, spec: InputSpec) -> Pixels:
    """Pillow's filters, which average over what they shrink: published accuracies rest on them."""
    if image.shape[:2] == (height, width):
        return image
    method = Image.Resampling[spec.interpolation.upper()]
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return _resize_photograph(image, height, width, method)
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(image[..., channel])).resize((width, height), method))
        for channel in range(image.shape[2])
    ]
    return np.stack(planes, axis=-1)


def _resize_photograph(image: Pixels, height: int, width: int, method: Image.Resampling) -> Pixels:
    """Resizes as Pillow does, which copies the picture, and takes its rows and then its columns: the rows of a large
    one strip by strip, so that no copy is larger than the cache, and several at once. A picture that is tall, or hardly
    narrower than before, Pillow resizes the other way round; that one is left to it.
    """
    rows, columns = image.shape[:2]
    if rows * columns >= STRIPPED_PX and columns >= 4 * width and 2 * rows <= 3 * columns:
        narrow = np.empty((rows, width, 3), np.uint8)

        def narrowed(strip: slice) -> None:
            part = Image.fromarray(image[strip])
            narrow[strip] = np.asarray(part.resize((width, part.height), method))

        side_by_side(narrowed, [slice(start, min(start + STRIP_ROWS, rows)) for start in range(0, rows, STRIP_ROWS)])
        image = narrow
    return np.asarray(Image.fromarray(image).resize((width, height), method))
