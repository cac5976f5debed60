"""Fusion: one map of the maps of several layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.arrays import Floats
from service.errors import InvalidParameter
from service.explainers.passes import resized
from service.explainers.variants import Maps

if TYPE_CHECKING:
    from service.explainers.cam.params import CamParams
    from service.explainers.subject import Subject

Stack = NDArray[np.float64]
MOST_LAYERS = 16


def _highest(stack: Stack) -> Stack:
    return np.asarray(stack.max(axis=0))


def _mean(stack: Stack) -> Stack:
    return np.asarray(stack.mean(axis=0))


def _product(stack: Stack) -> Stack:
    return np.asarray(stack.prod(axis=0))


# Of (layers, h, w) maps of 0 to 1; the first is the default.
FUSIONS: Mapping[str, Callable[[Stack], Stack]] = {"max": _highest, "mean": _mean, "product": _product}


def at_each_layer(params: CamParams) -> list[CamParams]:
    """The parameters for each of `layers`, as `layer`; as they are where it names none."""
    return [params.model_copy(update={"layer": name}) for name in params.layers] if params.layers else [params]


def check_different(subject: Subject, params: CamParams) -> None:
    """Raises InvalidParameter for a layer that is named twice, whose map would count twice."""
    named: dict[str, str] = {}
    for name in params.layers or ():
        path = subject.graph.entry(name).path
        if path in named:
            raise InvalidParameter(f"'layers' names {path!r} twice, as {named[path]!r} and as {name!r}; name it once")
        named[path] = name


def fused(subject: Subject, found: Sequence[Maps], how: str) -> Maps:
    """The maps of each target, one a layer, as one map of 0 to 1.

    Each is clipped at 0, as shares of evidence are fused, divided by its maximum, where that is above 0, and enlarged
    to the greatest height and width among them. Scores are those of the first; what the layers' maps say of themselves
    is given as a list with an entry a layer, warnings once.
    """
    maps = [np.stack([_share(values) for values in each.values]) for each in found]
    height, width = (max(each.shape[axis] for each in maps) for axis in (1, 2))
    same = [
        each if each.shape[1:] == (height, width) else resized(subject.backend, each, (height, width)) for each in maps
    ]
    values = [np.asarray(FUSIONS[how](stack), np.float32) for stack in np.stack(same, axis=1).astype(np.float64)]
    told = {name: [each.parameters[name] for each in found] for name in found[0].parameters if name != "layer"}
    layers = [each.parameters["layer"] for each in found]
    warnings = dict.fromkeys(warning for each in found for warning in each.warnings)
    return Maps(values, found[0].scores, {"layers": layers, **told}, tuple(warnings))


def _share(values: Floats) -> Floats:
    """A map as shares of its maximum, 0 to 1."""
    above = np.maximum(values, 0)
    highest = above.max()
    return above / highest if highest > 0 else above
