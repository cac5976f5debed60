"""What is done in the end: the preset, with all that the caller says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from service.errors import InvalidParameter
from service.explainers.maximization.optimizers import OptimizerName
from service.explainers.maximization.params import MaximizationParams
from service.explainers.maximization.presets import CHOLLET, CROP_SIDE_PX, LUCID, VARIANTS, Preset

_OF_THE_PRESET = ("low", "high", "noise", "norm", "squash", "best")
_OF_EITHER = (
    "steps",
    "optimizer",
    "border",
    "total_variation",
    "lp",
    "jitter",
    "rotate",
    "scale",
    "pad",
    "parametrization",
    "postprocess",
    "strength",
)


@dataclass(frozen=True)
class Recipe:
    """Everything about an ascent but what is maximized. `size` is (height, width) in px, `colours` those of the image.

    The first block is the preset's alone, see `Preset`; the second as in `MaximizationParams`.
    """

    preset: str
    size: tuple[int, int]
    colours: int
    low: float
    high: float
    noise: tuple[float, float]
    norm: Literal["rms", "l2"]
    squash: bool
    best: bool

    steps: int
    step_size: float
    optimizer: OptimizerName
    init: Literal["noise", "gray", "image"]
    border: int
    total_variation: float
    l2: float
    lp: float
    jitter: int
    rotate: float
    scale: float
    pad: int
    parametrization: Literal["pixel", "fourier"]
    decorrelate: bool
    seed: int
    postprocess: Literal["standardize", "none"]
    strength: float
    crop: int
    frames: int

    @property
    def moves(self) -> bool:
        """Whether the image is moved before each step."""
        return bool(self.jitter or self.rotate or self.scale or self.pad)

    @property
    def penalized(self) -> bool:
        return bool(self.total_variation or self.l2 or self.lp)

    @property
    def middle(self) -> float:
        """The value of mid grey."""
        return (self.low + self.high) / 2

    def reported(self) -> dict[str, object]:
        """The parameters as they took effect, as JSON values."""
        hidden = (*_OF_THE_PRESET, "colours")
        return {name: value for name, value in asdict(self).items() if name not in hidden} | {"size": list(self.size)}


def preset_of(params: MaximizationParams) -> Preset:
    """The preset asked for, else lucid for targets and chollet for layers."""
    usual = CHOLLET if params.target is None else LUCID
    return next((preset for preset in VARIANTS if preset.name == params.preset), usual)


def recipe_for(params: MaximizationParams, size: tuple[int, int], colours: int) -> Recipe:
    """Raises InvalidParameter for what does not fit the image."""
    preset = preset_of(params)

    def either(parameter: str) -> Any:
        given = getattr(params, parameter)
        return getattr(preset, parameter) if given is None else given

    own = {parameter: getattr(preset, parameter) for parameter in _OF_THE_PRESET}
    chosen: Mapping[str, Any] = {parameter: either(parameter) for parameter in _OF_EITHER}
    usual_step = preset.step_size if chosen["optimizer"] == preset.optimizer else preset.other_step
    if params.decorrelate and colours != 3:
        raise InvalidParameter(f"decorrelate is for images of three colours; this model's have {colours}")
    crop = min(preset.crop, preset.crop * min(size) // CROP_SIDE_PX) if params.crop is None else params.crop
    if 2 * crop >= min(size):
        raise InvalidParameter(f"crop={crop} leaves nothing of an image of {size[0]}×{size[1]} px")
    return Recipe(
        preset=preset.name,
        size=size,
        colours=colours,
        step_size=usual_step if params.step_size is None else params.step_size,
        init=params.init or "noise",
        l2=params.l2 or 0.0,
        decorrelate=colours == 3 and bool(either("decorrelate")),
        seed=params.seed,
        crop=crop,
        frames=params.frames,
        **own,
        **chosen,
    )
