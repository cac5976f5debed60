"""What a caller asks: methods on one image of one model. As a document it waits in the job queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from service.arrays import Array
from service.contract.jobs import JobRequest, MethodCalled, SetTaken
from service.contract.options import PICTURES, AnswerOptions
from service.contract.questions import Compute, MethodAsked
from service.errors import InvalidParameter
from service.explainers import BY_NAME
from service.explainers.base import Cost, Explainer
from service.explainers.params import ExplainerParams
from service.explainers.variants import Warned
from service.imaging.decode import DecodedImage, DecodeLimits, decode
from service.imaging.npy import as_levels, decode_npy
from service.json_types import JsonObject

UNITS = {Cost.READ: 1, Cost.FORWARD: 1, Cost.BACKWARD: 2, Cost.SAMPLES: 8, Cost.ASCENT: 8, Cost.PICTURES: 8}
ARRAY_RANGE = "array_range"
LEFT_OUT = "pictures_left_out"
MOST_NAMED = 8


@dataclass(frozen=True)
class SentImage:
    """The bytes a caller sent: an image file, or an npy array."""

    data: bytes
    npy: bool = False


@dataclass(frozen=True)
class SentSet:
    """A set of pictures as a caller sent it, made one zip; `taken` says what is in it, once it was looked at."""

    data: bytes
    taken: SetTaken = SetTaken(pictures=())


@dataclass(frozen=True)
class MethodCall:
    """A method with checked parameters; `name` is how the caller called it."""

    name: str
    explainer: Explainer
    params: ExplainerParams


@dataclass(frozen=True)
class ExplainRequest:
    """One or more methods for one model; `image` is None for methods that need none.

    `preprocess` False feeds the array to the network as it is; `many` says that the answer is a list of results;
    `instances` how many images of one batch share the cost of a call; `sets` are those of methods that look at many
    pictures.
    """

    model_id: str
    methods: tuple[MethodCall, ...]
    image: SentImage | None
    options: AnswerOptions = AnswerOptions()
    preprocess: bool = True
    many: bool = False
    instances: int = 1
    sets: Mapping[str, SentSet] = field(default_factory=dict)

    @property
    def units(self) -> int:
        """What the call weighs in the queue: about the passes through the network that it is known to take."""
        return sum(UNITS[call.explainer.cost] for call in self.methods)

    @property
    def kind(self) -> str:
        """The method's name, or `explain` for several."""
        return "explain" if self.many else self.methods[0].name


@dataclass(frozen=True)
class InputImage:
    """The decoded image: `pixels` (H, W, C) uint8 or float32, None where there is none; how it was decoded; and what
    there is to warn of.

    With `preprocess` False the array may be (C, H, W): the model knows, and `usecases.results.as_seen` turns it.
    """

    pixels: Array | None
    notes: JsonObject | None
    warnings: tuple[Warned, ...] = ()

    @property
    def is_photograph(self) -> bool:
        """Whether it has three channels of levels 0 to 255, as every image file."""
        return self.pixels is not None and self.pixels.dtype == np.uint8 and self.pixels.shape[2:] == (3,)

    @property
    def bytes(self) -> int:
        return 0 if self.pixels is None else self.pixels.nbytes

    @property
    def arrays(self) -> dict[str, Array]:
        return {} if self.pixels is None else {"image": self.pixels}


def decode_input(request: ExplainRequest, limits: DecodeLimits) -> InputImage:
    """Raises UndecodableImage, ImageTooLarge or InvalidParameter."""
    image = request.image
    if request.sets and not request.preprocess:
        raise InvalidParameter("preprocess=false needs an array, and sets are of pictures; leave it out")
    if image is None:
        return InputImage(None, set_notes(request.sets), set_warnings(request.sets))
    if not image.npy:
        if not request.preprocess:
            raise InvalidParameter("preprocess=false needs an array: send application/x-npy")
        decoded: DecodedImage = decode(image.data, limits)
        return InputImage(decoded.pixels, decoded.notes)
    array = decode_npy(image.data, limits)
    notes = array_notes(array.shape)
    if not request.preprocess:
        return InputImage(array if array.dtype == np.uint8 else array.astype(np.float32, copy=False), notes)
    levels = as_levels(array)
    warnings = (Warned(ARRAY_RANGE, levels.problem),) if levels.problem else ()
    return InputImage(levels.values, notes | ({"scaled": levels.scaled} if levels.scaled else {}), warnings)


def set_notes(sets: Mapping[str, SentSet]) -> JsonObject | None:
    """What is said of sets: how many pictures were taken, and which were not; None where there are none."""
    return {
        name: {"pictures": len(sent.taken.pictures), "left_out": [picture for picture, _ in sent.taken.left_out]}
        for name, sent in sets.items()
    } or None


def set_warnings(sets: Mapping[str, SentSet]) -> tuple[Warned, ...]:
    """Names every picture that was left out, with why; of many the first ones."""
    found = []
    for name, sent in sets.items():
        left_out = sent.taken.left_out
        named = "; ".join(f"{picture!r}: {why}" for picture, why in left_out[:MOST_NAMED])
        more = f"; and {len(left_out) - MOST_NAMED} more" if len(left_out) > MOST_NAMED else ""
        if left_out:
            found.append(Warned(LEFT_OUT, f"{len(left_out)} of {name!r} were left out: {named}{more}"))
    return tuple(found)


def array_notes(shape: Sequence[int]) -> JsonObject:
    """What is said of an array (H, W, C)."""
    height, width, channels = shape
    return {"format": "npy", "height": height, "width": width, "channels": channels}


def engine_question(request: ExplainRequest, *, background: bool = False) -> Compute:
    """What the engine is asked."""
    return Compute(
        model=request.model_id,
        methods=tuple(MethodAsked(name=call.explainer.name, params=call.params) for call in request.methods),
        preprocess=request.preprocess,
        top=request.options.top,
        form=request.options.format,
        pictures=request.options.format in ("json", *PICTURES) and request.options.outputs != (),
        instances=request.instances,
        background=background,
        sets={name: sent.taken.pictures for name, sent in request.sets.items()},
    )


def to_job(request: ExplainRequest) -> JobRequest:
    """Everything but the bytes of the image and of sets."""
    return JobRequest(
        model=request.model_id,
        methods=tuple(
            MethodCalled(
                called=call.name,
                name=call.explainer.name,
                params=call.params.model_dump(mode="json", exclude_unset=True),
            )
            for call in request.methods
        ),
        preprocess=request.preprocess,
        many=request.many,
        npy=bool(request.image and request.image.npy),
        options=request.options,
        sets={name: sent.taken for name, sent in request.sets.items()},
    )


def from_job(job: JobRequest, image: bytes | None, sets: Mapping[str, bytes] | None = None) -> ExplainRequest:
    """The request that `to_job` was given; of `sets` that are left out nothing but their names is known.

    Raises KeyError or ValueError for one of another version of the service.
    """
    calls = []
    for method in job.methods:
        explainer = BY_NAME[method.name]
        calls.append(MethodCall(method.called, explainer, explainer.Params.model_validate(method.params)))
    return ExplainRequest(
        job.model,
        tuple(calls),
        None if image is None else SentImage(image, npy=job.npy),
        job.options,
        job.preprocess,
        job.many,
        sets={name: SentSet((sets or {}).get(name, b""), taken) for name, taken in job.sets.items()},
    )
