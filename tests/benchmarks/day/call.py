"""One call of the day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import cv2

from service.imaging.encoding import encode_png
from tests.benchmarks.pictures import Pictures

Media = Literal["image/png", "image/jpeg"]


@dataclass(frozen=True)
class Call:
    """`size` (height, width) of the photograph is None where none is sent; a `job` is submitted and not waited for."""

    model: str
    method: str
    query: Mapping[str, str] = field(default_factory=dict)
    size: tuple[int, int] | None = None
    media: Media = "image/png"
    job: bool = False

    @property
    def name(self) -> str:
        """The method and its variant, for the count of calls."""
        variant = self.query.get("method", self.query.get("preset", ""))
        return f"{self.method} {variant}".strip()

    @property
    def path(self) -> str:
        if self.method == "kernels":
            return f"/v1/models/{self.model}/layers/{self.query['layer']}/kernels"
        return f"/v1/models/{self.model}/{self.method}"

    @property
    def parameters(self) -> Mapping[str, str]:
        """What goes into the query string: the layer of kernels stands in the path."""
        return {key: value for key, value in self.query.items() if (self.method, key) != ("kernels", "layer")}

    def photograph(self, pictures: Pictures) -> bytes | None:
        """The next photograph in the size and form of the call."""
        if self.size is None:
            return None
        pixels = pictures.pixels(self.size)
        if self.media == "image/png":
            return encode_png(pixels)
        return bytes(cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1])
