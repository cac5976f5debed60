"""What a caller may ask when maps are judged and compared."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from service.errors import nearest
from service.explainers.cam.gradients import gradcam, layercam
from service.explainers.evaluation.compared import Compared
from service.explainers.evaluation.metrics import METRICS, USUAL_METRICS
from service.explainers.occlusion import Occlusion
from service.explainers.params import COVERS, Cover, LayerName, Sides, TargetParams, as_list
from service.explainers.planes import ValuePlane
from service.explainers.saliency.guided import guided_gradcam
from service.explainers.saliency.noise import smoothgrad
from service.explainers.saliency.paths import integrated_gradients
from service.explainers.variants import OneOf, names_of, takers

MOST_METHODS = 24
FARTHEST_PX = 1_000_000
USUAL_METHODS = (*names_of((gradcam, layercam, smoothgrad, integrated_gradients, guided_gradcam)), Occlusion.name)
METHODS = WithJsonSchema(
    {
        "anyOf": [
            {"type": "string"},
            {
                "type": "array",
                "maxItems": MOST_METHODS,
                "items": {
                    "anyOf": [
                        {"type": "string"},
                        {"type": "object", "required": ["method"], "properties": {"method": {"type": "string"}}},
                    ]
                },
            },
        ]
    }
)


def _box(value: object) -> object:
    """`"10,20,200,180"` or a list as four numbers."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or len(parts) != 4:
        raise ValueError("write top,left,bottom,right in px of the photograph")
    try:
        top, left, bottom, right = (float(part) for part in parts)
    except (TypeError, ValueError):
        raise ValueError("a box is four numbers: top,left,bottom,right in px of the photograph") from None
    if not all(abs(edge) <= FARTHEST_PX for edge in (top, left, bottom, right)):
        raise ValueError(f"an edge of the box is beyond {FARTHEST_PX} px")
    if bottom <= top or right <= left:
        raise ValueError(
            f"the box is empty: bottom {bottom:g} must be below top {top:g}, and right {right:g} beyond left {left:g}"
        )
    if min(bottom - top, right - left) < 1:
        raise ValueError("the box is narrower than one pixel: write px of the photograph, not shares of its sides")
    return top, left, bottom, right


Box = Annotated[
    tuple[float, float, float, float],
    BeforeValidator(_box),
    WithJsonSchema({"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}),
]


def _metric_names(value: object) -> object:
    names = as_list(value)
    for name in names if isinstance(names, list) else ():
        if isinstance(name, str) and name not in names_of(METRICS):
            known = nearest(name, names_of(METRICS)) or f"; there are {', '.join(names_of(METRICS))}"
            raise ValueError(f"there is no metric {name[:40]!r}{known}")
    return names


MetricNames = Annotated[tuple[Annotated[str, OneOf(names_of(METRICS))], ...], BeforeValidator(_metric_names)]


class EvaluationParams(TargetParams):
    """Says which maps are judged, by what, and how often."""

    methods: Annotated[tuple[Compared, ...] | None, METHODS] = Field(
        None,
        max_length=MOST_METHODS,
        description="Names of methods and variants that give a map, with commas; in JSON also objects with a `method` "
        f"and its parameters, as for `explain`. When absent: of {', '.join(USUAL_METHODS)} those that the model can "
        "have.",
    )
    own_map: ValuePlane = Field(
        None,
        description="A map of your own that is judged beside them, in the row `own_map`: an npy array (height, width) "
        "or a picture, as a file part or as base64. It lies over what the network sees: the whole photograph, unless "
        "the model's spec crops or pads.",
    )
    metrics: MetricNames = Field(
        USUAL_METRICS,
        min_length=1,
        max_length=len(METRICS),
        description=f"Names of metrics, with commas. One or more of {', '.join(names_of(METRICS))}.",
    )
    layer: LayerName | None = Field(
        None, max_length=300, description="The layer of class activation maps that name none of their own."
    )
    box: Box | None = Field(
        None,
        description=f"{takers(METRICS, 'box')}: where the object is, as top,left,bottom,right in px of the photograph.",
    )
    measure: Literal["probability", "score"] | None = Field(
        None,
        description="What is measured under altered images: the target's `probability`, which is the default where it "
        "has one, or its `score`, which is mostly a logit.",
    )
    value: Cover = Field("mean", description=f"What takes the place of pixels that are taken away: {COVERS}.")
    canvas: Cover = Field("blur", description="insertion: what the pixels are put into; one of the same.")
    steps: int = Field(
        32, ge=2, le=1000, description=f"{takers(METRICS, 'steps')}: in how many equal parts the pixels are altered."
    )
    samples: int = Field(
        200, ge=16, le=20_000, description=f"{takers(METRICS, 'samples')}: how many random sets of cells are covered."
    )
    cells: Sides | None = Field(
        None,
        description=f"{takers(METRICS, 'cells')}: rows and columns of cells, one number or `rows,columns`; 9,9 when "
        "absent, as far as the input has so many pixels.",
    )
    share: float = Field(
        0.2, ge=0.01, le=0.9, description=f"{takers(METRICS, 'share')}: the share of the cells that a set covers."
    )
    draws: int = Field(10, ge=1, le=200, description="max_sensitivity: how many altered images are explained.")
    radius: float = Field(
        0.02,
        gt=0,
        le=1,
        description="max_sensitivity: by how much a value of the input changes at most, as a share of their range.",
    )
    stages: int = Field(
        6,
        ge=1,
        le=64,
        description="randomization: in how many steps the layers lose what they learnt, from the last to the first.",
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Of all that is drawn: the same seed draws the same.")
