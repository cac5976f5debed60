"""What callers wish of an answer, beside the method's own parameters."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from service.explainers.base import Explainer
from service.usecases.answer import ANIMATED, PICTURES, AnswerOptions, ArrayEncoding, Format, PictureFormat
from service.usecases.draw import split_names

_FORMAT = "Form of the answer; goes before the `Accept` header."
STILL: tuple[Format, ...] = ("json", "png", "jpeg", "webp", "npy", "npz")
FORMS_OF_MANY: tuple[Format, ...] = ("json", "npz")


class ResultOptions(BaseModel):
    """How an answer is given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Format | None = Field(None, description=_FORMAT)
    outputs: Annotated[tuple[str, ...] | None, BeforeValidator(split_names)] = Field(
        None, description="Pictures to draw, comma-separated; all when absent."
    )
    arrays: ArrayEncoding = Field(
        "none", description="Raw arrays in a JSON answer: none, base64 of their bytes, or lists."
    )
    picture: PictureFormat | None = Field(
        None, description="What the pictures of a JSON answer are: png, jpeg or webp; png when absent."
    )
    quality: int | None = Field(
        None, ge=1, le=100, description="Of JPEG and WebP: 100 keeps most; 90 for JPEG and 85 for WebP when absent."
    )
    max_side: int | None = Field(
        None, ge=16, le=65_535, description="Most pixels of a side of each picture: larger ones are drawn smaller."
    )


class AnimatedOptions(ResultOptions):
    """What a method that can move takes."""

    top: int = Field(5, ge=1, le=1000, description="How many predictions to report.")
    preprocess: bool = Field(True, description="`false` feeds an npy array to the network as it is.")
    priority: int = Field(5, ge=1, le=9, description="Of a background job: 1 goes first, 9 last.")

    def answer(self, form: Format) -> AnswerOptions:
        return AnswerOptions(form, self.outputs, self.arrays, self.top, self.picture, self.quality, self.max_side)


class RequestOptions(AnimatedOptions):
    """What every other method takes."""

    format: Literal["json", "png", "jpeg", "webp", "npy", "npz"] | None = Field(None, description=_FORMAT)


def options_of(explainer: Explainer) -> type[AnimatedOptions]:
    """The options a method takes."""
    return AnimatedOptions if "animation" in explainer.outputs else RequestOptions


def forms_of(explainer: Explainer) -> tuple[Format, ...]:
    """The forms a method's answer can have."""
    if "animation" in explainer.outputs:
        return (*(form for form in STILL if form not in ANIMATED), *ANIMATED)
    return STILL if explainer.outputs else tuple(form for form in STILL if form not in PICTURES)
