"""Messages between api and engine: frame 0 a JSON header, the other frames raw C-order array bytes. No pickle."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from pydantic import Field

from service.arrays import Array, Arrays
from service.contract.message import Message
from service.contract.questions import AnyQuestion
from service.errors import FieldError, KerascopeError
from service.errors.naming import error_named
from service.jobs.config import JobsConfig
from service.json_types import Json

Frame = bytes | memoryview
DType = Literal["bool", "uint8", "int32", "int64", "float16", "float32", "float64"]


class ArrayPlace(Message):
    """Where an array begins that was not sent beside the header: in which segment, and at which byte of it."""

    segment: str = Field(pattern="^[0-9a-f]{32}$")
    offset: int = Field(ge=0)


Places = Mapping[str, ArrayPlace]


class ArrayHeader(Message):
    """What the bytes of one frame mean, or those at a place in shared memory."""

    name: str = Field(max_length=512)
    dtype: DType
    shape: tuple[int, ...] = Field(max_length=8)
    place: ArrayPlace | None = None


class Fault(Message):
    """A domain error on its way to the caller; `kind` is the name of its class."""

    kind: str
    detail: str
    errors: tuple[FieldError, ...] = ()
    retry_after_s: int | None = None


class Call(Message):
    """One question to the engine. `deadline_s` are the seconds its caller still waits; `request_id` is for the log."""

    id: str
    question: AnyQuestion
    deadline_s: float
    request_id: str = ""
    arrays: tuple[ArrayHeader, ...] = ()


class Reply(Message):
    """The answer to the call of the same `id`, as the question's `answers` reads it, or a fault."""

    id: str
    answer: Json = None
    arrays: tuple[ArrayHeader, ...] = ()
    fault: Fault | None = None
    timing_ms: dict[str, float] = {}


class EngineConfig(Message):
    """What an engine process is told at its start.

    `socket` is where it answers calls, empty for none, and beside it lies the file of its heartbeat; `segments` is what
    the paths of its segments begin with, empty where there is no shared memory; a step may take `max_step_s`, loading
    a model `max_load_s`; `number` is its own among the `engines`, `worker` its name among those that run jobs, `jobs`
    their queue, None for none.
    """

    socket: str
    segments: str = ""
    data_dir: Path
    models_dir: Path
    registry_bytes: int
    number: int = 0
    preload: tuple[str, ...]
    device: str
    threads: int
    max_passes: int
    max_job_passes: int
    max_pixels: int
    max_side_px: int
    call_bytes: int
    max_step_s: float
    max_load_s: float
    engines: int
    trust_models_dir: bool
    allowed_layers: tuple[str, ...]
    log_level: str
    log_format: Literal["json", "console"]
    worker: str
    jobs: JobsConfig | None


def pulse_beside(socket: str) -> Path:
    """The file of the heartbeat of the engine that answers at `socket`."""
    return Path(f"{socket}.pulse")


Kind = TypeVar("Kind", Call, Reply)
Take = Callable[[str], memoryview]
"""Gives the bytes of a segment; raises ValueError where there is none, OSError where this process lacks something."""


class NotTaken(Exception):
    """What came with the message of that `id` could not be taken, for lack of what this process has only so much of."""

    def __init__(self, message_id: str, reason: str) -> None:
        super().__init__(reason)
        self.id = message_id


def id_of(frames: Sequence[Frame]) -> str | None:
    """The ID of a message that cannot be read otherwise; None where even that cannot."""
    try:
        header = json.loads(bytes(frames[0]))
    except (ValueError, IndexError):
        return None
    found = header.get("id") if isinstance(header, dict) else None
    return found if isinstance(found, str) else None


def no_segments(segment: str) -> memoryview:
    """Stands for `take` where messages bring their arrays along. Raises ValueError."""
    raise ValueError(f"the segment {segment!r} in a message that may have none")


def as_sent(array: Array) -> Array:
    """The array in C order and of this machine's byte order; not copied where it is so already."""
    return np.asarray(array, array.dtype.newbyteorder("="), order="C")


def bytes_of(ordered: Array) -> memoryview:
    return ordered.reshape(-1).view(np.uint8).data


def pack(message: Call | Reply, arrays: Arrays, places: Places | None = None) -> list[Frame]:
    """The frames of a message; array bytes are not copied where they are as sent already. Arrays that have their places
    in shared memory are announced alone."""
    places = places or {}
    ordered = {name: as_sent(array) for name, array in arrays.items()}
    headers = [
        ArrayHeader(name=name, dtype=array.dtype.name, shape=array.shape, place=places.get(name))
        for name, array in ordered.items()
    ]
    header = message.model_copy(update={"arrays": tuple(headers)})
    frames: list[Frame] = [header.as_json()]
    sent = [array for name, array in ordered.items() if name not in places]
    return frames + [bytes_of(array) if array.size else b"" for array in sent]


def unpack(kind: type[Kind], frames: Sequence[Frame], take: Take = no_segments) -> tuple[Kind, dict[str, Array]]:
    """The message and its arrays, which are read-only views of the frames and of the segments that `take` gives.

    Raises ValueError for anything malformed, and NotTaken.
    """
    if not frames:
        raise ValueError("a message without frames")
    message = kind.model_validate_json(bytes(frames[0]))
    sent = sum(header.place is None for header in message.arrays)
    if len(frames) - 1 != sent:
        raise ValueError(f"{sent} arrays announced, {len(frames) - 1} sent")
    beside = iter(frames[1:])
    segments = _taken(message, take)
    arrays: dict[str, Array] = {}
    for header in message.arrays:
        dtype = np.dtype(header.dtype)
        size = math.prod(header.shape) * dtype.itemsize
        data = memoryview(next(beside) if header.place is None else segments[header.place.segment])
        if header.place:
            data = data[header.place.offset : header.place.offset + size]
        if data.nbytes != size:
            raise ValueError(f"array {header.name!r} does not have the bytes of {header.dtype} {header.shape}")
        array = np.frombuffer(data, dtype).reshape(header.shape)
        array.flags.writeable = False
        arrays[header.name] = array
    return message, arrays


def _taken(message: Call | Reply, take: Take) -> dict[str, memoryview]:
    """Takes all segments of the message, also where one cannot be: none is left for nobody."""
    segments, lacking = {}, ""
    for name in {header.place.segment for header in message.arrays if header.place}:
        try:
            segments[name] = take(name)
        except OSError as error:
            lacking = error.strerror or str(error)
    if lacking:
        raise NotTaken(message.id, lacking)
    return segments


def engine_of(model_id: str, engines: int) -> int:
    """Numbers the engine of a model, the same in every process."""
    return zlib.crc32(model_id.encode()) % engines


def fault_of(error: KerascopeError) -> Fault:
    return Fault(kind=type(error).__name__, detail=error.detail, errors=error.errors, retry_after_s=error.retry_after_s)


def error_of(fault: Fault) -> KerascopeError:
    """The domain error a fault stands for."""
    return error_named(fault.kind)(fault.detail, errors=fault.errors, retry_after_s=fault.retry_after_s)
