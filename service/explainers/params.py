"""Parameters that several methods share, and the text forms in which query strings and forms carry them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Colormap = Literal["viridis", "jet", "gray", "inferno", "coolwarm"]
Size = Literal["original", "input", "map"]
MAX_INDICES = 4096


class ExplainerParams(BaseModel):
    """Frozen, finite, and without unknown names: what a caller may ask of a method."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


def as_list(value: object) -> object:
    """`"a,b"` and `3` as lists; an empty text as none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return [str(value)]
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, list):
        return [str(part) if isinstance(part, int) and not isinstance(part, bool) else part for part in value]
    return value


def _indices(value: object) -> object:
    """`"0,4,8-11"`, `5` or `[0, 4]` as a list of indices."""
    parts = as_list(value)
    return _written_out(parts) if isinstance(parts, list) else parts


def _written_out(parts: list[object]) -> list[int]:
    found: list[int] = []
    for part in parts:
        match = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", str(part))
        if match is None:
            raise ValueError(f"{part!r} is no index; write indices and ranges such as 0,4,8-11")
        first = int(match[1])
        last = int(match[2] or match[1])
        if last < first or len(found) + last - first >= MAX_INDICES:
            raise ValueError(f"the range {part!r} is empty or longer than {MAX_INDICES}")
        found.extend(range(first, last + 1))
    if not found:
        raise ValueError("write at least one index, or leave the parameter out for all of them")
    return found


def written_beyond(indices: Sequence[int], count: int) -> str:
    """Names those indices, as a caller may have written them (`3, 0-99`), that are or reach beyond `count`."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs if last >= count)


def _layer_names(value: object) -> object:
    """Names, paths and indices; a range of indices such as `0-7` is written out."""
    parts = as_list(value)
    if not isinstance(parts, list):
        return parts
    names: list[object] = []
    for part in parts:
        is_range = isinstance(part, str) and re.fullmatch(r"\d{1,6}-\d{1,6}", part)
        names.extend(str(index) for index in _written_out([part])) if is_range else names.append(part)
    return names


def _sides(value: object) -> tuple[int, int]:
    """`16`, `"16"`, `"16,24"` and `[16, 24]` as (height, width)."""
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, (list, tuple)) else [value]
    if len(parts) not in (1, 2) or not all(re.fullmatch(r"\d{1,6}", str(part).strip()) for part in parts):
        raise ValueError("write one side in px, or height,width")
    sides = [int(str(part)) for part in parts]
    if min(sides) < 1:
        raise ValueError("a side must be at least 1 px")
    return sides[0], sides[-1]


def _cover(value: object) -> str:
    """What covers, as text: a name, a number, or levels of red, green and blue."""
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    if not re.fullmatch(r"mean|zero|gray|blur|-?\d{1,9}(\.\d{1,9})?|\d{1,3},\d{1,3},\d{1,3}", text):
        raise ValueError("write mean, zero, gray, blur, one preprocessed number, or r,g,b levels such as 255,0,0")
    if "," in text and max(int(part) for part in text.split(",")) > 255:
        raise ValueError("levels of red, green and blue go from 0 to 255")
    return text


Indices = Annotated[tuple[int, ...], BeforeValidator(_indices)]
LayerNames = Annotated[tuple[str, ...], BeforeValidator(_layer_names)]
Sides = Annotated[tuple[int, int], BeforeValidator(_sides)]
Cover = Annotated[str, BeforeValidator(_cover)]
COVERS = (
    "the image's `mean` colour, preprocessed `zero`, `gray` (level 128), a `blur` of the image by a Gaussian whose "
    "deviation is the 16th part of the input's longer side, one preprocessed number, or `r,g,b` levels 0..255"
)
LayerName = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]


class OutputParams(ExplainerParams):
    """Says which output of a model with several."""

    output: LayerName | None = Field(
        None, max_length=300, description="Name or index of the output, for models with several; the first when absent."
    )


class TargetParams(OutputParams):
    """What is explained."""

    target: LayerName = Field(
        "top1",
        min_length=1,
        max_length=300,
        description="`top1` to `top10` (a map for each), a class index (`386`), a label (`African_elephant`), several "
        "of these with commas, a contrast (`386-101`), or a neuron (`neuron:conv2d_5:3,4,12`).",
    )


class HeatmapParams(TargetParams):
    """How a map over the image is drawn. The raw array is never normalised; pictures are."""

    alpha: float = Field(
        0.4, ge=0, le=1, description="Share of the colours in the overlay; the photograph has the rest."
    )
    colormap: Colormap = Field("jet", description="Colours of the heat map.")
    size: Size = Field(
        "original", description="Size of the pictures: the photograph's, the model input's, or the raw map's."
    )


class TileParams(ExplainerParams):
    """How a stack of channels is drawn."""

    channels: Indices | None = Field(None, description="Channels, e.g. `0,4,18` or `0-15`; all when absent.")
    view: Literal["grid", "channel"] = Field("grid", description="One picture a layer, or one picture a channel.")
    per_row: int = Field(16, ge=1, le=256, description="Tiles in a row of the grid.")
    normalize: Literal["standard", "minmax", "shared"] = Field(
        "standard",
        description="`standard` is (x-mean)/std·64+128, clipped; `minmax` spans each channel; `shared` all.",
    )
    colormap: Colormap = Field("viridis", description="Colours of the tiles.")
