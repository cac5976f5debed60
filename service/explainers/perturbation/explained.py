"""It makes of a variant's maps what is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.arrays import Array
from service.explainers.base import Explanation, Scale
from service.explainers.covers import blur_deviation
from service.explainers.heatmaps import map_names, map_warnings, saturation_warnings

if TYPE_CHECKING:
    from service.explainers.perturbation.params import PerturbationParams
    from service.explainers.subject import Subject
    from service.explainers.variants import Maps


def explained(subject: Subject, params: PerturbationParams, maps: Maps, scale: Scale) -> Explanation:
    """Gives a `heatmap` (h, w) float32 of the input's size a target, and what the variant gives beside it."""
    targets = subject.targets.resolved(maps.scores)
    names = map_names(targets, "heatmap")
    arrays: dict[str, Array] = dict(zip(names, maps.values, strict=True))
    for name, found in maps.extras.items():
        shared = len(found) == 1
        arrays |= {name: found[0]} if shared else dict(zip(map_names(targets, name), found, strict=True))
    said = {"colormap": params.colormap or ("coolwarm" if scale is Scale.SYMMETRIC else "jet"), **maps.parameters}
    if params.value == "blur":
        said["blur_deviation"] = blur_deviation(subject.image.size)
    warnings = [*maps.warnings]
    if params.measure == "probability":
        warnings += saturation_warnings(targets, maps.scores)
    warnings += [each for name in names for each in map_warnings(name, arrays[name])]
    return Explanation(arrays, names[0], maps.scores, targets, tuple(names), said, scale, warnings=tuple(warnings))
