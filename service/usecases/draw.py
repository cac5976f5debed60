"""From raw arrays to pictures, as the method's class says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.arrays import Array, Arrays
from service.contract.options import AnswerOptions
from service.contract.results import MethodResult
from service.errors import InvalidParameter, TooLarge, nearest
from service.explainers.base import Explainer, Explanation
from service.explainers.base import Picture as Kind
from service.explainers.concepts import ConceptsParams
from service.explainers.forms import require_drawable
from service.explainers.maximization import MaximizationParams, displayed
from service.explainers.params import ExplainerParams, HeatmapParams, TileParams
from service.imaging import grid
from service.imaging.colour_painting import ColourPainting
from service.imaging.encoding import MOST_SIDE_PX, encode_animation, encode_png, encode_still, shrunk, shrunk_size
from service.imaging.painting import Painting, Region, resize_map, scale_unit, shown
from service.json_types import Json
from service.usecases.answer import PictureFile
from service.usecases.draw_concepts import concept_sheet
from service.usecases.draw_evaluation import evaluation_pictures
from service.usecases.draw_images import as_grid, coloured, image_pictures, moving_pictures, names_of

Pixels = NDArray[np.uint8]
# As many as four of the largest photographs that are taken by default.
MAX_SHEET_PX = 200_000_000
GRID_TILE_PX = 48
BLACK = (0, 0, 0)
# Between grey tiles black would look like a part of them.
GREY_BACKGROUND = (24, 60, 92)
SINGLE_TILE_PX = 256
PREVIEW_PX = 1_000_000


def known_outputs(explainer: Explainer, outputs: tuple[str, ...] | None) -> tuple[str, ...]:
    """The pictures to draw. Raises InvalidParameter for a name the method does not draw."""
    for name in outputs or ():
        if name not in explainer.outputs:
            known = ", ".join(explainer.outputs) or "no pictures"
            raise InvalidParameter(f"{explainer.name!r} draws {known}, not {name!r}{nearest(name, explainer.outputs)}")
    return explainer.outputs if outputs is None else outputs


def split_names(value: Json) -> Json:
    """`"heatmap,overlay"` as its names."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


@dataclass(frozen=True)
class Scene:
    """What a map lies on: the part of the photograph that the network saw (top, left, height, width), its size in px,
    and the one or three channels that are drawn, None for the usual ones."""

    region: tuple[float, float, float, float]
    input_size: tuple[int, int]
    channels: Sequence[int] | None = None


def draw(
    explainer: Explainer,
    params: ExplainerParams,
    scene: Scene,
    said: MethodResult,
    arrays: Arrays,
    image: Array | None,
    outputs: tuple[str, ...],
    max_side: int | None = None,
) -> dict[str, Pixels]:
    """(H, W, 3) uint8 RGB pictures by name. Heatmaps are drawn at once with no side longer than `max_side`; `encode`
    makes the others smaller."""
    if explainer.picture is Kind.HEATMAP and isinstance(params, HeatmapParams) and image is not None:
        seen = visible(image, scene.channels)
        return _heatmap_pictures(params, scene, said, arrays, seen, outputs, max_side) if outputs else {}
    if explainer.picture is Kind.TILES and isinstance(params, TileParams) and outputs:
        return _tile_pictures(params, said.titles, arrays)
    if isinstance(params, MaximizationParams):
        return image_pictures(params, said, arrays, outputs)
    if isinstance(params, ConceptsParams) and outputs:
        return {outputs[0]: concept_sheet(said, arrays)}
    if explainer.metrics and image is not None:
        return evaluation_pictures(said, arrays, visible(image, scene.channels), scene.region, outputs)
    return {}


