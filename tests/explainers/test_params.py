"""The text forms of parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from service.explainers.activations import ActivationParams
from service.explainers.cam import CamParams
from service.explainers.kernels import KernelParams
from service.explainers.params import Indices, LayerNames, TileParams, written_beyond


class Both(BaseModel):
    indices: Indices = ()
    names: LayerNames = ()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", (0,)),
        ("0,4,18", (0, 4, 18)),
        (" 3 , 1 ", (3, 1)),
        ("0-3", (0, 1, 2, 3)),
        ("7,0-2,5-5", (7, 0, 1, 2, 5)),
        (5, (5,)),
        ([0, 4], (0, 4)),
        (["0-1", 3], (0, 1, 3)),
        ((0, 2), (0, 2)),
        ("0-4095", tuple(range(4096))),
    ],
)
def test_indices(value: Any, expected: tuple[int, ...]) -> None:
    assert Both(indices=value).indices == expected


@pytest.mark.parametrize(
    "value",
    ["a", "-1", "1.5", "3-1", "0-4096", "0-4095,1", "1-", "²", "0-9999999", [True], [None], 1.5, True, {}, "1;2"],
)
def test_what_is_no_index(value: Any) -> None:
    with pytest.raises(ValidationError):
        Both(indices=value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("conv2d", ("conv2d",)),
        ("conv2d, 3 ,backbone/conv1", ("conv2d", "3", "backbone/conv1")),
        ("0-3", ("0", "1", "2", "3")),
        ("conv-1,2-3", ("conv-1", "2", "3")),
        ("-1", ("-1",)),
        (3, ("3",)),
        ([0, "conv:linear"], ("0", "conv:linear")),
        ("conv1_1-2", ("conv1_1-2",)),
    ],
)
def test_layer_names(value: Any, expected: tuple[str, ...]) -> None:
    assert Both(names=value).names == expected


def test_seven_is_within_the_range() -> None:
    assert ActivationParams(layers="0-7").layers == tuple(str(index) for index in range(8))


@pytest.mark.parametrize("values", [{"layers": "0-64"}, {"layers": [None]}, {"per_row": 0}, {"channels": "x"}])
def test_what_activations_do_not_take(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ActivationParams.model_validate(values)


def test_defaults() -> None:
    params = CamParams()
    assert (params.target, params.layer, params.alpha, params.colormap, params.size) == (
        "top1",
        None,
        0.4,
        "jet",
        "original",
    )
    tiles = TileParams()
    assert (tiles.channels, tiles.view, tiles.per_row, tiles.normalize, tiles.colormap) == (
        None,
        "grid",
        16,
        "standard",
        "viridis",
    )


@pytest.mark.parametrize(
    "values",
    [
        {"alpha": float("nan")},
        {"alpha": 1.1},
        {"alpha": -0.1},
        {"alpha": "inf"},
        {"colormap": "rainbow"},
        {"size": "huge"},
        {"layre": "x"},
        {"target": "x" * 301},
        {"layer": "x" * 301},
        {"method": "gradcam42"},
    ],
)
def test_what_cam_does_not_take(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CamParams.model_validate(values)


def test_integers_name_layers_and_targets() -> None:
    params = CamParams.model_validate({"target": 386, "layer": -1})
    assert (params.target, params.layer) == ("386", "-1")


def test_filters_are_the_channels_of_kernels() -> None:
    assert KernelParams.model_validate({"layer": 0, "filters": "1-2"}).channels == (1, 2)
    for value in ("x", "-1", "rg", "1,2"):
        with pytest.raises(ValidationError):
            KernelParams.model_validate({"layer": "0", "input_channel": value})


def test_frozen() -> None:
    with pytest.raises(ValidationError):
        CamParams().alpha = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("indices", "count", "written"),
    [
        (range(100), 32, "0-99"), ((32,), 32, "32"), ((0, 4, 99), 32, "99"), ((31, 32, 5, 40), 32, "31-32, 40"),
        ((0, 31), 32, ""), ((), 0, ""),
    ],
)  # fmt: skip
def test_what_is_beyond_is_written_as_it_was(indices: Sequence[int], count: int, written: str) -> None:
    assert written_beyond(indices, count) == written
