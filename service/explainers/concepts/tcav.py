"""TCAV: whether a concept that is shown by pictures raises the score of a class."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.arrays import Array, Floats
from service.errors import InvalidParameter, MethodNotValid
from service.explainers.base import Explanation, Part, Progress
from service.explainers.concepts.directions import Directions, directions_of
from service.explainers.concepts.significance import doubts, tested
from service.explainers.concepts.variant import concept_variant, shown_places
from service.explainers.layers import default_layer, lacks_map
from service.explainers.passes import chunks, gradients_plan, scores_plan, values_plan
from service.explainers.picture_sets import PictureSet, SetAsked

if TYPE_CHECKING:
    from service.explainers.concepts.params import ConceptsParams
    from service.explainers.subject import Subject
    from service.models.graph.graph import Graph, Tensor
    from service.models.graph.head import Head

NAME = "tcav"
STAGES = 4
MOST_VALUES = 2**26
SHOWN_PICTURES = 6
IMAGES = SetAsked("images", "pictures of the class that is explained", least=2)
CONCEPT = SetAsked("concept", "pictures of the concept", least=10)
RANDOM = SetAsked("random", "pictures of anything else, the counterexamples", least=20)


def _problem(graph: Graph, head: Head) -> str | None:
    return lacks_map(graph)


def _layer(subject: Subject, params: ConceptsParams) -> Tensor:
    """Raises UnknownLayer, or MethodNotValid for a layer without a gradient, or that the score does not depend on."""
    graph = subject.graph
    entry = graph.entry(params.layer) if params.layer else default_layer(graph)
    layer = entry.output
    if "float" not in layer.dtype or len(layer.shape) < 2:
        raise MethodNotValid(f"layer {entry.path!r} cannot be used for {NAME}: {layer.dtype} has no gradient")
    if not graph.depends_on(subject.targets.tensor, layer):
        raise MethodNotValid(f"the score does not depend on layer {entry.path!r}; name one before it")
    return layer


def _check(subject: Subject, params: ConceptsParams) -> None:
    layer = _layer(subject, params)
    values = int(np.prod(subject.backend.shape(subject.graph, subject.image.size, layer)))
    pictures = len(subject.sets[CONCEPT.name]) + len(subject.sets[RANDOM.name])
    if values * max(pictures, 2 * params.repeats) > MOST_VALUES:
        most = MOST_VALUES // values
        raise InvalidParameter(
            f"layer {layer.path!r} has {values} values, which {pictures} pictures of 'concept' and 'random' and "
            f"{2 * params.repeats} directions make too many of for one call; send at most {most} pictures in these "
            "two, repeat less, or name a later layer"
        )


def _passes(subject: Subject, params: ConceptsParams) -> float:
    layer = _layer(subject, params)
    backend, graph, size = subject.backend, subject.graph, subject.image.size
    before = backend.share(graph, size, layer)
    after = backend.share(graph, size, subject.targets.tensor, after=layer)
    looked_at = len(subject.sets[CONCEPT.name]) + len(subject.sets[RANDOM.name])
    return looked_at * (before + after) + len(subject.sets[IMAGES.name]) * (2 + 2 * after)


@concept_variant(
    NAME,
    "The share of pictures on which the score rises along v, ∇y(A)·v > 0; v is the normal of a logistic regression "
    "that tells activations A of the concept from those of random pictures. It is repeated with other random pictures, "
    "and beside directions that tell random pictures from random ones, by a two-sided t-test.",
    "https://arxiv.org/abs/1711.11279",
    "1 forward a picture of the concept and of random; 2 forwards, and a backward from the layer on, a picture of the "
    "class",
    "A direction can always be found. Believe a score only where `significant` is true, which asks for p below 0.05 "
    "and for a score beyond two deviations of the random ones, and where the classifier is right on pictures that it "
    "has not seen; and try other random pictures, as all repetitions draw from the same ones. Where the network is "
    "linear behind the layer, as behind the last convolution of most, every score is 0 or 1 and says nothing. It "
    "counts signs, not sizes, and says nothing of what else tells the concept's pictures from the random ones, such as "
    "their background.",
    sets=(IMAGES, CONCEPT, RANDOM),
    estimate=_passes,
    check=_check,
    problem=_problem,
    takes=("repeats", "penalty"),
)
def tcav(subject: Subject, params: ConceptsParams) -> Explanation:
    """Gives, for each of r repetitions: `scores` and `random_scores` (r,) float32, the shares of pictures in 0..1, with
    the concept's directions and with random ones; `accuracies` and `random_accuracies` (r,) float32, the classifiers'
    on the third of the pictures that they have not seen; `cavs` (r, …) float32, the directions in the layer's shape, of
    length 1; `derivatives` (r, n) float32, ∇y·v of every picture, score over the layer's unit. And for drawing `most`,
    `least` and `shown_concept` (p, h, w, 3) uint8: the pictures with the largest and the smallest mean derivative, and
    the first ones of the concept.

    Kim et al. 2018, arXiv 1711.11279, section 3; as the authors' code, activations are flattened, both sides have as
    many pictures, and a third of them is held out.
    """
    layer = _layer(subject, params)
    pictures = subject.sets[IMAGES.name]
    stages = [Part(subject.progress, stage, STAGES) for stage in range(STAGES)]
    concept = _activations(subject, layer, subject.sets[CONCEPT.name], stages[0])
    random = _activations(subject, layer, subject.sets[RANDOM.name], stages[1])
    shape = concept.shape[1:]
    flat = [values.reshape(len(values), -1) for values in (concept, random)]
    found = directions_of(flat[0], flat[1], params.repeats, params.penalty, params.seed, stages[2])
    mean_scores, derivatives = _derivatives(subject, layer, pictures, found, stages[3])
    scores = (derivatives > 0).mean(axis=2)
    mean_derivative = derivatives[0].mean(axis=0)
    places = shown_places(mean_derivative, SHOWN_PICTURES), shown_places(-mean_derivative, SHOWN_PICTURES)
    arrays: dict[str, Array] = {
        "scores": scores[0].astype(np.float32),
        "random_scores": scores[1].astype(np.float32),
        "accuracies": found.accuracies[0].astype(np.float32),
        "random_accuracies": found.accuracies[1].astype(np.float32),
        "cavs": found.normals[0].reshape(-1, *shape).astype(np.float32),
        "derivatives": derivatives[0].astype(np.float32),
        "most": pictures.pixels[places[0]],
        "least": pictures.pixels[places[1]],
        "shown_concept": subject.sets[CONCEPT.name].pixels[:SHOWN_PICTURES],
    }
    resolved = subject.targets.resolved(mean_scores)
    result = tested(scores, found)
    rows = [
        {"name": name, "derivative": float(value)} for name, value in zip(pictures.names, mean_derivative, strict=True)
    ]
    said = {
        "layer": layer.path,
        "pictures": len(pictures),
        "concept_pictures": len(concept),
        "random_pictures": len(random),
        "pictures_a_side": found.a_side,
        "held_out_a_side": found.held_out,
    }
    title = f"TCAV · {layer.path} · {resolved.names[0]} · {len(pictures)} pictures"
    return Explanation(
        arrays, "scores", mean_scores, resolved, (), said,
        titles={"sheet": title}, statistics={"test": result, "images": rows},
        warnings=doubts(layer.path, result, found, derivatives),
    )  # fmt: skip


def _activations(subject: Subject, layer: Tensor, pictures: PictureSet, progress: Progress) -> Floats:
    """(n, …): the layer's values on each picture."""
    plan = values_plan(subject, layer)
    parts = chunks(len(pictures), subject.backend.chunk(subject.graph, subject.image.size), progress)
    return np.concatenate([plan(pictures.batch(part))[0] for part in parts])