def animate(
    params: ExplainerParams, said: MethodResult, arrays: Arrays, form: Literal["webp", "gif"]
) -> tuple[PictureFile, ...]:
    """How the images came about, as one moving picture; none for methods that do not move."""
    if not isinstance(params, MaximizationParams):
        return ()
    if "frames" not in arrays:
        raise InvalidParameter("the job kept no frames to animate; submit it with outputs=animation, or frames=24")
    frames = moving_pictures(params, said, arrays["frames"])
    height, width = frames[0].shape[:2]
    return (PictureFile("animation", width, height, encode_animation(frames, form), f"image/{form}"),)


def preview(params: ExplainerParams, explanation: Explanation) -> bytes:
    """What a method has so far, as PNG: the images of an ascent, or the first map, in its colours alone."""
    if isinstance(params, MaximizationParams):
        tiles = coloured(displayed(explanation.arrays["images"], explanation.parameters))
        names = names_of(explanation.statistics)
        return encode_png(as_grid(params, tiles, names, explanation.titles["images"], max_px=PREVIEW_PX))
    values = explanation.arrays[explanation.maps[0]]
    size = (values.shape[0], values.shape[1])
    colormap = str(explanation.parameters.get("colormap", getattr(params, "colormap", None)))
    return encode_png(Painting.of(values, size, None, explanation.scale.value).on(None, colormap))


def encode(pictures: Mapping[str, Pixels], options: AnswerOptions, *, together: bool) -> tuple[PictureFile, ...]:
    """The pictures as files; `together` stacks them into one, as an answer that is a picture needs. Raises TooLarge
    where that would be too large, or larger than the form can hold."""
    pictures = {name: shrunk(picture, options.max_side) for name, picture in pictures.items()}
    if together and len(pictures) > 1:
        widest = max(picture.shape[1] for picture in pictures.values())
        height = sum(picture.shape[0] for picture in pictures.values())
        if widest * height > MAX_SHEET_PX:
            raise TooLarge(
                f"one sheet of the {len(pictures)} pictures would have {widest}×{height} px, more than {MAX_SHEET_PX} "
                "in all; ask for format=json, size=input, 'max_side', or fewer 'outputs' or targets"
            )
        pictures = {next(iter(pictures)): grid.stack(list(pictures.values()))}
    return tuple(_encoded(name, picture, options) for name, picture in pictures.items())


def _encoded(name: str, picture: Pixels, options: AnswerOptions) -> PictureFile:
    form, (height, width) = options.still, picture.shape[:2]
    if max(height, width) > MOST_SIDE_PX[form]:
        raise TooLarge(
            f"the picture {name!r} has {width}×{height} px, and no side of {form.upper()} can have more than "
            f"{MOST_SIDE_PX[form]}; ask for PNG, for 'max_side', or for fewer 'outputs' or targets"
        )
    return PictureFile(name, width, height, encode_still(picture, form, options.quality), f"image/{form}")


def visible(image: Array, channels: Sequence[int] | None = None) -> Pixels:
    """Any (H, W, C) array as RGB (H, W, 3): of the one or three `channels`, else of the first three, else of the first.

    Numbers that are no levels 0..255 (some below 0 or above 255, or all within 0..1 and not all 0) are spread from
    their least to their largest.
    """
    if channels:
        colours = image[..., list(channels) if len(channels) == 3 else [channels[0]] * 3]
    else:
        colours = image[..., :3] if image.shape[2] >= 3 else np.repeat(image[..., :1], 3, axis=2)
    if colours.dtype == np.uint8:
        return np.ascontiguousarray(colours)
    low, high = colours.min(), colours.max()
    levels = low >= 0 and (1 < high <= 255 or high == 0)
    unit = colours / 255 if levels else scale_unit(colours, "minmax")
    return np.asarray(np.rint(unit * 255), np.uint8)


