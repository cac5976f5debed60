"""CRAFT: the concepts that the activations of many pictures of a class are made of."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.arrays import Array, Floats
from service.errors import InvalidParameter, MethodNotValid
from service.explainers.base import Explanation, Part, Progress
from service.explainers.concepts.crops import Crops
from service.explainers.concepts.factors import Factors, factorised, shares_of
from service.explainers.concepts.importance import errors_of, importances
from service.explainers.concepts.variant import concept_variant, shown_places
from service.explainers.layers import lacks_map, layer_for
from service.explainers.passes import chunks, values_plan
from service.explainers.picture_sets import PictureSet, SetAsked
from service.explainers.variants import Warned

if TYPE_CHECKING:
    from service.explainers.concepts.params import ConceptsParams
    from service.explainers.subject import Subject
    from service.models.graph.graph import Graph, Tensor
    from service.models.graph.head import Head

NAME = "craft"
STAGES = 4
MOST_VALUES = 2**25
SHOWN_PICTURES = 3
POOR = 0.5
IMAGES = SetAsked("images", "pictures of the class that is explained", least=2)


def _problem(graph: Graph, head: Head) -> str | None:
    return lacks_map(graph)


def _shapes(subject: Subject, params: ConceptsParams) -> tuple[Tensor, Crops, tuple[int, ...]]:
    """The layer, the crops of every picture, and the shape (h, w, k) of the layer's map. Raises InvalidParameter."""
    layer = layer_for(subject, params.layer, NAME).output
    size = subject.image.size
    if params.patch is not None and params.patch > min(size):
        raise InvalidParameter(f"patch={params.patch} is larger than the network's input of {size[0]}×{size[1]} px")
    return layer, Crops.of(size, params.patch), subject.backend.shape(subject.graph, size, layer)


def _check(subject: Subject, params: ConceptsParams) -> None:
    layer, crops, (height, width, channels) = _shapes(subject, params)
    pictures = len(subject.sets[IMAGES.name])
    most = min(pictures * len(crops.corners), channels)
    if params.concepts > most:
        raise InvalidParameter(
            f"concepts={params.concepts} are more than {pictures} pictures of {len(crops.corners)} crops and the "
            f"{channels} channels of layer {layer.path!r} can hold; ask for at most {most}"
        )
    count = pictures * len(crops.corners)
    kept = params.concepts * min(params.examples, count) * crops.side**2
    if max(pictures * height * width * params.concepts, count * channels, kept) > MOST_VALUES:
        raise InvalidParameter(
            f"{pictures} pictures of {len(crops.corners)} crops, {params.concepts} concepts in {height}×{width} cells "
            f"of layer {layer.path!r}, are too much for one call; send fewer pictures, or name a later layer, a "
            "larger patch, fewer concepts or examples"
        )


def _passes(subject: Subject, params: ConceptsParams) -> float:
    layer, crops, _ = _shapes(subject, params)
    backend, graph, size = subject.backend, subject.graph, subject.image.size
    before = backend.share(graph, size, layer)
    after = backend.share(graph, size, subject.targets.tensor, after=layer)
    around = len(graph.suffix(layer, subject.targets.tensor)) > 1
    masks = params.draws * (params.concepts + 2)
    return len(subject.sets[IMAGES.name]) * (len(crops.corners) * before + 1 + masks * after + around)