def _derivatives(
    subject: Subject, layer: Tensor, pictures: PictureSet, found: Directions, progress: Progress
) -> tuple[Floats, NDArray[np.float64]]:
    """The mean scores (classes,) of the pictures, and the derivatives (2, r, n) of the target's along the directions.

    A target that is a rank is that of the mean scores, so all scores are looked at before the first gradient.
    """
    size = subject.backend.chunk(subject.graph, subject.image.size)
    halves = Part(progress, 0, 2), Part(progress, 1, 2)
    look = scores_plan(subject)
    rows = [look(pictures.batch(part))[0] for part in chunks(len(pictures), size, halves[0])]
    scores = np.concatenate(rows).mean(axis=0, dtype=np.float64).astype(np.float32)
    resolved = replace(subject, targets=subject.targets.resolved(scores))
    plan = gradients_plan(resolved, layer)
    size = subject.backend.chunk(subject.graph, subject.image.size, backward=True)
    normals = found.normals.reshape(-1, found.normals.shape[-1])
    derivatives = []
    for part in chunks(len(pictures), size, halves[1]):
        batch = pictures.batch(part)
        _, gradients, _ = plan(batch, resolved.targets.chosen(len(batch)))
        derivatives.append(normals @ gradients.reshape(len(batch), -1).astype(np.float64).T)
    return scores, np.concatenate(derivatives, axis=1).reshape(2, -1, len(pictures))
