"""Pixels to the network's input, and which part of the photograph the input shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.errors import InvalidParameter
from service.models.spec import InputSpec, Preprocessing

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)
# Weights of ITU-R BT.601, as Pillow's mode L.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
Pixels = NDArray[np.uint8] | NDArray[np.float32]


@dataclass(frozen=True)
class Region:
    """The box of the photograph that the input shows, in its pixels; it may reach beyond a padded photograph."""

    top: float
    left: float
    height: float
    width: float


@dataclass(frozen=True)
class InputShape:
    """What the network takes: sizes in px; `rank3` when it has no channel axis at all, as some MNIST networks."""

    height: int
    width: int
    channels: int
    rank3: bool = False

    @property
    def batch(self) -> tuple[int, ...]:
        shape = (1, self.height, self.width)
        return shape if self.rank3 else (*shape, self.channels)


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """One image as the network takes it: `batch` (1, h, w, c) float32, and the region of the photograph it shows.

    `colour` gives the network's (c,) float32 values of a colour of three levels 0..255.
    """

    batch: NDArray[np.float32]
    region: Region
    colour: Callable[[tuple[float, float, float]], NDArray[np.float32]]

    @property
    def shape(self) -> tuple[int, ...]:
        """(h, w, c), or (h, w) of a network without a channel axis."""
        return self.batch.shape[1:]

    @property
    def size(self) -> tuple[int, int]:
        return self.batch.shape[1], self.batch.shape[2]


def prepare(image: Pixels, shape: InputShape, spec: InputSpec, mode: Preprocessing) -> NetworkInput:
    """(H, W, C) of 0..255, C in {1, 3, 4} → the network's input."""
    pixels, region = fit(image, shape, spec)
    pixels = _channels(pixels, shape.channels)
    if spec.colour_order == "bgr" and shape.channels == 3 and mode.mode != "caffe":
        pixels = pixels[..., ::-1]
    values = normalise(pixels.astype(np.float32), mode)
    batch = np.ascontiguousarray(values.reshape(shape.batch), dtype=np.float32)
    return NetworkInput(batch, region, lambda levels: _colour(levels, shape, spec, mode))


def as_is(image: Pixels, shape: InputShape) -> NetworkInput:
    """An array that is already what the network takes. Raises InvalidParameter when its shape is another."""
    given = tuple(image.shape)
    if given != (shape.height, shape.width, shape.channels):
        raise InvalidParameter(
            f"with preprocess=false the array must be ({shape.height}, {shape.width}, {shape.channels}), got {given}"
        )
    batch = np.ascontiguousarray(image.reshape(shape.batch), dtype=np.float32)
    region = Region(0.0, 0.0, float(shape.height), float(shape.width))
    return NetworkInput(batch, region, lambda levels: _colour(levels, shape, InputSpec(), Preprocessing(mode="none")))


def nothing(shape: InputShape, spec: InputSpec, mode: Preprocessing) -> NetworkInput:
    """Zeros, for methods that take no image; a colour is what the network takes for it all the same."""
    zeros = as_is(np.zeros((shape.height, shape.width, shape.channels), np.float32), shape)
    return replace(zeros, colour=lambda levels: _colour(levels, shape, spec, mode))


def fit(image: Pixels, shape: InputShape, spec: InputSpec) -> tuple[Pixels, Region]:
    """The photograph at the input's size: stretched, its centre cropped, or padded with black (or what 0 is)."""
    height, width = image.shape[:2]
    if spec.resize == "stretch":
        return _resize(image, shape.height, shape.width, spec), Region(0.0, 0.0, float(height), float(width))
    ratios = (height / shape.height, width / shape.width)
    scale = min(ratios) if spec.resize == "crop" else max(ratios)
    region = Region(
        (height - shape.height * scale) / 2,
        (width - shape.width * scale) / 2,
        shape.height * scale,
        shape.width * scale,
    )
    if spec.resize == "crop":
        top, left = round(region.top), round(region.left)
        crop = image[top : top + max(1, round(region.height)), left : left + max(1, round(region.width))]
        return _resize(crop, shape.height, shape.width, spec), region
    inner_height, inner_width = max(1, round(height / scale)), max(1, round(width / scale))
    canvas = np.zeros((shape.height, shape.width, image.shape[2]), image.dtype)
    top, left = (shape.height - inner_height) // 2, (shape.width - inner_width) // 2
    canvas[top : top + inner_height, left : left + inner_width] = _resize(image, inner_height, inner_width, spec)
    return canvas, region


def normalise(pixels: NDArray[np.float32], mode: Preprocessing) -> NDArray[np.float32]:
    """(..., C) float32 in 0..255, RGB → the values of `mode`, float32."""
    if mode.mode == "none":
        return pixels
    if mode.mode == "rescale01":
        return pixels / np.float32(255)
    if mode.mode == "tf":
        return pixels / np.float32(127.5) - np.float32(1)
    if mode.mode == "caffe":
        flipped = pixels[..., ::-1] if pixels.shape[-1] == 3 else pixels
        return flipped - np.array(CAFFE_MEAN_BGR[: pixels.shape[-1]], np.float32)
    mean, std = (mode.mean, mode.std) if mode.mode == "mean_std" else (IMAGENET_MEAN, IMAGENET_STD)
    scaled = pixels if mode.mode == "mean_std" else pixels / np.float32(255)
    return np.asarray((scaled - np.array(mean, np.float32)) / np.array(std, np.float32), np.float32)


def _colour(
    levels: tuple[float, float, float], shape: InputShape, spec: InputSpec, mode: Preprocessing
) -> NDArray[np.float32]:
    pixel = _channels(np.array(levels, np.float32).reshape(1, 1, 3), shape.channels)
    if spec.colour_order == "bgr" and shape.channels == 3:
        pixel = pixel[..., ::-1]
    return normalise(pixel.astype(np.float32), mode).reshape(-1)


def _resize(image: Pixels, height: int, width: int, spec: InputSpec) -> Pixels:
    """Pillow's filters, which average over what they shrink: published accuracies rest on them."""
    if image.shape[:2] == (height, width):
        return image
    method = Image.Resampling[spec.interpolation.upper()]
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return np.asarray(Image.fromarray(image).resize((width, height), method))
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(image[..., channel])).resize((width, height), method))
        for channel in range(image.shape[2])
    ]
    return np.stack(planes, axis=-1)


def _channels(image: Pixels, wanted: int) -> Pixels:
    """Grey to colour by repeating, colour to grey by luma, a fourth channel dropped or, where wanted, made opaque."""
    have = image.shape[2]
    if have == wanted:
        return image
    if have == 4:
        image = image[..., :3]
    if wanted == 1:
        return np.asarray((image.astype(np.float32) @ LUMA)[..., None], np.float32) if image.shape[2] == 3 else image
    if image.shape[2] == 1:
        image = np.concatenate([image] * 3, axis=2)
    if wanted == 3:
        return image
    if wanted == 4:
        return np.concatenate([image, np.full((*image.shape[:2], 1), 255, image.dtype)], axis=2)
    raise InvalidParameter(f"the model takes {wanted} channels; send an array (H, W, {wanted}) with preprocess=false")
