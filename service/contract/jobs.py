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


class JobRequest(Message):
    """Everything of a request but the image's bytes; `npy` says that these are an array's."""

    model: str
    methods: tuple[MethodCalled, ...]
    preprocess: bool
    many: bool
    npy: bool
    options: AnswerOptions


class JobResult(Message):
    """What a job that succeeded leaves beside its arrays; `engine_ms` is how long it was computed."""

    request: JobRequest
    reply: Explained
    engine_ms: float
