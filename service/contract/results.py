"""What the engine answers about one image: the methods' results, and how they are drawn."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict

from service.contract.message import Message
from service.json_types import JsonObject


class ModelRef(Message):
    """The model that answered; the digest is over the bytes of its file."""

    id: str
    digest: str


class MethodRef(Message):
    """The definition that was computed, with every effective parameter."""

    name: str
    variant: str
    parameters: JsonObject
    reference: str | None


class Scored(Message):
    """Numbers of a network, infinite ones and NaN among them: between the processes they stay so; null is no number."""

    model_config = ConfigDict(ser_json_inf_nan="constants")


class Prediction(Scored):
    """One class. `score` is what is explained: a logit, a probability or, as in regression, a plain value.

    `probability` is None where the model's output is none, `logit` where the score is none.
    """

    class_index: int
    label: str | None
    probability: float | None
    logit: float | None
    score: float


class TargetRef(Scored):
    """The score that is explained; of a contrast, minus that of the class `minus`. A neuron has no class."""

    class_index: int | None
    neuron: str | None
    label: str | None
    probability: float | None
    score: float
    score_kind: Literal["logit", "probability", "value", "activation"]
    minus: Prediction | None


class Caveat(Message):
    """Something to know about an otherwise good answer."""

    code: str
    detail: str


class MethodSaid(Message):
    """What one method found, but for its arrays. `target` is the first of `targets`, a map each."""

    method: MethodRef
    target: TargetRef | None
    targets: list[TargetRef]
    predictions: list[Prediction]
    statistics: JsonObject
    warnings: list[Caveat]


class MethodResult(MethodSaid):
    """What is said of one method, and what its arrays are drawn by: the main one, those that are maps of the image, and
    titles by name."""

    primary: str
    maps: tuple[str, ...]
    titles: dict[str, str]


class DrawnAs(Message):
    """How the array that was sent is drawn: by which one or three of its channels, None for the usual ones."""

    channels: tuple[int, ...] | None = None
    channels_first: bool = False


class Explained(Message):
    """The answer of the methods of one call, in their order; their arrays are named `<place>/<name>`.

    `region` is the part of the photograph that the input shows (top, left, height, width), `input_size` that of the
    input (height, width), in px.
    """

    model: ModelRef
    fingerprint: str = ""
    results: tuple[MethodResult, ...]
    region: tuple[float, float, float, float]
    input_size: tuple[int, int]
    # Jobs that ran before arrays of any channels were taken say nothing of it.
    drawn: DrawnAs = DrawnAs()


class Changed(Message):
    """The model is another than the image was resized for."""

    changed: Literal[True] = True
