"""The shapes of KServe's V1 protocol and of the Open Inference Protocol (V2)."""

from __future__ import annotations

from pydantic import Field

from service.api.answering.schemas import ResultOut
from service.contract.message import Message
from service.json_types import Json, JsonObject


class InstancesRequest(Message):
    """V1: a batch. An instance is nested lists (H, W, C), or `{"b64": "…"}` with an image file."""

    instances: list[Json] = Field(min_length=1)
    parameters: JsonObject = Field(
        default={}, description="`preprocess`; of an explanation also `method` and what the method takes."
    )


class InstancePredictions(Message):
    """V1: for each instance the probability of every class; plain values where the model's output is no probability."""

    predictions: list[list[float]]


class InstanceExplanations(InstancePredictions):
    """V1: for each instance what the method found, its raw arrays as nested lists."""

    explanations: list[ResultOut]


class ServerMetadata(Message):
    """V2: who answers."""

    name: str
    version: str
    extensions: list[str]


class ServerLiveness(Message):
    """V2: whether the event loop turns."""

    live: bool


class ServerReadiness(ServerLiveness):
    """V2: whether calls can be answered."""

    ready: bool


class TensorMetadata(Message):
    """V2: a tensor of a model; -1 is any size."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(Message):
    """V2: a model; `versions` are those of an uploaded one."""

    name: str
    versions: list[str] | None = None
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ModelReadiness(Message):
    """V2: whether a model is warm. One that is cold is loaded by the first call."""

    name: str
    ready: bool


class InputTensor(Message):
    """V2: FP32 or UINT8 [N, height, width, channels], or BYTES [N] with the base64 of image files. Flat or nested."""

    name: str
    shape: list[int] = Field(min_length=1, max_length=8)
    datatype: str
    parameters: JsonObject = {}
    data: list[Json] = Field(min_length=1)


class WantedOutput(Message):
    """V2: an output that is asked for."""

    name: str
    parameters: JsonObject = {}


class InferenceRequest(Message):
    """V2: what is sent. `parameters.preprocess` true takes arrays as pixels, false as the network's input."""

    id: str | None = Field(None, max_length=200)
    parameters: JsonObject = {}
    inputs: list[InputTensor] = Field(min_length=1, max_length=1)
    outputs: list[WantedOutput] | None = None


class OutputTensor(Message):
    """V2: numbers in row-major order."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class InferenceResponse(Message):
    """V2: the answer. `parameters.array_range` tells which arrays hold numbers that can hardly be levels 0..255."""

    model_name: str
    model_version: str | None = None
    id: str | None = None
    parameters: dict[str, str] | None = None
    outputs: list[OutputTensor]


class InferenceError(Message):
    """V2: what was wrong, and what would be right."""

    error: str
