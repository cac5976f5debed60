"""One method on one image: decode, ask the engine, draw."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from service.engine.pool import EnginePool
from service.errors import InvalidParameter, TooLarge
from service.explainers.base import Explainer, Picture
from service.explainers.params import ExplainerParams
from service.imaging.decode import DecodedImage, DecodeLimits, decode, decode_npy
from service.models.library import Library
from service.usecases.answer import Answer, AnswerOptions
from service.usecases.draw import draw, encode, wanted_outputs


@dataclass(frozen=True)
class ImageInput:
    """The bytes a caller sent: an image file, or an npy array. `preprocess` False feeds the array as it is."""

    data: bytes
    npy: bool = False
    preprocess: bool = True


@dataclass(frozen=True)
class ExplainRequest:
    """A method with checked parameters for one model; `image` is None for methods that need none."""

    model_id: str
    explainer: Explainer
    params: ExplainerParams
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
        outputs = wanted_outputs(request.explainer, request.options.outputs)
        if request.options.format == "png" and request.explainer.picture is Picture.HEATMAP:
            outputs = outputs[:1]
        loop = asyncio.get_running_loop()
        decoded = await loop.run_in_executor(self._threads, self._decode, request.image)
        after_decode = time.perf_counter()
        image = decoded.pixels if isinstance(decoded, DecodedImage) else decoded
        reply = await self._engines.ask(
            "explain",
            request.model_id,
            {
                "method": request.explainer.name,
                "params": request.params.model_dump(mode="json"),
                "preprocess": request.image.preprocess if request.image else True,
                "top": request.options.top,
            },
            {} if image is None else {"image": image},
        )
        size = sum(array.nbytes for array in reply.arrays.values())
        if request.options.arrays != "none" or request.options.format in ("npy", "npz"):
            self._check_size(size)
        before_draw = time.perf_counter()
        needs_pictures = request.options.format in ("json", "png")
        pictures = await loop.run_in_executor(
            self._threads,
            lambda: encode(
                draw(
                    request.explainer,
                    request.params,
                    reply.payload,
                    reply.arrays,
                    image,
                    outputs if needs_pictures else (),
                ),
                together=request.options.format == "png",
            ),
        )
        ended = time.perf_counter()
        body = {
            key: reply.payload[key] for key in ("model", "method", "target", "predictions", "warnings", "statistics")
        }
        return Answer(
            body={**body, "image": decoded.notes if isinstance(decoded, DecodedImage) else _array_notes(image)},
            pictures=pictures,
            arrays=reply.arrays,
            primary=reply.payload["primary"],
            timing_ms={
                "decode": (after_decode - started) * 1e3,
                **reply.timing_ms,
                "render": (ended - before_draw) * 1e3,
                "total": (ended - started) * 1e3,
            },
        )

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


def _array_notes(image: NDArray[Any] | None) -> dict[str, Any] | None:
    if image is None:
        return None
    return {"format": "npy", "height": image.shape[0], "width": image.shape[1], "channels": image.shape[2]}
