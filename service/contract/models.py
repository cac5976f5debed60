"""What is said about models: their state, what loading them finds, their layers; and about the engine that has them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from service.contract.message import Message
from service.json_types import JsonObject
from service.models.files.uploads.record import Visibility


class ModelStatus(Message):
    """One model's place in the registry.

    `plans` counts what is compiled for it and `traces` what ever was: both grow with methods and layers, never with
    images. What it takes in memory is `weight_bytes`, `folded_bytes` (weights with their normalisation in them),
    `layer_bytes` (Keras's own objects) and `plan_bytes`; KERASCOPE_REGISTRY_BYTES bounds the sum of all warm models.
    """

    state: Literal["cold", "loading", "warm", "evicting", "failed"] = "cold"
    pinned: bool = False
    users: int = 0
    weight_bytes: int | None = None
    folded_bytes: int | None = None
    layer_bytes: int | None = None
    plan_bytes: int | None = None
    plans: int | None = None
    traces: int | None = None
    last_error: str | None = None


class ModelRow(ModelStatus):
    """A model in the list; `device` is where it is warm."""

    id: str
    title: str = ""
    source: str = "file"
    origin: str = ""
    licence: str = ""
    device: str | None = None
    version: int | None = Field(None, description="Of an uploaded model: the one its plain ID stands for.")
    visibility: Visibility | None = Field(None, description="Of an uploaded model: who may see it.")


class EngineStatus(Message):
    """How an engine does: its device, its models by ID, its memory in bytes, and what it lacks.

    `bare_bytes` is what it took before its first model, `library_bytes` what libraries kept beside the models when that
    was last counted; `waiting` counts the calls that it has; `jobs_problem` is why it runs no jobs.
    """

    device: str
    pid: int
    models: dict[str, ModelStatus]
    warm_bytes: int
    bare_bytes: int
    library_bytes: int
    budget_bytes: int
    preloading: list[str]
    not_loaded: list[str]
    waiting: int
    jobs_problem: str | None


class InputImage(Message):
    """The picture a model takes; height and width in px."""

    height: int
    width: int
    channels: int
    resize: str
    colour_order: str


class InputFound(Message):
    """One input of a network; the shape is without the batch, None where it is open."""

    name: str
    shape: list[int | None]
    dtype: str


class OutputFound(Message):
    """One output of a network, and the kind of head it is."""

    name: str
    layer: str
    shape: list[int | None]
    kind: str
    classes: int | None


class PreprocessingFound(Message):
    """How levels 0..255 become the network's input, and whether that was assumed."""

    mode: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    assumed: bool


class HeadFound(Message):
    """What the main output is, and whether that was inferred."""

    kind: str
    activation: str
    classes: int | None
    inferred: bool


class ModelFound(Message):
    """Everything that loading a model finds; None where its weights have not been downloaded yet."""

    digest: str | None
    keras: Literal[2, 3] | None = Field(description="The Keras that wrote the model, and computes it.")
    input: InputImage | None = Field(description="The picture it takes; null where `obstacle` says why it takes none.")
    inputs: list[InputFound] | None = Field(description="Every input: name, shape, dtype.")
    outputs: list[OutputFound] | None = Field(description="Every output: name, shape, kind of head, classes.")
    obstacle: str | None = Field(description="Why no picture can be explained by it.")
    preprocessing: PreprocessingFound | None
    head: HeadFound | None
    labels: list[str] | None
    parameters: int | None
    layers: int | None
    cam_layer: str | None
    notes: list[str] | None


class ModelDetails(ModelRow, ModelFound):
    """A model with everything that loading it finds; null where its weights have not been downloaded yet.

    `name` and `ready` are what KServe's V1 protocol asks for.
    """

    name: str
    ready: bool
    spec: JsonObject


class LayerRow(Message):
    """A layer: how to address it and which methods take it. `index` is its place in `model.layers`."""

    path: str
    index: int | None
    class_name: str = Field(alias="class")
    inputs: list[str] = Field(description="Paths of the layers whose outputs it takes.")
    output_shape: list[int | None]
    parameters: int
    trainable: bool
    methods: list[str]


class LayerFound(LayerRow):
    """One layer with its config, the statistics of its weights, and why it is not valid for the other methods."""

    config: JsonObject
    weights: list[JsonObject]
    not_valid: dict[str, str]


class LayerList(Message):
    """The layers in order of execution."""

    layers: list[LayerRow]


class Summary(Message):
    """`model.summary()` as text and as rows."""

    text: str
    rows: list[LayerRow]


class Validity(Message):
    """Whether a method is valid for a model; `not_valid` gives the reason for each variant that is not."""

    valid: bool
    not_valid: dict[str, str]
    layers: list[str]
    classes: int | None
    outputs: list[str]


class Unloaded(Message):
    """`unloaded` is false for a model that is in use or was not warm."""

    unloaded: bool
