"""From raw arrays to pictures, as the method's class says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidParameter, nearest
from service.explainers.base import Explainer
from service.explainers.base import Picture as Kind
from service.explainers.params import ExplainerParams, HeatmapParams, TileParams
from service.imaging import grid, render
from service.usecases.answer import Picture

Pixels = NDArray[np.uint8]
MAX_CHANNEL_PICTURES = 1024
GRID_TILE_PX = 48
SINGLE_TILE_PX = 256


def wanted_outputs(explainer: Explainer, outputs: tuple[str, ...] | None) -> tuple[str, ...]:
    """The pictures to draw. Raises InvalidParameter for a name the method does not draw."""
    for name in outputs or ():
        if name not in explainer.outputs:
            known = ", ".join(explainer.outputs) or "no pictures"
            raise InvalidParameter(f"{explainer.name!r} draws {known}, not {name!r}{nearest(name, explainer.outputs)}")
    return explainer.outputs if outputs is None else outputs


def split_names(value: Any) -> Any:
    """`"heatmap,overlay"` as its names."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def draw(
    explainer: Explainer,
    params: ExplainerParams,
    reply: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    image: NDArray[Any] | None,
    outputs: tuple[str, ...],
) -> dict[str, Pixels]:
    """(H, W, 3) uint8 RGB pictures by name."""
    if explainer.picture is Kind.HEATMAP and isinstance(params, HeatmapParams) and image is not None:
        return _heatmap_pictures(params, reply, arrays[reply["primary"]], image, outputs)
    if explainer.picture is Kind.TILES and isinstance(params, TileParams) and outputs:
        return _tile_pictures(params, reply, arrays)
    return {}


def encode(pictures: Mapping[str, Pixels], together: bool) -> tuple[Picture, ...]:
    """PNG files; `together` stacks them into one, as the answer `image/png` needs."""
    if together and len(pictures) > 1:
        pictures = {next(iter(pictures)): grid.stack(list(pictures.values()))}
    return tuple(
        Picture(name, pixels.shape[1], pixels.shape[0], render.encode_png(pixels)) for name, pixels in pictures.items()
    )


def visible(image: NDArray[Any]) -> Pixels:
    """Any (H, W, C) array as RGB: floats outside 0..255 or within 0..1 are spread over the whole range."""
    colours = image[..., :3] if image.shape[2] >= 3 else np.repeat(image[..., :1], 3, axis=2)
    if colours.dtype == np.uint8:
        return np.ascontiguousarray(colours)
    in_range = colours.min() >= 0 and colours.max() <= 255 and colours.max() > 1
    unit = colours / 255 if in_range else render.scale_unit(colours, "minmax")
    return np.asarray(np.rint(unit * 255), np.uint8)


def _heatmap_pictures(
    params: HeatmapParams,
    reply: Mapping[str, Any],
    values: NDArray[np.float32],
    image: NDArray[Any],
    outputs: tuple[str, ...],
) -> dict[str, Pixels]:
    photograph = visible(image)
    region: tuple[float, float, float, float] | None = tuple(reply["region"])
    if params.size == "original":
        size = photograph.shape[:2]
    else:
        size = tuple(reply["input_size"]) if params.size == "input" else values.shape
        photograph = _crop_to_region(photograph, reply["region"], size)
        region = None
    unit = render.scale_unit(render.resize_map(values, (size[0], size[1]), region), "max")
    pictures: dict[str, Pixels] = {}
    for name in outputs:
        if name == "heatmap":
            pictures[name] = render.heatmap(unit, params.colormap, "max")
        elif name == "overlay":
            pictures[name] = render.overlay(photograph, unit, params.colormap, params.alpha)
    return pictures


def _crop_to_region(photograph: Pixels, region: list[float], size: tuple[int, ...]) -> Pixels:
    """What the network saw of the photograph, at `size`; black where its input was padded."""
    top, left, height, width = region
    matrix = np.array(
        [[size[1] / width, 0, -left * size[1] / width], [0, size[0] / height, -top * size[0] / height]], np.float64
    )
    if (top, left, height, width) == (0, 0, *photograph.shape[:2]):
        return np.asarray(cv2.resize(photograph, (size[1], size[0]), interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.warpAffine(photograph, matrix, (size[1], size[0]), flags=cv2.INTER_LINEAR), np.uint8)


def _tile_pictures(
    params: TileParams, reply: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> dict[str, Pixels]:
    pictures: dict[str, Pixels] = {}
    for name, values in arrays.items():
        tiles = _rgb_tiles(values, params.normalize) if values.ndim == 4 else grid.normalise(values, params.normalize)
        if params.view == "grid":
            pictures[name] = grid.grid(
                tiles,
                colormap=params.colormap,
                per_row=params.per_row,
                margin=2,
                title=reply["titles"].get(name),
                min_tile_px=GRID_TILE_PX,
            )
            continue
        count = values.shape[-1]
        if len(pictures) + count > MAX_CHANNEL_PICTURES:
            raise InvalidParameter(
                f"view=channel would draw more than {MAX_CHANNEL_PICTURES} pictures; name fewer with 'channels', "
                "or use view=grid"
            )
        numbers = params.channels if params.channels is not None else range(count)
        for place, number in enumerate(numbers):
            tile = [tiles[place]] if isinstance(tiles, list) else np.ascontiguousarray(tiles[..., place : place + 1])
            pictures[f"{name}:{number}"] = grid.grid(
                tile, colormap=params.colormap, margin=0, min_tile_px=SINGLE_TILE_PX
            )
    return pictures


def _rgb_tiles(kernels: NDArray[np.float32], how: str) -> list[Pixels]:
    """(h, w, 3, filters) → a colour tile a filter; the three channels of a filter share one range."""
    height, width, colours, count = kernels.shape
    flat = kernels.reshape(height, width * colours, count)
    levels = grid.normalise(flat, "shared" if how == "shared" else "standard" if how == "standard" else "minmax")
    return [np.ascontiguousarray(levels[..., index].reshape(height, width, colours)) for index in range(count)]
