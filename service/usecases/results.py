"""Makes results that a caller can look at of what the engine computed; the same for a direct answer and for a job's."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from service.arrays import Arrays
from service.contract.options import PICTURES, AnswerOptions
from service.contract.results import Caveat, Explained
from service.errors import TooLarge
from service.explainers.base import Picture
from service.explainers.forms import require_one_array
from service.usecases.answer import Result
from service.usecases.draw import Scene, animate, draw, encode
from service.usecases.forms import ANIMATION, moves, wanted_outputs
from service.usecases.request import ExplainRequest, InputImage, array_notes


@dataclass(frozen=True)
class Computed:
    """The engine's answer, with its arrays, which are named `<place>/<name>`."""

    answer: Explained
    arrays: Arrays


def as_seen(image: InputImage, answer: Explained) -> InputImage:
    """The image as the model took it: an array that the engine found to be (C, H, W) becomes (H, W, C)."""
    if image.pixels is None or not answer.drawn.channels_first:
        return image
    pixels = np.moveaxis(image.pixels, 0, -1)
    return replace(image, pixels=pixels, notes=array_notes(pixels.shape) | {"channels_first": True})


def results(request: ExplainRequest, computed: Computed, image: InputImage) -> tuple[Result, ...]:
    """Each method's arrays and pictures, of an image `as_seen`. Takes its time: for a drawing thread.

    Raises InvalidParameter, NotAcceptable or TooLarge where the form of the answer cannot hold them.
    """
    outputs = wanted_outputs(request)
    answer = computed.answer
    scene = Scene(answer.region, answer.input_size, answer.drawn.channels)
    found = []
    for place, (call, said) in enumerate(zip(request.methods, answer.results, strict=True)):
        prefix = f"{place}/"
        own = {name.removeprefix(prefix): array for name, array in computed.arrays.items() if name.startswith(prefix)}
        if request.options.format == "npy":
            equal = said.maps or (own if call.explainer.picture is Picture.TILES else ())
            require_one_array(len(equal), targeted=call.explainer.targeted)
        looked_at = call.explainer.wants_image(call.params) or call.explainer.sets_of(call.params)
        more = [Caveat(code=item.code, detail=item.detail) for item in image.warnings] if looked_at else []
        said = said.model_copy(update={"warnings": [*said.warnings, *more]}) if more else said
        options, explainer = request.options, call.explainer
        pixels = draw(explainer, call.params, scene, said, own, image.pixels, outputs[place], options.max_side)
        together = options.format in PICTURES and not moves(explainer, options.format)
        pictures = encode(pixels, options, together=together)
        if ANIMATION in outputs[place]:
            pictures += animate(call.params, said, own, "gif" if request.options.format == "gif" else "webp")
        found.append(Result(call.name, said, pictures, own))
    return tuple(found)


def check_size(options: AnswerOptions, arrays: Arrays, most: int) -> None:
    """Raises TooLarge when raw arrays are asked for and have more than `most` bytes."""
    size = sum(array.nbytes for array in arrays.values())
    if size > most and (options.arrays != "none" or options.format in ("npy", "npz")):
        raise TooLarge(
            f"the raw arrays have {size} bytes, more than one answer may hold ({most}); "
            "ask for fewer layers or channels"
        )
