"""From what the engine computed to results a caller can look at; the same for a direct answer and for a job's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidParameter, TooLarge, nearest
from service.explainers.base import Explainer, Picture
from service.usecases.answer import ANIMATED, AnswerOptions, Result
from service.usecases.draw import Scene, animate, draw, encode, known_outputs
from service.usecases.request import ExplainRequest, InputImage, array_notes


@dataclass(frozen=True)
class Computed:
    """The engine's answer: `payload` with a body for each method, arrays named `<place>/<name>`."""

    payload: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]


def as_seen(image: InputImage, payload: Mapping[str, Any]) -> InputImage:
    """The image as the model took it: an array that the engine found to be (C, H, W) becomes (H, W, C)."""
    if image.pixels is None or not _drawn_as(payload)["channels_first"]:
        return image
    pixels = np.moveaxis(image.pixels, 0, -1)
    return replace(image, pixels=pixels, notes=array_notes(pixels.shape) | {"channels_first": True})


def results(request: ExplainRequest, computed: Computed, image: InputImage) -> tuple[Result, ...]:
    """Each method's arrays and pictures, of an image `as_seen`. Takes its time: for a drawing thread."""
    outputs = wanted_outputs(request)
    top, left, height, width = computed.payload["region"]
    size, channels = computed.payload["input_size"], _drawn_as(computed.payload)["channels"]
    scene = Scene((top, left, height, width), (size[0], size[1]), channels)
    found = []
    for place, (call, said) in enumerate(zip(request.methods, computed.payload["results"], strict=True)):
        prefix = f"{place}/"
        own = {name.removeprefix(prefix): array for name, array in computed.arrays.items() if name.startswith(prefix)}
        looked_at = call.explainer.wants_image(call.params)
        more = [{"code": item.code, "detail": item.detail} for item in image.warnings] if looked_at else []
        body = said | {"warnings": [*said["warnings"], *more]}
        pixels = draw(call.explainer, call.params, scene, body, own, image.pixels, outputs[place])
        pictures = encode(pixels, together=request.options.format == "png")
        if "animation" in outputs[place]:
            pictures += animate(call.params, body, own, "gif" if request.options.format == "gif" else "webp")
        found.append(Result(call.name, body, pictures, own, body["primary"]))
    return tuple(found)


def _drawn_as(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    # Jobs that ran before arrays of any channels were taken say nothing of it.
    drawn: Mapping[str, Any] = payload.get("drawn", {"channels": None, "channels_first": False})
    return drawn


def check_size(options: AnswerOptions, arrays: Mapping[str, NDArray[Any]], most: int) -> None:
    """Raises TooLarge when raw arrays are asked for and have more than `most` bytes."""
    size = sum(array.nbytes for array in arrays.values())
    if size > most and (options.arrays != "none" or options.format in ("npy", "npz")):
        raise TooLarge(
            f"the raw arrays have {size} bytes, more than one answer may hold ({most}); "
            "ask for fewer layers or channels"
        )


def wanted_outputs(request: ExplainRequest) -> list[tuple[str, ...]]:
    """The pictures each method is to draw. Of several methods each draws those it has.

    Raises InvalidParameter for a name that none of them draws.
    """
    explainers, options = [call.explainer for call in request.methods], request.options
    wanted = options.outputs
    if wanted is None or len(explainers) == 1:
        return [_drawn(explainer, known_outputs(explainer, wanted), options) for explainer in explainers]
    known = list(dict.fromkeys(name for explainer in explainers for name in explainer.outputs))
    for name in wanted:
        if name not in known:
            drawn = ", ".join(known) or "no pictures"
            raise InvalidParameter(f"these methods draw {drawn}, not {name!r}{nearest(name, known)}")
    own = [tuple(name for name in wanted if name in explainer.outputs) for explainer in explainers]
    return [_drawn(explainer, outputs, options) for explainer, outputs in zip(explainers, own, strict=True)]


def _drawn(explainer: Explainer, outputs: tuple[str, ...], options: AnswerOptions) -> tuple[str, ...]:
    """None for raw formats; one for PNG, but all layers of a stack of tiles; of moving pictures only when asked."""
    if options.format in ("npy", "npz"):
        return ()
    if options.format in ANIMATED:
        return ("animation",)
    if options.outputs is None:
        outputs = tuple(name for name in outputs if name != "animation")
    return outputs[:1] if options.format == "png" and explainer.picture is not Picture.TILES else outputs
