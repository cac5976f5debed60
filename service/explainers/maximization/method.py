"""The method: from a caller's wishes to images."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from service.arrays import Floats
from service.errors import InvalidParameter, TooCostly
from service.explainers.base import Cost, Explainer, Explanation, Photograph, Picture
from service.explainers.maximization.ascent import Ascent
from service.explainers.maximization.colours import colour_map, colours_of
from service.explainers.maximization.objectives import Objective, no_objective, objective_for
from service.explainers.maximization.params import MaximizationParams
from service.explainers.maximization.plans import Plans, State
from service.explainers.maximization.presets import REDIRECTED_STEPS, VARIANTS, Preset
from service.explainers.maximization.recipe import Recipe, preset_of, recipe_for
from service.explainers.passes import resized
from service.explainers.variants import Warned

if TYPE_CHECKING:
    from service.explainers.subject import Subject
    from service.models.graph.graph import LayerEntry
    from service.models.graph.preprocess import NetworkInput

USUAL_SIDE_PX = 128
STEP_S = 0.15
MAX_VALUES = 2**26
ANIMATION_FRAMES = 24
PASSES_A_STEP = 3


class Maximization(Explainer[MaximizationParams]):
    """Gradient ascent in the space of images."""

    name = "maximization"
    title = "Filter and class maximization"
    summary = "The images that excite a filter, a neuron, a layer or a class most."
    cost = Cost.ASCENT
    picture = Picture.IMAGES
    outputs = ("grid", "images", "history", "animation")
    variants = VARIANTS
    photograph = Photograph.OPTIONAL
    Params = MaximizationParams

    def explain(self, subject: Subject, params: MaximizationParams) -> Explanation:
        """Gives `images` (n, h, w, c) float32 RGB levels, neither clipped nor post-processed, c 1 or 3; `history`
        (n, steps) float32, the objective before each step; `start` and `activation` (n,) float32, the objective of the
        first and the last image; with `frames` also `frames` (f, n, h', w', c) uint8, post-processed.

        Unit of the objective: that of the layer, logit for classes. `statistics["images"]` has a row an image, with its
        name.
        """
        objective = objective_for(params, subject.graph, subject.targets)
        plans, shape = _plans(subject, params, objective)
        recipe = plans.recipe
        effective = _effective(params, objective, recipe, shape)
        group = subject.backend.chunk(plans.graph, recipe.size, backward=True, seconds=STEP_S)
        given = _given(subject, plans) if recipe.init == "image" else None

        def explained(state: State) -> Explanation:
            return _explanation(objective, recipe, effective, state)

        return explained(Ascent(plans, group, given, explained).run(subject.progress))

    @classmethod
    def why_not(cls, entry: LayerEntry) -> str | None:
        return no_objective(entry)

    @classmethod
    def passes(cls, subject: Subject, params: MaximizationParams) -> int:
        image = subject.image
        objective = objective_for(params, subject.graph, subject.targets)
        steps = len(objective.names) * (params.steps or preset_of(params).steps)
        size = params.size or (_usual(image) if objective.kind in ("channels", "layer") else image.size)
        return ceil(steps * PASSES_A_STEP * subject.backend.share(subject.graph, image.size, objective.tensor, at=size))

    @classmethod
    def variant(cls, params: MaximizationParams) -> Preset:
        return preset_of(params)

    @classmethod
    def check(cls, subject: Subject, params: MaximizationParams) -> None:
        """Raises InvalidParameter, MethodNotValid, UnknownLayer, TooCostly. Looks at one image where nothing but that
        shows whether the network takes the size."""
        image = subject.image
        objective = objective_for(params, subject.graph, subject.targets)
        is_open = objective.kind == "neuron" and None in objective.tensor.shape[1:]
        if params.size in (None, image.size) and not is_open:
            # At its own size the network takes images, whatever it says of a smaller one.
            with suppress(InvalidParameter):
                _recipe_at(image.size, image, params, objective)
                return
        _plans(subject, params, objective)

    @classmethod
    def wants_image(cls, params: MaximizationParams) -> bool:
        return params.init == "image"

    @classmethod
    def for_outputs(cls, params: MaximizationParams, outputs: tuple[str, ...]) -> MaximizationParams:
        """An animation needs frames."""
        wanting = "animation" in outputs and not params.frames
        return params.model_copy(update={"frames": ANIMATION_FRAMES}) if wanting else params


def _usual(image: NetworkInput) -> tuple[int, int]:
    height, width = image.size
    return min(height, USUAL_SIDE_PX), min(width, USUAL_SIDE_PX)


def _plans(subject: Subject, params: MaximizationParams, objective: Objective) -> tuple[Plans, tuple[int, ...]]:
    """The plans at the size asked for, or at a usual one the network takes; and the objective's map there."""
    subject = replace(subject, graph=subject.graph.until(objective.tensor))
    own, usual = subject.image.size, _usual(subject.image)
    if params.size is not None:
        return _plans_at(params.size, subject, params, objective)
    if objective.kind in ("channels", "layer") and usual != own:
        with suppress(InvalidParameter):
            return _plans_at(usual, subject, params, objective)
    return _plans_at(own, subject, params, objective)


