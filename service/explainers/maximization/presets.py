"""The recipes, as their authors published them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from service.explainers.maximization.optimizers import OptimizerName
from service.explainers.variants import Variant

_STEPS = "1 forward, 1 backward a step and image"
REDIRECTED_STEPS = 16
_REDIRECTED = (
    "Unlike the author's, an image without any gradient at its start, of a dead filter, climbs for its first "
    f"{REDIRECTED_STEPS} steps by what its ReLUs would not let through."
)


@dataclass(frozen=True, kw_only=True)
class Preset(Variant):
    """One recipe, as its author published it.

    Values of the image run from `low` to `high`; with `squash` a sigmoid keeps them there.

    `noise` is the mean and deviation of what the ascent starts from, in front of the sigmoid; `norm` what gradients
    are divided by; `other_step` the length of a step for another optimizer than the recipe's; `best` keeps the image
    of the best step, not the last one.
    """

    low: float
    high: float
    noise: tuple[float, float]
    steps: int
    step_size: float
    other_step: float
    optimizer: OptimizerName = "normalized_gradient"
    norm: Literal["rms", "l2"] = "rms"
    squash: bool = False
    border: int = 0
    total_variation: float = 0.0
    lp: float = 0.0
    jitter: int = 0
    rotate: float = 0.0
    scale: float = 0.0
    pad: int = 0
    parametrization: Literal["pixel", "fourier"] = "pixel"
    decorrelate: bool = False
    best: bool = False
    postprocess: Literal["standardize", "none"] = "standardize"
    strength: float = 0.1
    crop: int = 0


CHOLLET = Preset(
    "chollet",
    "x += g/rms(g), from noise about mid grey, 40 steps, nothing to make the image look natural.",
    "https://www.manning.com/books/deep-learning-with-python",
    _STEPS,
    f"Shows what excites the filter most, high frequencies included, not what excites it in photographs. {_REDIRECTED}",
    low=0,
    high=255,
    noise=(138, 20 / 12**0.5),
    steps=40,
    step_size=1,
    other_step=1,
)
KERAS_IO = Preset(
    "keras-io",
    "x += 10·g/|g|, from weak noise, 30 steps, without the two outermost cells of the map.",
    "https://keras.io/examples/vision/visualizing_what_convnets_learn/",
    _STEPS,
    f"The length of a step is that of the whole image, so larger images change less a pixel. {_REDIRECTED}",
    low=-1,
    high=1,
    noise=(0, 0.25 / 12**0.5),
    steps=30,
    step_size=10,
    other_step=2 / 255,
    norm="l2",
    border=2,
    strength=0.15,
    crop=25,
)
KERAS_VIS = Preset(
    "keras-vis",
    "RMSprop on g/|g|, less 10 times the total variation and the L6 norm a value, 200 steps; the best image.",
    "https://github.com/raghakot/keras-vis",
    _STEPS,
    "The penalties are in squared levels: for a target of small values they outweigh it. Tune their weights. "
    f"{_REDIRECTED}",
    low=0,
    high=255,
    noise=(127.5, 12.75),
    steps=200,
    step_size=1,
    other_step=1,
    optimizer="rmsprop",
    total_variation=10,
    lp=10,
    best=True,
)
LUCID = Preset(
    "lucid",
    "Adam on Fourier coefficients and uncorrelated colours; the image is moved, turned and scaled at random.",
    "https://distill.pub/2017/feature-visualization/",
    f"{_STEPS}, 512 steps",
    "Looks natural because it is made to: the prior is ours, only the motif is the network's. An image without any "
    f"gradient at its start climbs for its first {REDIRECTED_STEPS} steps by what its ReLUs would not let through.",
    low=0,
    high=1,
    noise=(0, 0.01),
    steps=512,
    step_size=0.05,
    other_step=0.05,
    optimizer="adam",
    squash=True,
    jitter=8,
    rotate=10,
    scale=0.1,
    pad=12,
    parametrization="fourier",
    decorrelate=True,
    postprocess="none",
)
VARIANTS = (CHOLLET, KERAS_IO, KERAS_VIS, LUCID)
# The crop of keras-io is for images of this side.
CROP_SIDE_PX = 180
