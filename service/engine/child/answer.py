"""Around one explanation: the input it starts from, the checks on its values, and what is said about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from service.arrays import Array, Arrays
from service.contract.results import (
    Caveat,
    DrawnAs,
    Explained,
    MethodRef,
    MethodResult,
    ModelRef,
    Prediction,
    TargetRef,
)
from service.engine.child.describe import cam_layer
from service.errors import NonFiniteResult
from service.explainers.base import Explainer, Explanation, Photograph
from service.explainers.params import ExplainerParams
from service.explainers.picture_sets import PictureSet
from service.explainers.planes import parts_of
from service.explainers.targets import NOTHING, Targets
from service.models.graph.finite import bad_weights, is_finite
from service.models.graph.graph import LINEAR, Graph, Node, Tensor
from service.models.graph.head import Head
from service.models.graph.preprocess import NetworkInput, Region, as_is, fit, nothing, prepare
from service.models.loaded import LoadedModel


def network_input(
    model: LoadedModel, image: Array | None, preprocess: bool, fitted: Sequence[float] | None = None
) -> NetworkInput:
    """The photograph as the network takes it; zeros for methods that take none. One that is `fitted` already shows that
    region (top, left, height, width) of what was sent.
    """
    if image is None:
        return nothing(model.input_shape, model.spec.input, model.preprocessing)
    if preprocess:
        region = Region(*fitted) if fitted else None
        return prepare(image, model.input_shape, model.spec.input, model.preprocessing, region)
    return as_is(image, model.input_shape, model.spec.input, model.preprocessing)


def picture_sets(model: LoadedModel, names: Mapping[str, tuple[str, ...]], arrays: Arrays) -> dict[str, PictureSet]:
    """The sets whose pictures have these names, at the network's size: of each picture (H, W, 3) that is the array
    `<set>/<place>` what the network sees. One after the other is asked for, and not kept as it was.
    """
    shape, spec, mode = model.input_shape, model.spec.input, model.preprocessing

    def as_input(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        whole = Region(0.0, 0.0, float(shape.height), float(shape.width))
        batches = [prepare(picture, shape, spec, mode, whole).batch for picture in pixels]
        return np.concatenate(batches)

    found = {}
    for name, pictures in names.items():
        places = [f"{name}/{place}" for place in range(len(pictures))]
        fitted = [fit(arrays[place], shape, spec)[0] for place in places if place in arrays]
        found[name] = PictureSet(pictures, np.stack(fitted), as_input)
        found[name].batch([0])
    return found


def explained(
    model: LoadedModel,
    image: NetworkInput,
    results: Sequence[MethodResult],
) -> Explained:
    """The answer to a call: what is said of each method, and what maps of the image are drawn by."""
    region = image.region
    return Explained(
        model=ModelRef(id=model.spec.id, digest=model.digest),
        fingerprint=model.fingerprint,
        results=tuple(results),
        region=(region.top, region.left, region.height, region.width),
        input_size=image.size,
        drawn=DrawnAs(channels=image.drawn, channels_first=image.channels_first),
    )


def with_model_defaults(explainer: Explainer, params: ExplainerParams, model: LoadedModel) -> ExplainerParams:
    """The spec's CAM layer where the caller names none."""
    if explainer.takes_cam_layer(params) and getattr(params, "layer", None) is None and (layer := cam_layer(model)):
        return params.model_copy(update={"layer": layer})
    return params


def check_finite(graph: Graph, image: NetworkInput, explanation: Explanation) -> None:
    """Raises NonFiniteResult naming the weights that are to blame, or the layer where it began."""
    if all(is_finite(array) for array in explanation.arrays.values()):
        return
    values = graph.run({graph.inputs[0]: image.batch}, [node.outputs[0] for node in graph.nodes])
    found = zip(graph.nodes, values, strict=True)
    node = next((node for node, value in found if not np.isfinite(np.asarray(value, np.float32)).all()), None)
    if said := bad_weights(graph, None if node is None else _computing(graph, node)):
        raise NonFiniteResult(said)
    if node is None:
        raise NonFiniteResult("every layer is finite on this image, but a gradient or the map overflows")
    raise NonFiniteResult(f"the network overflows on this image: layer {node.path!r} is the first that is not finite")


