"""A method that is compared with others: as the caller named it, with its own parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import SerializeAsAny, ValidationInfo, field_validator

from service.arrays import Floats
from service.errors import KerascopeError
from service.explainers.base import Explainer, Explanation
from service.explainers.cam import Cam
from service.explainers.occlusion import Occlusion
from service.explainers.params import ExplainerParams
from service.explainers.perturbation import Perturbation
from service.explainers.saliency import Saliency

if TYPE_CHECKING:
    from service.explainers.subject import Subject

# The methods that give a map of the image for a score.
MAP_METHODS: tuple[Explainer, ...] = (Cam(), Saliency(), Occlusion(), Perturbation())
BY_NAME = {explainer.name: explainer for explainer in MAP_METHODS}
# By the names of their variants too: `gradcam` is `cam` with method=gradcam.
FAMILY_OF = {
    **BY_NAME,
    **{each.name: family for family in MAP_METHODS if len(family.variants) > 1 for each in family.variants},
}
# What every method takes from the evaluation, so that all maps are about one score.
OF_ALL = ("target", "output")


class Compared(ExplainerParams):
    """`called` is how the caller called it, `name` the method's own name, and `params` are those of its class."""

    called: str
    name: str
    params: SerializeAsAny[ExplainerParams]

    @field_validator("params", mode="before")
    @classmethod
    def _of_the_method(cls, value: object, said: ValidationInfo) -> ExplainerParams:
        name = said.data.get("name", "")
        if name not in BY_NAME:
            raise ValueError(f"{name!r} gives no map of the image; {', '.join(BY_NAME)} do, and their variants")
        params = BY_NAME[name].Params.model_validate(value)
        _require_comparable(params)
        return params

    @property
    def explainer(self) -> Explainer:
        """The method."""
        return BY_NAME[self.name]


def _require_comparable(params: ExplainerParams) -> None:
    """Raises ValueError for a map of another score, or of colours."""
    default = type(params).model_fields
    for name in OF_ALL:
        if getattr(params, name) != default[name].default:
            raise ValueError(f"{name!r} is the same for all that are compared: write it beside 'methods', not inside")
    if getattr(params, "reduce", None) == "rgb":
        raise ValueError("reduce=rgb gives a map a colour, and one is compared; use max, mean or l2")


@dataclass(frozen=True)
class Maker:
    """What makes the map of one of the methods: the class with the parameters of the whole evaluation in place."""

    called: str
    explainer: Explainer
    params: ExplainerParams

    @classmethod
    def of(cls, compared: Compared, layer: str | None, target: str, output: str | None) -> Maker:
        """The method with the target of all, and with the layer of all where it names none itself."""
        params = compared.params.model_copy(update={"target": target, "output": output})
        if layer is not None and takes_layer(compared):
            params = params.model_copy(update={"layer": layer})
        return cls(compared.called, compared.explainer, params)

    def check(self, subject: Subject) -> None:
        """Raises what the method's own check does, with its name before it."""
        try:
            self.explainer.check(subject, self.params)
        except KerascopeError as error:
            raise type(error)(f"{self.called}: {error.detail}") from None

    def passes(self, subject: Subject) -> int:
        """The method's own estimate."""
        return self.explainer.passes(subject, self.params)

    def explained(self, subject: Subject) -> Explanation:
        """The method's own answer."""
        return self.explainer.explain(subject, self.params)

    def map_of(self, subject: Subject) -> Floats:
        """(h, w) float32: the map of the one target, at the size it has."""
        found = self.explained(subject)
        return np.asarray(found.arrays[found.maps[0]], np.float32)


def takes_layer(compared: Compared) -> bool:
    """Whether it is asked at the layer of all: one that takes the model's CAM layer, and names none."""
    return compared.explainer.takes_cam_layer(compared.params) and getattr(compared.params, "layer", None) is None
