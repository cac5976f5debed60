"""What waits in the job queue, and what a job leaves."""

from __future__ import annotations

from service.contract.message import Message
from service.contract.options import AnswerOptions
from service.contract.results import Explained
from service.json_types import JsonObject


class MethodCalled(Message):
    """A method as the caller called it, and by its own name, with the parameters that he set."""

    called: str
    name: str
    params: JsonObject


class SetTaken(Message):
    """What was taken of a set of pictures: their names in order, and why others were left out, by their names."""

    pictures: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...] = ()


class JobRequest(Message):
    """Everything of a request but the bytes of the image and of sets; `npy` says that the image's are an array's."""

    model: str
    methods: tuple[MethodCalled, ...]
    preprocess: bool
    many: bool
    npy: bool
    options: AnswerOptions
    # Jobs that were submitted before there were sets say nothing of them.
    sets: dict[str, SetTaken] = {}


class JobResult(Message):
    """What a job that succeeded leaves beside its arrays; `engine_ms` is how long it was computed."""

    request: JobRequest
    reply: Explained
    engine_ms: float