def _computing(graph: Graph, node: Node) -> set[Tensor]:
    """The values that `node` and all before it compute."""
    found = {output for each in graph.between((), node.outputs[0]) for output in each.outputs}
    # An activation is a node of its own, and the layer's value the one behind it.
    return found | {entry.output for entry in graph.layers if entry.path == node.path.removesuffix(LINEAR)}


def answer(
    model: LoadedModel, explainer: Explainer, params: ExplainerParams, explanation: Explanation, top: int
) -> MethodResult:
    """What is said about one explanation."""
    variant = explainer.variant(params)
    warnings = [Caveat(code=item.code, detail=item.detail) for item in explanation.warnings]
    if model.preprocessing_assumed and explainer.photograph is not Photograph.NONE:
        warnings += [Caveat(code="preprocessing_assumed", detail=note) for note in model.notes if "assumed" in note]
    if model.weights_problem:
        warnings.append(Caveat(code="weights_not_finite", detail=model.weights_problem))
    targets, scores = explanation.targets, explanation.scores
    if targets and targets.head and scores is not None and (doubt := targets.head.doubt):
        warnings.append(Caveat(code="head_unknown", detail=doubt))
    described = target_rows(model, targets, scores) if explainer.targeted and targets and scores is not None else []
    normalize = {"normalize": explanation.scale.value} if explanation.maps else {}
    method = MethodRef(
        name=explainer.name,
        variant=variant.name,
        parameters=params.model_dump(mode="json", exclude={*explainer.unused(params), *parts_of(explainer.Params)})
        | normalize
        | dict(explanation.parameters),
        reference=variant.paper or None,
    )
    classes = predictions(model, targets.head, scores, top) if targets and targets.head and scores is not None else []
    return MethodResult(
        method=method,
        target=described[0] if described else None,
        targets=described,
        predictions=classes,
        warnings=warnings,
        primary=explanation.primary,
        maps=tuple(explanation.maps),
        titles=dict(explanation.titles),
        statistics=dict(explanation.statistics),
    )


def predictions(model: LoadedModel, head: Head, scores: NDArray[np.float32], top: int) -> list[Prediction]:
    """The `top` highest classes, equal scores in the order of their indices."""
    order = np.argsort(-scores, kind="stable")[:top]
    probabilities, labels = head.probabilities(scores), model.labels_for(head)
    return [_prediction(labels, head, probabilities, scores, int(index)) for index in order]


def target_rows(model: LoadedModel, targets: Targets, scores: NDArray[np.float32]) -> list[TargetRef]:
    """Each target with its score; of a contrast also the class it is taken from."""
    values = targets.values(scores)
    probabilities = targets.head.probabilities(scores) if targets.head else None
    labels = model.labels_for(targets.head) if targets.head else ()
    rows: list[TargetRef] = []
    for (first, second), value in zip(targets.pairs, values, strict=True):
        if targets.head is None:
            rows.append(
                TargetRef(
                    class_index=None,
                    neuron=_neuron(targets, first),
                    label=None,
                    probability=None,
                    score=float(value),
                    score_kind="activation",
                    minus=None,
                )
            )
            continue
        row = _prediction(labels, targets.head, probabilities, scores, first)
        rows.append(
            TargetRef(
                class_index=row.class_index,
                neuron=None,
                label=row.label,
                probability=row.probability,
                score=float(value),
                score_kind=targets.head.score_kind,
                minus=None if second == NOTHING else _prediction(labels, targets.head, probabilities, scores, second),
            )
        )
    return rows


def _neuron(targets: Targets, index: int) -> str:
    """`conv2d_5:3,4,12` for a cell, `conv2d_5:12` for the mean of a channel or a unit: as callers write it."""
    path, shape = targets.tensor.path, targets.tensor.shape[1:]
    if targets.key != path:
        return f"{path}:{index}"
    cell = np.unravel_index(index, [size or 1 for size in shape])
    return f"{path}:{','.join(str(place) for place in cell)}"


def _prediction(
    labels: Sequence[str], head: Head, probabilities: Array | None, scores: NDArray[np.float32], index: int
) -> Prediction:
    return Prediction(
        class_index=index,
        label=labels[index] if labels else None,
        probability=None if probabilities is None else float(probabilities[index]),
        logit=float(scores[index]) if head.score_kind == "logit" else None,
        score=float(scores[index]),
    )