@concept_variant(
    NAME,
    "A ≈ U W: the activations of crops as sums of few non-negative concepts W (NMF); a concept counts by the total "
    "Sobol index of its share U in the target's score, mean over the pictures. The map of a concept over a picture is "
    "its share in each cell, by non-negative least squares.",
    "https://arxiv.org/abs/2211.10154",
    "for each picture 1 forward, those of its crops up to the layer, and `draws`·(`concepts` + 2) from the layer on",
    "Concepts are what few directions can say of these pictures: other pictures or another number of concepts give "
    "other ones, and nobody has named them. Values below 0 are counted as 0, so that a layer before a ReLU, or with "
    "swish or GELU, is seen in part. The importance has no sign, and is of reconstructed activations, which are not "
    "quite the network's own.",
    sets=(IMAGES,),
    estimate=_passes,
    check=_check,
    problem=_problem,
    takes=("concepts", "patch", "draws", "examples"),
)
def craft(subject: Subject, params: ConceptsParams) -> Explanation:
    """Gives, with concepts in the order of their importance: `importance` (c,) float32 in 0..1 and more by chance;
    `concepts` (c, k) float32 >= 0 of length 1, in the layer's channels; `heatmaps` (n, h, w, c) float32 >= 0, each
    concept's share in every cell of the layer, in its unit; `examples` (c, e, s, s, 3) uint8, the crops with most of a
    concept; `strongest` (c, p, h, w, 3) uint8, the pictures with most of it, whose places are `strongest_places` (c, p)
    int32.

    Fel et al. 2023, arXiv 2211.10154, without its recursion: crops as the authors' (bilinear instead of bicubic), means
    over the cells of ReLU(A), NMF without a penalty. Raises MethodNotValid for a layer that is nowhere above 0.
    """
    layer, crops, _ = _shapes(subject, params)
    pictures = subject.sets[IMAGES.name]
    stages = [Part(subject.progress, stage, STAGES) for stage in range(STAGES)]
    pooled, negative = crops.pooled(subject, layer, pictures, stages[0])
    if not pooled.any():
        raise MethodNotValid(
            f"layer {layer.path!r} is nowhere above 0 on these crops, so nothing is made of it; name a layer behind a "
            "ReLU"
        )
    factors = factorised(pooled, params.concepts, stages[1])
    shares, scores = _shares(subject, layer, pictures, factors, stages[2])
    mean_scores = scores.mean(axis=0, dtype=np.float64).astype(np.float32)
    resolved = subject.targets.resolved(mean_scores)
    asked = params.draws, params.seed
    own = importances(
        replace(subject, targets=resolved), layer, pictures, shares, factors.parts.astype(np.float32), asked, stages[3]
    )
    means = own.mean(axis=0)
    order = np.argsort(-means, kind="stable")
    kept = shown_crops(crops, pictures, factors.shares[:, order], params.examples)
    strongest = _strongest(shares[..., order])
    arrays: dict[str, Array] = {
        "importance": means[order].astype(np.float32),
        "concepts": factors.parts[order].astype(np.float32),
        "heatmaps": np.ascontiguousarray(shares[..., order]),
        "examples": kept[0],
        "strongest": pictures.pixels[strongest],
        "strongest_places": strongest.astype(np.int32),
    }
    errors = errors_of(own)[order]
    rows = [
        {
            "name": str(place + 1),
            "importance": float(means[number]),
            "standard_error": float(errors[place]),
            "examples": [pictures.names[crop // len(crops.corners)] for crop in kept[1][place]],
            "strongest": [pictures.names[picture] for picture in strongest[place]],
        }
        for place, number in enumerate(order)
    ]
    said = {
        "layer": layer.path,
        "patch": crops.side,
        "stride": crops.stride,
        "crops": len(pooled),
        "pictures": len(pictures),
        "reconstruction_error": factors.error,
        "rounds": factors.rounds,
        "negative_share": negative,
    }
    title = f"CRAFT · {layer.path} · {resolved.names[0]} · {len(pictures)} pictures, {len(pooled)} crops"
    return Explanation(
        arrays, "importance", mean_scores, resolved, (), said,
        titles={"sheet": title}, statistics={"concepts": rows}, warnings=_warnings(factors, negative, own),
    )  # fmt: skip


def _shares(
    subject: Subject, layer: Tensor, pictures: PictureSet, factors: Factors, progress: Progress
) -> tuple[Floats, Floats]:
    """(n, h, w, c) shares of the concepts in each cell of every picture, and the pictures' scores (n, classes)."""
    plan = values_plan(subject, layer)
    found, scores = [], []
    for part in chunks(len(pictures), subject.backend.chunk(subject.graph, subject.image.size), progress):
        values, own = plan(pictures.batch(part))
        flat = np.maximum(values, 0).reshape(-1, values.shape[-1]).astype(np.float64)
        found.append(shares_of(flat, factors.parts).reshape(*values.shape[:3], -1).astype(np.float32))
        scores.append(own)
    return np.concatenate(found), np.concatenate(scores)


def shown_crops(
    crops: Crops, pictures: PictureSet, shares: NDArray[np.float64], most: int
) -> tuple[Array, list[list[int]]]:
    """The crops (c, e, s, s, 3) with the largest of (crops, c) shares of each concept, and their places."""
    places = [shown_places(column, most) for column in shares.T]
    return np.stack([[crops.cut(pictures.pixels, place) for place in row] for row in places]), places


def _strongest(shares: Floats) -> NDArray[np.intp]:
    """(c, p): the pictures in which a concept has the largest mean share."""
    means = shares.mean(axis=(1, 2), dtype=np.float64)
    return np.array([shown_places(column, SHOWN_PICTURES) for column in means.T], np.intp)


def _warnings(factors: Factors, negative: float, own: NDArray[np.float64]) -> tuple[Warned, ...]:
    found = []
    if negative > 0.01:
        detail = (
            f"{100 * negative:.0f} % of the layer's magnitude lies below 0 and was counted as 0; name a layer behind a "
            "ReLU for all of it"
        )
        found.append(Warned("negative_activations", detail))
    if factors.error > POOR:
        detail = (
            f"the concepts miss {100 * factors.error:.0f} % of the activations' length: their importance is that of "
            "what they catch; ask for more concepts"
        )
        found.append(Warned("poor_reconstruction", detail))
    if not own.any():
        found.append(Warned("nothing_counts", "no concept changes the target's score on any picture"))
    return tuple(found)
