"""What the engine can be asked: a class for each question, which names the class of its answer."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import Field, SerializeAsAny, TypeAdapter, ValidationInfo, field_validator

from service.contract.message import Message
from service.contract.models import (
    EngineStatus,
    LayerFound,
    LayerList,
    ModelFound,
    Summary,
    Unloaded,
    Validity,
)
from service.contract.options import Format
from service.contract.results import Changed, Explained
from service.explainers import BY_NAME
from service.explainers.params import ExplainerParams
from service.json_types import JsonObject
from service.models.graph.preprocess import Fitting

Answer = TypeVar("Answer")


class Question(Message, Generic[Answer]):
    """One question; `answers` reads its answer. `model` is empty for what is not about one model."""

    answers: ClassVar[TypeAdapter[Any]]
    op: str
    model: str = ""

    @property
    def kind(self) -> str:
        """What is asked, without its parameters: `explain cam`."""
        return self.op


class MethodAsked(Message):
    """A method by its name, with its parameters as the method's class has them."""

    name: str
    params: SerializeAsAny[ExplainerParams]

    @field_validator("params", mode="before")
    @classmethod
    def _of_the_method(cls, value: object, said: ValidationInfo) -> ExplainerParams:
        return BY_NAME[said.data["name"]].Params.model_validate(value)


class Fitted(Message):
    """The image was resized for the warm model of that fingerprint, and shows that region of what was sent: top, left,
    height, width, in px."""

    fingerprint: str
    region: tuple[float, float, float, float]


class Methods(Question[Answer]):
    """One or more methods on one image, which is the array `image`, or on sets of pictures.

    With `preprocess` False the array is the network's input as it is; `top` is how many predictions are told, `form`
    how the answer is given, `pictures` whether any are drawn, `instances` how many images share the cost of a call, and
    `background` whether it is a job's. `sets` are the names of the pictures of each set, which are the arrays
    `<set>/<place>`; for a check that of the first alone is there.
    """

    methods: tuple[MethodAsked, ...]
    preprocess: bool = True
    top: int = 5
    form: Format = "json"
    pictures: bool = False
    instances: int = 1
    background: bool = False
    fitted: Fitted | None = None
    sets: dict[str, tuple[str, ...]] = {}
    verb: ClassVar[str] = "explain"

    @property
    def kind(self) -> str:
        return " ".join([self.verb, *(method.name for method in self.methods)])


AnyMethods = Methods[Any]


class Compute(Methods[Explained]):
    """Computes the methods."""

    answers = TypeAdapter(Explained)
    op: Literal["explain"] = "explain"

    def on_fitted(self, fitted: Fitted) -> ComputeFitted:
        """Asks the same of an image that is `fitted`."""
        return ComputeFitted(**self._shared(), fitted=fitted)

    def checked_alone(self) -> CheckCall:
        """Asks for the checks alone."""
        return CheckCall(**self._shared())

    def _shared(self) -> JsonObject:
        return {name: getattr(self, name) for name in Methods.model_fields if name not in ("op", "fitted")}


class ComputeFitted(Methods[Explained | Changed]):
    """Computes the methods on an image that is `fitted`, unless the model is another by now."""

    answers = TypeAdapter(Explained | Changed)
    op: Literal["explain_fitted"] = "explain_fitted"
    fitted: Fitted


class CheckCall(Methods[None]):
    """Raises what computing the methods would before they compute."""

    answers = TypeAdapter(None)
    op: Literal["check"] = "check"
    verb: ClassVar[str] = "check"


class Describe(Question[ModelFound | None]):
    """Asks what loading the model finds; None where that would need a download, unless `load` asks for it."""

    answers = TypeAdapter(ModelFound | None)
    op: Literal["describe"] = "describe"
    load: bool = False


class Summarize(Question[Summary]):
    """Asks for Keras's own summary, `width` characters wide, of the whole model or of it up to the layer `until`."""

    answers = TypeAdapter(Summary)
    op: Literal["summary"] = "summary"
    width: int
    until: str | None = None


class ListLayers(Question[LayerList]):
    """Asks for every layer."""

    answers = TypeAdapter(LayerList)
    op: Literal["layers"] = "layers"


class DescribeLayer(Question[LayerFound]):
    """Asks for one layer, by its name, path or index."""

    answers = TypeAdapter(LayerFound)
    op: Literal["layer"] = "layer"
    layer: str


class AskValidity(Question[dict[str, Validity]]):
    """Asks which methods are valid for the model, by their names."""

    answers = TypeAdapter(dict[str, Validity])
    op: Literal["validity"] = "validity"


class Load(Question[None]):
    """Has the model loaded, again where that failed."""

    answers = TypeAdapter(None)
    op: Literal["load"] = "load"


class Unload(Question[Unloaded]):
    """Has the model made cold."""

    answers = TypeAdapter(Unloaded)
    op: Literal["unload"] = "unload"


class AskFingerprint(Question[str | None]):
    """Asks for the warm model's fingerprint; None when it is cold."""

    answers = TypeAdapter(str | None)
    op: Literal["fingerprint"] = "fingerprint"


class AskFitting(Question[Fitting | None]):
    """Asks how the warm model takes a photograph; None when it is cold, or takes none."""

    answers = TypeAdapter(Fitting | None)
    op: Literal["fitting"] = "fitting"


class AskStatus(Question[EngineStatus]):
    """Asks how the engine does."""

    answers = TypeAdapter(EngineStatus)
    op: Literal["status"] = "status"


class GiveUp(Question[None]):
    """Says that nobody waits any longer for the answer to the call of this ID."""

    answers = TypeAdapter(None)
    op: Literal["give_up"] = "give_up"


AnyQuestion = Annotated[
    Compute
    | ComputeFitted
    | CheckCall
    | Describe
    | Summarize
    | ListLayers
    | DescribeLayer
    | AskValidity
    | Load
    | Unload
    | AskFingerprint
    | AskFitting
    | AskStatus
    | GiveUp,
    Field(discriminator="op"),
]
