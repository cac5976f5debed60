"""What a preset gives, what a caller changes, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from service.errors import InvalidParameter
from service.explainers.maximization import Maximization, MaximizationParams
from service.explainers.maximization.presets import CHOLLET, LUCID
from service.explainers.maximization.recipe import Recipe, preset_of, recipe_for


def params(**given: Any) -> MaximizationParams:
    return MaximizationParams.model_validate({"layer": "any", **given})


def recipe(size: tuple[int, int] = (180, 180), colours: int = 3, **given: Any) -> Recipe:
    return recipe_for(params(**given), size, colours)


def test_chollet() -> None:
    found = recipe()
    assert (found.preset, found.low, found.high, found.noise[0]) == ("chollet", 0, 255, 138)
    assert (found.optimizer, found.norm, found.step_size, found.steps) == ("normalized_gradient", "rms", 1, 40)
    assert (found.postprocess, found.strength, found.crop, found.moves, found.penalized) == (
        "standardize", 0.1, 0, False, False,
    )  # fmt: skip


def test_keras_io() -> None:
    found = recipe(preset="keras-io")
    assert (found.low, found.high, found.norm, found.step_size, found.steps) == (-1, 1, "l2", 10, 30)
    assert (found.border, found.strength, found.crop) == (2, 0.15, 25)
    assert recipe((64, 90), preset="keras-io").crop == 8


def test_keras_vis() -> None:
    found = recipe(preset="keras-vis")
    assert (found.optimizer, found.total_variation, found.lp, found.steps) == ("rmsprop", 10, 10, 200)
    assert found.best
    assert found.penalized


def test_lucid() -> None:
    found = recipe(preset="lucid")
    assert (found.optimizer, found.step_size, found.steps, found.squash) == ("adam", 0.05, 512, True)
    assert (found.pad, found.jitter, found.scale, found.rotate) == (12, 8, 0.1, 10)
    assert (found.parametrization, found.decorrelate, found.postprocess) == ("fourier", True, "none")
    assert found.moves


def test_what_the_caller_says_goes_before_the_preset() -> None:
    found = recipe(preset="lucid", steps=7, jitter=0, rotate=0, scale=0, pad=0, decorrelate=False, optimizer="rmsprop")
    assert (found.steps, found.moves, found.decorrelate, found.optimizer) == (7, False, False, "rmsprop")
    assert found.step_size == 0.05


def test_another_optimizer_has_a_step_of_its_own() -> None:
    assert recipe(preset="keras-io", optimizer="adam").step_size == 2 / 255
    assert recipe(preset="keras-io", optimizer="adam", step_size=3).step_size == 3


def test_the_preset_by_default() -> None:
    assert preset_of(params()) is CHOLLET
    assert preset_of(params(layer=None, target="3")) is LUCID
    assert Maximization.variant(params(preset="keras-vis")).name == "keras-vis"


def test_grey_images_have_nothing_to_decorrelate() -> None:
    assert not recipe(colours=1, preset="lucid").decorrelate
    with pytest.raises(InvalidParameter, match="images of three colours; this model's have 1"):
        recipe(colours=1, decorrelate=True)


def test_a_crop_leaves_something() -> None:
    assert recipe((20, 30), crop=9).crop == 9
    with pytest.raises(InvalidParameter, match="crop=10 leaves nothing of an image of 20×30 px"):
        recipe((20, 30), crop=10)


def test_what_took_effect_is_reported() -> None:
    said = recipe((24, 32), preset="keras-io", seed=5, frames=3).reported()
    assert said["size"] == [24, 32]
    assert set(said) < set(MaximizationParams.model_fields)
    assert None not in said.values()
    assert (said["preset"], said["crop"], said["seed"], said["frames"]) == ("keras-io", 3, 5, 3)


def test_an_animation_needs_frames() -> None:
    assert Maximization.for_outputs(params(), ("grid",)).frames == 0
    assert Maximization.for_outputs(params(), ("grid", "animation")).frames == 24
    assert Maximization.for_outputs(params(frames=5), ("animation",)).frames == 5


def test_an_image_is_wanted_to_start_from() -> None:
    assert Maximization.wants_image(params(init="image"))
    assert not Maximization.wants_image(params())


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        ({"size": "64"}, "size", (64, 64)),
        ({"size": "64,80"}, "size", (64, 80)),
        ({"size": 8}, "size", (8, 8)),
        ({"neuron": "3,4,12"}, "neuron", (3, 4, 12)),
        ({"neuron": "12"}, "neuron", (12,)),
        ({"neuron": 12}, "neuron", (12,)),
        ({"neuron": [3, 4, 12]}, "neuron", (3, 4, 12)),
        ({"direction": "1, -2.5"}, "direction", (1, -2.5)),
        ({"direction": [0.5, 1]}, "direction", (0.5, 1)),
        ({"layer": 3}, "layer", "3"),
        ({"channels": "0,4-6"}, "channels", (0, 4, 5, 6)),
    ],
)
def test_as_it_is_written(given: dict[str, Any], field: str, value: Any) -> None:
    assert getattr(params(**given), field) == value


@pytest.mark.parametrize(
    "given",
    [
        {"size": "7"},
        {"size": "64,2000"},
        {"size": "1,2,3"},
        {"neuron": "1,2"},
        {"neuron": "a"},
        {"neuron": True},
        {"direction": "1,x"},
        {"direction": "nan"},
        {"preset": "deepdream"},
        {"steps": 0},
        {"steps": 10_001},
        {"step_size": 0},
        {"rotate": 200},
        {"frames": 61},
        {"optimizer": "sgd"},
        {"grid": 3},
    ],
)
def test_what_cannot_be_read(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        params(**given)
