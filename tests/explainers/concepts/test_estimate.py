"""What a call is said to take: crops up to the layer, pictures, and masks from the layer on."""

from __future__ import annotations

from typing import Any

import keras
import nets
import numpy as np
import pytest
from keras import layers

from service.errors import InvalidParameter
from service.explainers import BY_NAME
from service.explainers.base import Progress
from service.explainers.picture_sets import PictureSet
from service.explainers.subject import Subject
from service.explainers.targets import class_targets
from service.models.loaded import LoadedModel

SIDE = 64
PICTURES = {"images": 6, "concept": 10, "random": 20}


@pytest.fixture(scope="module")
def row() -> LoadedModel:
    """Four convolutions of the same arithmetic; the head is next to nothing."""
    image = x = keras.Input((SIDE, SIDE, 32), name="image")
    for name in ("first", "second", "third", "fourth"):
        x = layers.Conv2D(32, 3, padding="same", use_bias=False, name=name)(x)
    pooled = layers.GlobalAveragePooling2D(name="gap")(x)
    return nets.loaded(keras.Model(image, layers.Dense(3, activation="softmax", name="scores")(pooled)))


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        # Crops of 32 px lie 25 px apart: 2 × 2 a picture, each up to the layer; 10 draws of 4 + 2 masks behind it.
        ({"concepts": 4, "patch": 32, "draws": 10, "layer": "second"}, 6 * (4 / 2 + 1 + 60 / 2)),
        ({"concepts": 4, "patch": 32, "draws": 10, "layer": "first"}, 6 * (4 / 4 + 1 + 60 * 3 / 4)),
        ({"method": "tcav", "layer": "second"}, 30 + 6 * (2 + 2 / 2)),
        ({"method": "tcav"}, 30 + 6 * 2),
    ],
)
def test_of_a_row_of_equal_convolutions(row: LoadedModel, params: dict[str, Any], expected: float) -> None:
    image = nets.network_input(row, np.zeros((1, SIDE, SIDE, 32), np.float32))
    sets = {name: nets.picture_set(np.zeros((n, SIDE, SIDE, 32), np.float32)) for name, n in PICTURES.items()}
    explainer = BY_NAME["concepts"]
    subject = Subject(row.backend, row.graph, image, class_targets(row.head), Progress(), sets=sets)
    assert explainer.passes(subject, explainer.Params.model_validate(params)) == pytest.approx(
        expected, rel=0.08, abs=1
    )


@pytest.mark.parametrize("params", [{"concepts": 32}, {"method": "tcav"}])
def test_what_is_too_much_is_refused(row: LoadedModel, params: dict[str, Any]) -> None:
    """By its pictures, before any is looked at."""
    image = nets.network_input(row, np.zeros((1, SIDE, SIDE, 32), np.float32))
    few = nets.picture_set(np.zeros((1, SIDE, SIDE, 32), np.float32))
    many = {name: PictureSet(tuple(map(str, range(500))), few.pixels, few.as_input) for name in PICTURES}
    explainer = BY_NAME["concepts"]
    subject = Subject(row.backend, row.graph, image, class_targets(row.head), Progress(), sets=many)
    with pytest.raises(InvalidParameter, match="for one call"):
        explainer.check(subject, explainer.Params.model_validate({"layer": "first", **params}))
