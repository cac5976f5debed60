"""The parts of an image that are kept or covered: cells of a grid, or superpixels."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.arrays import Floats
from service.errors import InvalidParameter, MethodNotValid
from service.explainers.planes import at_size, unpacked

if TYPE_CHECKING:
    from service.explainers.perturbation.params import PerturbationParams
    from service.models.graph.preprocess import NetworkInput

Labels = NDArray[np.int32]
USUAL_CELLS = (8, 8)
MAX_SEGMENTS = 1024
# As LIME calls quickshift for photographs of 224 px; the kernel's size is in px and grows with the image.
_KERNEL_PX, _MAX_DISTANCE, _RATIO = 4 / 224, 200, 0.2


def check_segments(image: NetworkInput, params: PerturbationParams) -> None:
    """Raises InvalidParameter for cells that do not fit, MethodNotValid where scikit-image is missing."""
    if params.segment_map is not None:
        _require_several(_sent(image, params.segment_map), "segment_map")
    elif params.segments in (None, "grid"):
        require_cells(image.size, params.cells or _fitting(image.size))
    elif find_spec("skimage") is None:
        raise MethodNotValid(
            f"segments={params.segments} needs scikit-image, which is not installed on the server; its operator can "
            "install it with pip install 'kerascope[segments]'. segments=grid needs nothing"
        )


def most_segments(image: NetworkInput, params: PerturbationParams) -> int:
    """Counts the segments there may be at most, before any is made."""
    if params.segment_map is not None:
        return MAX_SEGMENTS
    if params.segments in (None, "grid"):
        rows, columns = params.cells or _fitting(image.size)
        return rows * columns
    return params.segment_count if params.segments == "slic" else MAX_SEGMENTS


def require_cells(size: tuple[int, int], cells: tuple[int, int]) -> None:
    """Raises InvalidParameter for more rows or columns of cells than of pixels, for one cell, or for too many."""
    if cells[0] > size[0] or cells[1] > size[1]:
        raise InvalidParameter(
            f"{cells[0]}×{cells[1]} cells do not fit the model's input of {size[0]}×{size[1]} px; ask for fewer 'cells'"
        )
    if not 2 <= cells[0] * cells[1] <= MAX_SEGMENTS:
        raise InvalidParameter(f"{cells[0]}×{cells[1]} cells: there must be 2 to {MAX_SEGMENTS}")


def segments_of(image: NetworkInput, params: PerturbationParams) -> Labels:
    """(h, w) int32: the segment of each pixel, 0 and up without gaps. Raises InvalidParameter for only one."""
    if params.segment_map is not None:
        return _require_several(_sent(image, params.segment_map), "segment_map")
    if params.segments in (None, "grid"):
        return grid_labels(image.size, params.cells or _fitting(image.size))
    return _require_several(_superpixels(_levels(image.batch[0]), params), f"segments={params.segments}")


def _require_several(labels: NDArray[np.integer], what: str) -> Labels:
    """The labels as 0 and up without gaps. Raises InvalidParameter for one segment, or for too many."""
    _, places = np.unique(labels, return_inverse=True)
    found = np.asarray(places.reshape(labels.shape), np.int32)
    count = int(found.max()) + 1
    if not 2 <= count <= MAX_SEGMENTS:
        raise InvalidParameter(
            f"{what} has {count} segments at the model's input of {labels.shape[0]}×{labels.shape[1]} px, and there "
            f"must be 2 to {MAX_SEGMENTS}; segments=grid always has"
        )
    return found


def _sent(image: NetworkInput, segment_map: str) -> NDArray[np.integer]:
    return at_size(unpacked(segment_map), image.size)


def grid_labels(size: tuple[int, int], cells: tuple[int, int]) -> Labels:
    """(h, w) int32: the cell of each pixel, row by row; cells are as equal as whole pixels allow."""
    row, column = (np.arange(side) * count // side for side, count in zip(size, cells, strict=True))
    return np.asarray(row[:, None] * cells[1] + column, np.int32)


def _fitting(size: tuple[int, int]) -> tuple[int, int]:
    return min(USUAL_CELLS[0], size[0]), min(USUAL_CELLS[1], size[1])


def _superpixels(levels: Floats, params: PerturbationParams) -> NDArray[np.int64]:
    from skimage.segmentation import quickshift, slic

    colour = levels.shape[2] == 3
    if params.segments == "slic":
        # It brings everything to 0..1, and colours to the 0..100 of Lab, which its compactness is meant for.
        compactness = params.compactness / (1 if colour else 100)
        return np.asarray(slic(levels, params.segment_count, compactness, convert2lab=colour, start_label=0))
    # Quickshift measures distances between three colours.
    three = levels if colour else np.repeat(levels.mean(axis=2, keepdims=True), 3, axis=2)
    kernel = max(1.0, _KERNEL_PX * max(levels.shape[:2]))
    found = quickshift(three.astype(np.float64), _RATIO, kernel, _MAX_DISTANCE, convert2lab=colour, rng=0)
    return np.asarray(found)


def _levels(values: Floats) -> Floats:
    """The input (h, w, c) or (h, w) spread over 0..1, or over the 0..100 of Lab where it has not the three channels
    that are taken for colours, as (h, w, c).

    What preprocessing adds and multiplies is undone for each channel; a constant channel is 0.
    """
    planes = values if values.ndim == 3 else values[..., None]
    low, high = planes.min(axis=(0, 1)), planes.max(axis=(0, 1))
    top = 1 if planes.shape[2] == 3 else 100
    return np.asarray(top * (planes - low) / np.where(high > low, high - low, 1), np.float32)