def _plans_at(
    size: tuple[int, int], subject: Subject, params: MaximizationParams, objective: Objective
) -> tuple[Plans, tuple[int, ...]]:
    backend, graph, image = subject.backend, subject.graph, subject.image
    recipe = _recipe_at(size, image, params, objective)
    if size != image.size and not backend.fits(graph, size):
        raise TooCostly(f"an image of {size[0]}×{size[1]} px takes too much memory in this network; use a smaller size")
    plans = Plans(backend, graph, objective, recipe, colour_map(image, recipe.low, recipe.high))
    try:
        _, _, shape = plans.look(np.zeros((1, *plans.canvas.shape), np.float32), objective.weights[:1])
    except Exception as error:
        if size == image.size:
            raise
        own = f"{image.size[0]}×{image.size[1]} px"
        raise InvalidParameter(
            f"the network does not take images of {size[0]}×{size[1]} px up to {objective.tensor.path!r}; its own size "
            f"is {own}"
        ) from error
    if objective.kind == "neuron" and any(cell >= side for cell, side in zip(objective.cell, shape[:-1], strict=False)):
        raise InvalidParameter(f"the map of {objective.tensor.path!r} has {shape[0]}×{shape[1]} cells at this size")
    return plans, shape


def _recipe_at(size: tuple[int, int], image: NetworkInput, params: MaximizationParams, objective: Objective) -> Recipe:
    recipe = recipe_for(params, size, colours_of(image))
    images = f"{len(objective.names)} images of {size[0]}×{size[1]} px"
    if len(objective.names) * size[0] * size[1] * recipe.colours > MAX_VALUES:
        raise InvalidParameter(f"{images} are too much for one call; ask for fewer channels or a smaller size")
    return recipe


def _given(subject: Subject, plans: Plans) -> Floats:
    """The values (h, w, c) of the image that was sent, at the size of those that are made."""
    values: Floats = plans.colours.values(subject.image.batch)[0]
    if subject.image.size == plans.recipe.size:
        return values
    planes = resized(subject.backend, np.ascontiguousarray(np.moveaxis(values, -1, 0)), plans.recipe.size)
    return np.ascontiguousarray(np.moveaxis(planes, 0, -1))


def _effective(
    params: MaximizationParams, objective: Objective, recipe: Recipe, shape: tuple[int, ...]
) -> dict[str, object]:
    """What was done, for the answer."""
    border = min(recipe.border, *((side - 1) // 2 for side in shape[:2])) if len(shape) == 3 else 0
    said = recipe.reported() | {"border": border if objective.kind in ("channels", "layer") else 0}
    return said if params.layer is None else said | {"layer": objective.tensor.path}


def _explanation(objective: Objective, recipe: Recipe, effective: Mapping[str, object], state: State) -> Explanation:
    kept = ("images", "history", "activation", "start", *(("frames",) if recipe.frames else ()))
    arrays = {name: state[name] for name in kept}
    dead = ~state["alive"]
    redirected = state["redirected"]
    columns = (objective.names, arrays["start"], arrays["activation"], dead, redirected, arrays["history"])
    rows = [
        {
            "name": name,
            "start": float(start),
            "activation": float(end),
            "gain": float(end - start),
            "dead": bool(gone),
            "redirected": bool(helped),
            "history": history.tolist(),
        }
        for name, start, end, gone, helped, history in zip(*columns, strict=True)
    ]
    size, names = f"{recipe.size[0]}×{recipe.size[1]} px", np.array(objective.names)[dead].tolist()
    detail = f"{len(names)} of {objective.tensor.path!r} stayed at 0 for the whole ascent: {', '.join(names[:32])}"
    return Explanation(
        arrays,
        "images",
        parameters={**effective, "redirected_steps": REDIRECTED_STEPS if redirected.any() else 0},
        titles={"images": f"{objective.title} · {recipe.preset}, {recipe.steps} steps · {size}"},
        statistics={"images": rows},
        warnings=(Warned("dead_filter", detail),) if names else (),
    )
