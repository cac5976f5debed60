"""What a caller wants of an answer, whatever the method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Format = Literal["json", "png", "jpeg", "webp", "gif", "npy", "npz"]
PictureFormat = Literal["png", "jpeg", "webp"]
ArrayEncoding = Literal["none", "base64", "list"]
# The forms that are one picture; of a method that moves the last two hold how its images came about.
PICTURES: tuple[Format, ...] = ("png", "jpeg", "webp", "gif")
ANIMATED: tuple[Format, ...] = ("webp", "gif")


@dataclass(frozen=True)
class AnswerOptions:
    """Says what the caller wants of the answer: `outputs` None means every picture of the method.

    `picture` is what the pictures within a JSON answer are, `quality` (1 to 100) how much is kept of what JPEG and WebP
    drop, None for the usual, and `max_side` the most pixels that a side of a picture may have, None for any number.
    """

    format: Format = "json"
    outputs: tuple[str, ...] | None = None
    arrays: ArrayEncoding = "none"
    top: int = 5
    picture: PictureFormat | None = None
    quality: int | None = None
    max_side: int | None = None

    @property
    def still(self) -> PictureFormat:
        """What pictures that do not move are written as."""
        return self.format if self.format in ("png", "jpeg", "webp") else self.picture or "png"
