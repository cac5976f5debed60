"""Methods on one image: decode, ask the engine, draw."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from service.engine.pool import EnginePool
from service.errors import InvalidParameter, TooLarge, nearest
from service.explainers.base import Explainer, Picture
from service.explainers.params import ExplainerParams
from service.imaging.decode import DecodedImage, DecodeLimits, decode, decode_npy
from service.models.library import Library
from service.usecases.answer import Answer, AnswerOptions, Result
from service.usecases.draw import Scene, draw, encode, wanted_outputs


@dataclass(frozen=True)
class ImageInput:
    """The bytes a caller sent: an image file, or an npy array. `preprocess` False feeds the array as it is."""

    data: bytes
    npy: bool = False
    preprocess: bool = True


@dataclass(frozen=True)
class MethodCall:
    """A method with checked parameters; `name` is how the caller called it."""

    name: str
    explainer: Explainer
    params: ExplainerParams


@dataclass(frozen=True)
class ExplainRequest:
    """One or more methods for one model; `image` is None for methods that need none."""

    model_id: str
    methods: tuple[MethodCall, ...]
    image: ImageInput | None
    options: AnswerOptions = AnswerOptions()


class Explain:
    """The use case. Decoding and drawing run in `threads`, so that the event loop keeps turning."""

    def __init__(
        self,
        engines: EnginePool,
        library: Library,
        limits: DecodeLimits,
        threads: ThreadPoolExecutor,
        max_response_bytes: int,
    ) -> None:
        self._engines = engines
        self._library = library
        self._limits = limits
        self._threads = threads
        self._max_response_bytes = max_response_bytes

    async def __call__(self, request: ExplainRequest) -> Answer:
        """Raises any KerascopeError; the cheapest checks come first."""
        started = time.perf_counter()
        self._library.get(request.model_id)
        outputs = _outputs([call.explainer for call in request.methods], request.options)
        loop = asyncio.get_running_loop()
        decoded = await loop.run_in_executor(self._threads, self._decode, request.image)
        after_decode = time.perf_counter()
        image = decoded.pixels if isinstance(decoded, DecodedImage) else decoded
        payload = {
            "methods": [
                {"name": call.explainer.name, "params": call.params.model_dump(mode="json")} for call in request.methods
            ],
            "preprocess": request.image.preprocess if request.image else True,
            "top": request.options.top,
        }
        reply = await self._engines.ask("explain", request.model_id, payload, {} if image is None else {"image": image})
        if request.options.arrays != "none" or request.options.format in ("npy", "npz"):
            self._check_size(sum(array.nbytes for array in reply.arrays.values()))
        before_draw = time.perf_counter()
        results = await loop.run_in_executor(
            self._threads, self._results, request, reply.payload, reply.arrays, image, outputs
        )
        ended = time.perf_counter()
        return Answer(
            model=reply.payload["model"],
            image=decoded.notes if isinstance(decoded, DecodedImage) else _array_notes(image),
            results=results,
            timing_ms={
                "decode": (after_decode - started) * 1e3,
                **reply.timing_ms,
                "render": (ended - before_draw) * 1e3,
                "total": (ended - started) * 1e3,
            },
        )

    def _results(
        self,
        request: ExplainRequest,
        payload: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]],
        image: NDArray[Any] | None,
        outputs: list[tuple[str, ...]],
    ) -> tuple[Result, ...]:
        """In a drawing thread: each method's arrays and pictures."""
        top, left, height, width = payload["region"]
        scene = Scene((top, left, height, width), (payload["input_size"][0], payload["input_size"][1]))
        found = []
        for place, (call, body) in enumerate(zip(request.methods, payload["results"], strict=True)):
            prefix = f"{place}/"
            own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
            pixels = draw(call.explainer, call.params, scene, body, own, image, outputs[place])
            pictures = encode(pixels, together=request.options.format == "png")
            found.append(Result(call.name, body, pictures, own, body["primary"]))
        return tuple(found)

    def _decode(self, image: ImageInput | None) -> DecodedImage | NDArray[Any] | None:
        if image is None:
            return None
        if image.npy:
            return decode_npy(image.data, self._limits)
        if not image.preprocess:
            raise InvalidParameter("preprocess=false needs an array: send application/x-npy")
        return decode(image.data, self._limits)

    def _check_size(self, size: int) -> None:
        if size > self._max_response_bytes:
            raise TooLarge(
                f"the raw arrays have {size} bytes, more than one answer may hold ({self._max_response_bytes}); "
                "ask for fewer layers or channels"
            )


def _outputs(explainers: Sequence[Explainer], options: AnswerOptions) -> list[tuple[str, ...]]:
    """The pictures each method is to draw. Of several methods each draws those it has.

    Raises InvalidParameter for a name that none of them draws.
    """
    wanted = options.outputs
    if wanted is None or len(explainers) == 1:
        return [_drawn(explainer, wanted_outputs(explainer, wanted), options) for explainer in explainers]
    known = list(dict.fromkeys(name for explainer in explainers for name in explainer.outputs))
    for name in wanted:
        if name not in known:
            drawn = ", ".join(known) or "no pictures"
            raise InvalidParameter(f"these methods draw {drawn}, not {name!r}{nearest(name, known)}")
    own = [tuple(name for name in wanted if name in explainer.outputs) for explainer in explainers]
    return [_drawn(explainer, outputs, options) for explainer, outputs in zip(explainers, own, strict=True)]


def _drawn(explainer: Explainer, outputs: tuple[str, ...], options: AnswerOptions) -> tuple[str, ...]:
    """None for raw formats; one for PNG, but all layers of a stack of tiles."""
    if options.format in ("npy", "npz"):
        return ()
    return outputs[:1] if options.format == "png" and explainer.picture is Picture.HEATMAP else outputs


def _array_notes(image: NDArray[Any] | None) -> dict[str, Any] | None:
    if image is None:
        return None
    return {"format": "npy", "height": image.shape[0], "width": image.shape[1], "channels": image.shape[2]}
