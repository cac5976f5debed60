"""ROAD: remove and debias. What is taken away is filled in from around, so that no hole tells where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.arrays import Floats
from service.explainers.evaluation.comparison import Comparison, Doubles, each_row
from service.explainers.evaluation.metric import Found, Work, metric

if TYPE_CHECKING:
    from service.explainers.base import Progress
    from service.explainers.evaluation.params import EvaluationParams

# The shares of the pixels that are removed: of the nine of the paper every second one.
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
# The deviation of the noise, as a share of the image's deviation.
NOISE = 0.01
# What a neighbour at a corner of a pixel counts, the half of what one beside it does.
CORNER = 1 / 12
TOLERANCE = 1e-6
MOST_ROUNDS = 5000
MOST_BLOCKS = 28


def _estimate(params: EvaluationParams, work: Work) -> int:
    return 2 * len(SHARES) * work.rows


@metric(
    "road",
    "Mean over five shares of the pixels, 10 % to 90 %, of half the difference between what is measured without the "
    "lowest and without the highest of them, where what is removed is filled in linearly from around, with a little "
    "noise.",
    "https://arxiv.org/abs/2202.00449",
    "10 forward a map, and a system of equations each",
    "Filled in from around, a small object vanishes but a texture may stay: a fall is there only where the network "
    "needed what cannot be guessed from its surroundings.",
    better="higher",
    unit="that of what is measured",
    estimate=_estimate,
    ranked=True,
)
def road(comparison: Comparison) -> Found:
    """Rong 2022, section 4, noisy linear imputation, in both orders; the one number of both is that of Gildenblat's
    ROADCombined. The arrays are (maps, 2, shares): without the highest, and without the lowest."""
    found = []
    for row, progress in each_row(comparison):
        measured = comparison.on(_imputed_images(comparison, row.order, progress))
        found.append(measured.reshape(2, len(SHARES)))
    values = [float((lowest_gone - highest_gone).mean() / 2) for highest_gone, lowest_gone in found]
    return Found(values, {"road": np.stack(found).astype(np.float32)})


def _imputed_images(comparison: Comparison, order: NDArray[np.int32], progress: Progress) -> Iterator[Floats]:
    batch = comparison.subject.image.batch
    draw = np.random.default_rng(comparison.params.seed)
    noise = (NOISE * batch.std(dtype=np.float64) * draw.standard_normal(batch.shape)).astype(np.float32)
    for turn, places in enumerate((order, order.size - 1 - order)):
        for step, share in enumerate(SHARES):
            progress(turn * len(SHARES) + step, 2 * len(SHARES))
            removed = places < round(share * order.size)
            image = imputed(batch[0], removed)
            image[removed] += noise[0][removed]
            yield image[None]


def imputed(image: Floats, removed: NDArray[np.bool_]) -> Floats:
    """(h, w, …) float32 with each pixel that is `removed` (h, w) the weighted mean of its neighbours, removed ones too:
    1/6 of those beside it and 1/12 of those at its corners, at the rim of those that there are.

    It is a system of equations, solved by conjugate gradients to a residual of 1e-6 of the image's range.
    """
    if not removed.any():
        return image.copy()
    if removed.all():
        return np.broadcast_to(image.mean(axis=(0, 1), dtype=np.float64), image.shape).astype(np.float32)
    planes = np.moveaxis(image.reshape(*image.shape[:2], -1), 2, 0).astype(np.float64)
    known = np.where(removed, 0.0, planes)
    weights = _neighbours(np.ones((1, *removed.shape)))[0]
    start = _spread(planes, removed)
    low, high = planes.min(), planes.max()
    solved = _solved(
        removed, weights, _neighbours(known) * removed, start * removed, TOLERANCE * max(high - low, 1e-30)
    )
    filled = np.where(removed, solved, planes)
    return np.ascontiguousarray(np.moveaxis(filled, 0, 2).reshape(image.shape), np.float32)


def _solved(removed: NDArray[np.bool_], weights: Doubles, given: Doubles, start: Doubles, enough: float) -> Doubles:
    """(planes, h, w): x with weights·x - neighbours(x) = `given` at what is removed, 0 elsewhere: conjugate gradients
    with two preconditioners added up: each pixel's own weight, and the equations of blocks of pixels that move as one.
    """
    of_blocks = _blocks(removed, weights)

    def applied(x: Doubles) -> Doubles:
        return np.asarray((weights * x - _neighbours(x)) * removed)

    def scaled(residual: Doubles) -> Doubles:
        return np.asarray(residual / weights + of_blocks(residual) * removed)

    x = start
    residual = given - applied(x)
    direction = towards = scaled(residual)
    energy = (residual * towards).sum(axis=(1, 2), keepdims=True)
    for _ in range(MOST_ROUNDS):
        if np.abs(residual).max() <= enough:
            break
        along = applied(direction)
        step = energy / np.maximum((direction * along).sum(axis=(1, 2), keepdims=True), 1e-300)
        x = x + step * direction
        residual = residual - step * along
        towards = scaled(residual)
        before, energy = energy, (residual * towards).sum(axis=(1, 2), keepdims=True)
        direction = towards + energy / np.maximum(before, 1e-300) * direction
    return x


def _blocks(removed: NDArray[np.bool_], weights: Doubles) -> Callable[[Doubles], Doubles]:
    """Solves the equations of square blocks, at most 28 along a side, in each of which all removed pixels change alike:
    a residual (planes, h, w) → what each block is to change by (planes, h, w)."""
    side = -(-max(removed.shape) // MOST_BLOCKS)
    rows, columns = (np.arange(size) // side for size in removed.shape)
    block = rows[:, None] * (columns[-1] + 1) + columns
    count = int(block[-1, -1]) + 1
    matrix = np.zeros(count * count)
    matrix[:: count + 1] = np.bincount(block.ravel(), (weights * removed).ravel(), count)
    height, width = removed.shape
    for down, across, weight in ((0, 1, 2 * CORNER), (1, 0, 2 * CORNER), (1, 1, CORNER), (1, -1, CORNER)):
        here = slice(0, height - down), slice(max(0, -across), width - max(0, across))
        there = slice(down, height), slice(max(0, across), width - max(0, -across))
        both = removed[here] & removed[there]
        one, other = block[here][both], block[there][both]
        matrix -= (
            np.bincount(np.concatenate((one * count + other, other * count + one)), minlength=count * count) * weight
        )
    # A block without removed pixels has no equation.
    matrix[:: count + 1] += matrix[:: count + 1] == 0
    inverse = np.linalg.inv(matrix.reshape(count, count))

    def solved(residual: Doubles) -> Doubles:
        starts = np.arange(0, height, side), np.arange(0, width, side)
        sums = np.add.reduceat(np.add.reduceat(residual, starts[0], axis=1), starts[1], axis=2)
        found = (inverse @ sums.reshape(len(residual), count).T).T
        return np.asarray(found[:, block])

    return solved


def _neighbours(x: Doubles) -> Doubles:
    """(planes, h, w): the weighted sum of the eight neighbours of each pixel, nothing beyond the rim."""
    down = 2 * x
    down[:, 1:] += x[:, :-1]
    down[:, :-1] += x[:, 1:]
    across = 2 * down
    across[:, :, 1:] += down[:, :, :-1]
    across[:, :, :-1] += down[:, :, 1:]
    # [1 2 1] both ways gives 1 to corners, 2 to those beside, and 4 to the pixel itself.
    return np.asarray((across - 4 * x) * CORNER)


def _spread(planes: Doubles, removed: NDArray[np.bool_]) -> Doubles:
    """A first guess: each pixel that is removed has the mean of what is known in the smallest square block around it
    that holds something, of the sides 2, 4, 8, …"""
    counts, sums = (~removed).astype(np.float64)[None], np.where(removed, 0.0, planes)
    found, missing = sums.copy(), removed.copy()
    side = 1
    while missing.any():
        side *= 2
        counts, sums = _halved(counts), _halved(sums)
        rows, columns = (np.arange(size) // side for size in removed.shape)
        there = counts[0][rows[:, None], columns]
        now = missing & (there > 0)
        means = (sums / np.maximum(counts, 1))[:, rows[:, None], columns]
        found[:, now] = means[:, now]
        missing &= ~now
    return found


def _halved(x: Doubles) -> Doubles:
    """(planes, h, w) → sums of blocks of 2×2."""
    padded = np.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2)))
    return np.asarray(padded[:, ::2, ::2] + padded[:, 1::2, ::2] + padded[:, ::2, 1::2] + padded[:, 1::2, 1::2])
