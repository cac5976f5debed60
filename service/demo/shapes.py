"""Draws the pictures of the shapes demo: one circle, square or triangle each, from a seed.

A shape is a polygon drawn at eight times the size and shrunk by area, so its edges are anti-aliased. numpy's PCG64 and
OpenCV's integer drawing give the same pictures on every machine.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np

KINDS = ("circle", "square", "triangle")
SIZE_PX = 28
OVERSAMPLING = 8
MARGIN_PX = 1.5
CIRCUMRADIUS_PX = {"circle": (4.5, 11.0), "square": (6.0, 12.5), "triangle": (7.0, 12.5)}
LINE_PX = (1.3, 2.6)
CONTRAST = 0.3
NOISE_LEVELS = (0.0, 7.0)

Colour = tuple[float, float, float]


def draw(kind: str, rng: np.random.Generator) -> np.ndarray:
    """One picture of a shape: (28, 28, 3) uint8, RGB.

    Position, size, rotation, colours, filled or outlined, line width, background and noise vary with `rng`.
    Raises ValueError if `kind` is not in KINDS.
    """
    corners = outline(kind, rng)
    background, ink, other = _palette(rng)
    picture = _background(background, rng)
    line_px = rng.uniform(*LINE_PX)
    match rng.choice(["filled", "outlined", "both"], p=[0.5, 0.25, 0.25]):
        case "filled":
            picture = _paint(picture, ink, _inside(corners))
        case "outlined":
            picture = _paint(picture, ink, _along(corners, line_px))
        case _:
            picture = _paint(picture, other, _inside(corners))
            picture = _paint(picture, ink, _along(corners, line_px))
    noise = rng.normal(0, rng.uniform(*NOISE_LEVELS), picture.shape)
    return np.asarray((255 * picture + noise).clip(0, 255).round(), np.uint8)


def outline(kind: str, rng: np.random.Generator) -> np.ndarray:
    """The corners of a shape: (n, 2) float64, x and y in pixels of the picture, wholly inside it.

    A circle has 72 corners, a square is regular, a triangle has angles of 35 to 85 degrees.
    Raises ValueError if `kind` is not in KINDS.
    """
    match kind:
        case "circle":
            angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
        case "square":
            angles = np.array([0.0, 0.5, 1.0, 1.5]) * np.pi
        case "triangle":
            angles = np.array([0, 2, 4]) * np.pi / 3 + np.radians(rng.uniform(-25, 25, 3))
        case _:
            raise ValueError(f"{kind!r} is not one of {', '.join(KINDS)}")
    radius = rng.uniform(*CIRCUMRADIUS_PX[kind])
    angles = angles + rng.uniform(0, 2 * np.pi)
    corners = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    lowest, highest = MARGIN_PX - corners.min(axis=0), SIZE_PX - MARGIN_PX - corners.max(axis=0)
    return np.asarray(corners + rng.uniform(lowest, highest))


def dataset(count: int, seed: int | Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """`count` pictures in random order, the classes as equally frequent as `count` allows.

    Returns images (count, 28, 28, 3) uint8 and labels (count,) int64, indices into KINDS.
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % len(KINDS))
    images = np.empty((count, SIZE_PX, SIZE_PX, 3), np.uint8)
    for index, label in enumerate(labels):
        images[index] = draw(KINDS[label], rng)
    return images, labels


def _palette(rng: np.random.Generator) -> tuple[Colour, Colour, Colour]:
    """Background, ink and a second ink, RGB in [0, 1]; both inks are apart from the background in luminance."""
    background = colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(0, 0.6), rng.uniform(0.08, 1))
    inks: list[Colour] = []
    while len(inks) < 2:
        ink = colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(0.3, 1), rng.uniform(0.2, 1))
        if abs(_luminance(ink) - _luminance(background)) >= CONTRAST:
            inks.append(ink)
    return background, inks[0], inks[1]


def _luminance(colour: Colour) -> float:
    return float(np.dot(colour, (0.299, 0.587, 0.114)))


def _background(colour: Colour, rng: np.random.Generator) -> np.ndarray:
    """A picture of `colour` that gets a little lighter in a random direction: (28, 28, 3) float64 in [0, 1]."""
    along = np.linspace(-0.5, 0.5, SIZE_PX)
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.12)
    slope = strength * (np.cos(angle) * along[None, :] + np.sin(angle) * along[:, None])
    return np.asarray(np.clip(np.array(colour) + slope[..., None], 0, 1))


def _inside(corners: np.ndarray) -> np.ndarray:
    """How much of each pixel the polygon covers: (28, 28) float64 in [0, 1]."""
    canvas = np.zeros((SIZE_PX * OVERSAMPLING,) * 2, np.uint8)
    cv2.fillPoly(canvas, [_enlarge(corners)], 255)
    return _shrink(canvas)


def _along(corners: np.ndarray, line_px: float) -> np.ndarray:
    """How much of each pixel the polygon's edges cover, drawn `line_px` wide: (28, 28) float64 in [0, 1]."""
    canvas = np.zeros((SIZE_PX * OVERSAMPLING,) * 2, np.uint8)
    cv2.polylines(canvas, [_enlarge(corners)], True, 255, round(line_px * OVERSAMPLING))
    return _shrink(canvas)


def _enlarge(corners: np.ndarray) -> np.ndarray:
    return np.asarray((corners * OVERSAMPLING).round(), np.int32)


def _shrink(canvas: np.ndarray) -> np.ndarray:
    return cv2.resize(canvas, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA) / 255.0


def _paint(picture: np.ndarray, colour: Colour, coverage: np.ndarray) -> np.ndarray:
    return np.asarray(picture + coverage[..., None] * (np.array(colour) - picture))
