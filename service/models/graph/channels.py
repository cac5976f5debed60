"""What becomes of a pixel's channels: grey, colour and alpha into one another, their order, and their values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidParameter
from service.models.files.spec import InputSpec, Preprocessing

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)
# Weights of ITU-R BT.601, as Pillow's mode L.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Grey, colour, and colour with alpha become one another; other numbers of channels mean something else each.
CONVERTIBLE = (1, 3, 4)
Pixels = NDArray[np.uint8] | NDArray[np.float32]


def mode_problem(mode: Preprocessing, channels: int) -> str | None:
    """What keeps a mode from being applied to that many channels; None when nothing does."""
    if mode.mode == "mean_std":
        for name, numbers in (("mean", mode.mean), ("std", mode.std)):
            if len(numbers) not in (1, channels):
                usual = "1 number" if channels == 1 else f"1 or {channels} numbers"
                return f"{name!r} has {len(numbers)} numbers and the model takes {counted(channels)}; give {usual}"
    if (mode.mode == "caffe" and channels not in (1, 3)) or (mode.mode == "torch" and channels != 3):
        return (
            f"preprocessing {mode.mode!r} is for 3 channels and the model takes {counted(channels)}; "
            "state mode = 'mean_std' with its 'mean' and 'std'"
        )
    return None


def converted(image: Pixels, wanted: int) -> Pixels:
    """Grey to colour by repeating, colour to grey by luma, a fourth channel dropped or, where wanted, made opaque.

    `wanted` is 1, 3 or 4 where it is not the image's own number.
    """
    have = image.shape[2]
    if have == wanted:
        return image
    if have == 4:
        image = image[..., :3]
    if wanted == 1:
        return np.asarray((image.astype(np.float32) @ LUMA)[..., None], np.float32) if image.shape[2] == 3 else image
    if image.shape[2] == 1:
        image = np.concatenate([image] * 3, axis=2)
    if wanted == 4:
        return np.concatenate([image, np.full((*image.shape[:2], 1), 255, image.dtype)], axis=2)
    return image


def ordered(pixels: Pixels, spec: InputSpec, mode: Preprocessing) -> Pixels:
    """RGB in the network's order of colours; `caffe` turns it round itself."""
    turn = spec.colour_order == "bgr" and pixels.shape[-1] == 3 and mode.mode != "caffe"
    return pixels[..., ::-1] if turn else pixels


def normalise(pixels: NDArray[np.float32], mode: Preprocessing) -> NDArray[np.float32]:
    """(..., C) float32 in 0..255, RGB where C is 3 → the values of `mode`, float32.

    Raises InvalidParameter for a mode that is not for so many channels.
    """
    problem = mode_problem(mode, pixels.shape[-1])
    if problem:
        raise InvalidParameter(problem)
    if mode.mode == "none":
        return pixels
    if mode.mode == "rescale01":
        return pixels / np.float32(255)
    if mode.mode == "tf":
        return pixels / np.float32(127.5) - np.float32(1)
    if mode.mode == "caffe":
        return pixels[..., ::-1] - np.array(CAFFE_MEAN_BGR[: pixels.shape[-1]], np.float32)
    mean, std = (mode.mean, mode.std) if mode.mode == "mean_std" else (IMAGENET_MEAN, IMAGENET_STD)
    scaled = pixels if mode.mode == "mean_std" else pixels / np.float32(255)
    return np.asarray((scaled - np.array(mean, np.float32)) / np.array(std, np.float32), np.float32)


def counted(channels: int) -> str:
    """Writes `1 channel`, `5 channels`."""
    return "1 channel" if channels == 1 else f"{channels} channels"
