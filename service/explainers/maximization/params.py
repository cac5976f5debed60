"""What a caller may ask of maximization. All that is left out is the preset's."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from service.explainers.maximization.optimizers import OptimizerName
from service.explainers.maximization.presets import VARIANTS
from service.explainers.params import Indices, LayerName, OutputParams, Sides
from service.explainers.variants import OneOf, names_of

PresetName = Annotated[str, OneOf(names_of(VARIANTS))]
SMALLEST_PX, LARGEST_PX = 8, 1024
MAX_STEPS = 10_000
MAX_CHANNELS = 65_536
MAX_IMAGES = 512
WHAT = (
    "write either layer=<name>, alone or with one of channels=0-63, neuron=<row,column,channel> and "
    "direction=<a number a channel>, or target=<index or label of a class>"
)


def _parts(value: object) -> object:
    """`"1, 2"`, `3` and `[1, 2]` as a list of texts and numbers."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return [value] if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _cell(value: object) -> object:
    parts = _parts(value)
    if not isinstance(parts, (list, tuple)):
        return parts
    if len(parts) not in (1, 3) or not all(re.fullmatch(r"\d{1,6}", str(part)) for part in parts):
        raise ValueError("write row,column,channel of a cell, or the index of a unit")
    return tuple(int(str(part)) for part in parts)


def _within(sides: tuple[int, int]) -> tuple[int, int]:
    if not (min(sides) >= SMALLEST_PX and max(sides) <= LARGEST_PX):
        raise ValueError(f"sides go from {SMALLEST_PX} to {LARGEST_PX} px")
    return sides


Cell = Annotated[tuple[int, ...], BeforeValidator(_cell)]
Numbers = Annotated[tuple[float, ...], BeforeValidator(_parts)]
ImageSize = Annotated[Sides, AfterValidator(_within)]


class MaximizationParams(OutputParams):
    """What is maximized, how, and how it is drawn. Say either `layer` or `target`."""

    layer: LayerName | None = Field(
        None,
        max_length=300,
        description="Name, path or index of a layer; `name:linear` is its value before the activation. With "
        "`channels`, `neuron` or `direction`; alone, the layer as a whole: the sum of its squared activations, as in "
        "DeepDream.",
    )
    channels: Indices | None = Field(
        None, description="Channels of the layer, e.g. `0,4,18` or `0-63`: an image for each. Units of a dense layer."
    )
    neuron: Cell | None = Field(
        None, description="One cell of the layer, `row,column,channel`, or one unit of a dense layer."
    )
    direction: Numbers | None = Field(
        None, max_length=MAX_CHANNELS, description="A weight for each channel: their weighted sum, mean over the map."
    )
    target: LayerName | None = Field(
        None,
        min_length=1,
        max_length=300,
        description="A class index (`386`), a label (`African_elephant`), several of these with commas, a contrast "
        "(`386-101`), or a neuron (`neuron:conv2d_5:3,4,12`). There is no image, so no `top1`.",
    )
    preset: PresetName | None = Field(
        None,
        description="Whose recipe: everything below that is left out is taken from it. By default `chollet` for "
        "layers, whose patterns it shows sharply in few steps, and `lucid` for classes, which need its robustness.",
    )
    size: ImageSize | None = Field(
        None,
        description="Size of the images: px or `h,w`, 8 to 1024. By default the model's input, and for channels, "
        "directions and whole layers at most 128.",
    )
    steps: int | None = Field(None, ge=1, le=MAX_STEPS, description="Steps of the ascent.")
    step_size: float | None = Field(
        None, gt=0, le=10_000, description="Length of a step, in the unit of the preset's values and of the optimizer."
    )
    optimizer: OptimizerName | None = Field(
        None,
        description="`normalized_gradient`: the gradient over its root mean square (keras-io: over its norm); `adam`; "
        "`rmsprop` on the gradient over its norm.",
    )
    init: Literal["noise", "gray", "image"] | None = Field(
        None, description="What the ascent starts from: `noise`, mid `gray`, or the `image` that is sent."
    )
    border: int | None = Field(
        None,
        ge=0,
        le=64,
        description="Cells left out on each side of the layer's map; on a small map fewer, so that one is left.",
    )
    total_variation: float | None = Field(
        None, ge=0, le=1e6, description="Weight of the total variation (β = 2) over the number of values."
    )
    l2: float | None = Field(
        None, ge=0, le=1e6, description="Weight of the mean squared distance to the middle of the value range."
    )
    lp: float | None = Field(None, ge=0, le=1e6, description="Weight of the L6 norm over the number of values.")
    jitter: int | None = Field(None, ge=0, le=128, description="Random shift before each step, over so many px.")
    rotate: float | None = Field(None, ge=0, le=180, description="Random rotation before each step, ± degrees.")
    scale: float | None = Field(
        None, ge=0, le=0.9, description="Random scaling before each step: 0.1 is a factor of 0.9 to 1.1."
    )
    pad: int | None = Field(None, ge=0, le=256, description="Grey px around the image while it is moved; then black.")
    parametrization: Literal["pixel", "fourier"] | None = Field(
        None, description="What is changed: the pixels, or the image's Fourier coefficients, scaled by 1/frequency."
    )
    decorrelate: bool | None = Field(
        None, description="Whether colours are those of ImageNet made uncorrelated; for images of three colours."
    )
    seed: int = Field(
        0, ge=0, le=2**31 - 1, description="Of the noise and the moves; each channel has its own from it."
    )
    columns: int = Field(8, ge=1, le=64, description="Images in a row of the grid.")
    margin: int = Field(5, ge=0, le=64, description="Black px between the images of the grid.")
    titles: Literal["none", "grid", "tiles"] = Field(
        "grid", description="A line above the grid, or the name of each image as well."
    )
    postprocess: Literal["standardize", "none"] | None = Field(
        None, description="`standardize`: each image drawn with mean 0.5 and deviation `strength`; `none`: as it is."
    )
    strength: float | None = Field(None, gt=0, le=1, description="Deviation of standardized images, of 0 to 1.")
    crop: int | None = Field(None, ge=0, le=256, description="Px cut off on each side of the images that are drawn.")
    frames: int = Field(0, ge=0, le=60, description="Pictures of the ascent for the animation.")

    @model_validator(mode="after")
    def _one_thing_is_maximized(self) -> Self:
        wishes = [wish for wish in (self.channels, self.neuron, self.direction) if wish is not None]
        if (self.layer is None) == (self.target is None) or len(wishes) > 1 or (wishes and self.layer is None):
            raise ValueError(f"it must be clear what to maximize: {WHAT}")
        if self.target is not None and re.fullmatch(r"top\d{1,4}", self.target):
            raise ValueError(
                f"target {self.target!r} is a rank in the prediction for an image, and there is none; write a class "
                "index or label"
            )
        if self.direction is not None:
            with np.errstate(over="ignore"):
                weights = np.array(self.direction, np.float32)
            if not weights.any() or not np.isfinite(weights).all():
                raise ValueError("a direction of zeros leads nowhere, and its numbers must fit float32")
        return self
