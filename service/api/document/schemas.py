"""The shapes of the answers, for the OpenAPI document and for clients generated from it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.models.files.uploads.record import Visibility


class Schema(BaseModel):
    """An answer without unknown keys."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Problem(BaseModel):
    """RFC 9457 problem details; `instance` is the request's ID."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FieldProblem]


class FieldProblem(Schema):
    """One invalid input."""

    loc: list[str]
    msg: str


class ModelRef(Schema):
    """Which model answered; the digest is over the bytes of its file."""

    id: str
    digest: str


class MethodRef(Schema):
    """Which definition was computed, with every effective parameter."""

    name: str
    variant: str
    parameters: dict[str, Any]
    reference: str | None


class Prediction(Schema):
    """One class. `score` is what is explained: a logit, a probability or, as in regression, a plain value.

    `probability` is None where the model's output is none, `logit` where the score is none.
    """

    class_index: int
    label: str | None
    probability: float | None
    logit: float | None
    score: float


class TargetRef(Schema):
    """The score that is explained; of a contrast, minus that of the class `minus`. A neuron has no class."""

    class_index: int | None
    neuron: str | None
    label: str | None
    probability: float | None
    score: float
    score_kind: Literal["logit", "probability", "value", "activation"]
    minus: Prediction | None


class ImageOut(Schema):
    """A picture; `data` is base64. Stills are what `picture` says, PNG when it says nothing; the animation of an ascent
    is WebP. A GIF is for `format` alone.
    """

    name: str
    media_type: Literal["image/png", "image/jpeg", "image/webp"]
    width: int
    height: int
    data: str


class ArrayOut(Schema):
    """A raw array; `data` is the base64 of its little-endian C-order bytes, or nested lists."""

    name: str
    dtype: str
    shape: list[int]
    min: float | None
    max: float | None
    encoding: Literal["base64", "list"]
    data: str | list[Any]


class Caveat(Schema):
    """Something to know about an otherwise good answer."""

    code: str
    detail: str


class ResultOut(Schema):
    """What one method found. Raw arrays are never normalised. `target` is the first of `targets`, a map each."""

    method: MethodRef
    target: TargetRef | None
    targets: list[TargetRef]
    predictions: list[Prediction]
    images: list[ImageOut]
    arrays: list[ArrayOut]
    statistics: dict[str, Any]
    warnings: list[Caveat]


class ExplanationOut(ResultOut):
    """One method's answer; times are in ms."""

    model: ModelRef
    image: dict[str, Any] | None = Field(description="How the image was decoded.")
    timing_ms: dict[str, float]


class NamedResult(ResultOut):
    """One of several methods, by the name the caller called it."""

    name: str


class ExplanationsOut(Schema):
    """The answer of several methods that shared their passes."""

    model: ModelRef
    image: dict[str, Any] | None = Field(description="How the image was decoded.")
    results: list[NamedResult]
    timing_ms: dict[str, float]


class ModelOut(Schema):
    """A model in the list; `device` is where it is warm.

    `plans` counts what is compiled for it and `traces` what ever was: both grow with methods and layers, never with
    images. What it takes in memory is `weight_bytes`, `folded_bytes` (weights with their normalisation in them),
    `layer_bytes` (Keras's own objects) and `plan_bytes`; KERASCOPE_REGISTRY_BYTES bounds the sum of all warm models.
    """

    id: str
    title: str
    source: str
    origin: str
    licence: str
    state: Literal["cold", "loading", "warm", "evicting", "failed"]
    pinned: bool
    users: int
    weight_bytes: int | None
    folded_bytes: int | None
    layer_bytes: int | None
    plan_bytes: int | None
    plans: int | None
    traces: int | None
    device: str | None
    last_error: str | None
    version: int | None = Field(description="Of an uploaded model: the one its plain ID stands for.")
    visibility: Visibility | None = Field(description="Of an uploaded model: who may see it.")


class ModelList(Schema):
    """Every model that can be loaded, the warm ones first."""

    models: list[ModelOut]
    authentication: Literal["open", "keys"]
    uploads: str = Field(description="`on`, or why no models are taken.")


class ModelDetails(ModelOut):
    """A model with everything that loading it finds; null where its weights have not been downloaded yet.

    `name` and `ready` are what KServe's V1 protocol asks for.
    """

    name: str
    ready: bool
    digest: str | None
    keras: Literal[2, 3] | None = Field(description="The Keras that wrote the model, and computes it.")
    input: dict[str, Any] | None = Field(
        description="The picture it takes; null where `obstacle` says why it takes none."
    )
    inputs: list[dict[str, Any]] | None = Field(description="Every input: name, shape, dtype.")
    outputs: list[dict[str, Any]] | None = Field(description="Every output: name, shape, kind of head, classes.")
    obstacle: str | None = Field(description="Why no picture can be explained by it.")
    preprocessing: dict[str, Any] | None
    head: dict[str, Any] | None
    labels: list[str] | None
    parameters: int | None
    layers: int | None
    cam_layer: str | None
    notes: list[str] | None
    spec: dict[str, Any]


class LayerOut(Schema):
    """A layer: how to address it and which methods take it. `index` is its place in `model.layers`."""

    path: str
    index: int | None
    class_name: str = Field(alias="class")
    inputs: list[str] = Field(description="Paths of the layers whose outputs it takes.")
    output_shape: list[int | None]
    parameters: int
    trainable: bool
    methods: list[str]


class LayerList(Schema):
    """The layers in order of execution."""

    layers: list[LayerOut]


class Unloaded(Schema):
    """`unloaded` is false for a model that is in use or was not warm."""

    unloaded: bool


class SummaryOut(Schema):
    """`model.summary()` as text and as rows."""

    text: str
    rows: list[LayerOut]


class LayerDetails(LayerOut):
    """One layer with its config, the statistics of its weights, and why it is not valid for the other methods."""

    config: dict[str, Any]
    weights: list[dict[str, Any]]
    not_valid: dict[str, str]


class Health(Schema):
    """`status` is `ok`, or what is missing."""

    status: str
    engines: list[str]