def _heatmap_pictures(
    params: HeatmapParams,
    scene: Scene,
    said: MethodResult,
    arrays: Arrays,
    image: Pixels,
    outputs: tuple[str, ...],
    max_side: int | None,
) -> dict[str, Pixels]:
    effective = said.method.parameters
    pictures: dict[str, Pixels] = {}
    canvases: dict[tuple[int, ...], _Canvas] = {}
    for name in said.maps:
        which, shape = name.removeprefix("heatmap"), arrays[name].shape
        if shape not in canvases:
            canvases[shape] = _canvas(params, scene, image, shape, max_side)
        photograph, size, region = canvases[shape]
        values = clipped(arrays[name], effective.get("clip"))
        painting = Painting if values.ndim == 2 else ColourPainting
        painted = painting.of(values, size, region, effective["normalize"])
        mask = arrays.get(f"mask{which}")
        for output in outputs:
            if output == "heatmap":
                picture = painted.on(None, effective["colormap"])
            elif output == "overlay":
                picture = painted.on(photograph, effective["colormap"], params.alpha)
            elif mask is not None:
                kept = resize_map(mask.astype(np.float32), size, region) >= 0.5
                grey = np.repeat(kept[..., None], 3, axis=2)
                picture = grey.astype(np.uint8) * 255 if output == "mask" else np.where(grey, photograph, np.uint8(0))
            else:
                continue
            pictures[output + which] = np.asarray(picture, np.uint8)
    return pictures


def clipped(values: NDArray[np.float32], percentile: float | None) -> NDArray[np.float32]:
    """Magnitudes above the percentile brought down to it, so that a few pixels do not leave the rest dark."""
    if percentile is None:
        return values
    limit = float(np.percentile(np.abs(values), percentile))
    return np.clip(values, -limit, limit) if limit > 0 else values


_Canvas = tuple[Pixels, tuple[int, int], Region | None]


def _canvas(
    params: HeatmapParams, scene: Scene, photograph: Pixels, map_size: tuple[int, ...], max_side: int | None
) -> _Canvas:
    """The photograph at the size asked for, that size, and where on it the map lies."""
    if params.size == "original":
        smaller = shrunk(photograph, max_side)
        down, across = (new / old for new, old in zip(smaller.shape[:2], photograph.shape[:2], strict=True))
        top, left, height, width = scene.region
        region = (top * down, left * across, height * down, width * across)
        return smaller, (smaller.shape[0], smaller.shape[1]), region
    size = scene.input_size if params.size == "input" else (map_size[0], map_size[1])
    size = shrunk_size(size, max_side)
    return shown(photograph, scene.region, size), size, None


def _tile_pictures(params: TileParams, titles: Mapping[str, str], arrays: Arrays) -> dict[str, Pixels]:
    pictures: dict[str, Pixels] = {}
    for name, values in arrays.items():
        tiles = _rgb_tiles(values, params.normalize) if values.ndim == 4 else grid.normalise(values, params.normalize)
        if params.view == "grid":
            pictures[name] = grid.grid(
                tiles,
                colormap=params.colormap,
                per_row=params.per_row,
                margin=2,
                background=GREY_BACKGROUND if params.colormap == "gray" else BLACK,
                title=titles.get(name),
                min_tile_px=GRID_TILE_PX,
            )
            continue
        count = values.shape[-1]
        require_drawable(len(pictures) + count)
        numbers = params.channels if params.channels is not None else range(count)
        for place, number in enumerate(numbers):
            tile = [tiles[place]] if isinstance(tiles, list) else np.ascontiguousarray(tiles[..., place : place + 1])
            pictures[f"{name}:{number}"] = grid.grid(
                tile, colormap=params.colormap, margin=0, min_tile_px=SINGLE_TILE_PX
            )
    return pictures


def _rgb_tiles(kernels: NDArray[np.float32], how: grid.Normalisation) -> list[Pixels]:
    """(h, w, 3, filters) → a colour tile a filter; the three channels of a filter share one range."""
    height, width, colours, count = kernels.shape
    flat = kernels.reshape(height, width * colours, count)
    levels = grid.normalise(flat, how)
    return [np.ascontiguousarray(levels[..., index].reshape(height, width, colours)) for index in range(count)]
