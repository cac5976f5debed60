"""Where a map lies on the photograph, in pixels: a bright square on black, seen by a network that keeps every pixel."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from tests.checks import PNG, saved
from tests.conftest import Service, start_service

SIZES = {"square": (96, 96), "wide": (64, 96), "tall": (90, 50)}
RULES = ("stretch", "crop", "pad")
# Width and height: no side of the inputs divides them, so that every rule has something to round.
PHOTOGRAPHS = [(640, 427), (427, 640), (200, 300), (300, 200), (1501, 1000), (1000, 1501)]
GRADIENT = "saliency?method=gradient_x_input&clip=100"
OCCLUSION = "occlusion?patch=3&stride=1&value=zero&measure=logit_drop"
# In pixels of the photograph: 0.06 were measured.
MOST_PX = 0.1


def linear(height: int, width: int) -> Any:
    """Logit 0 is the mean of all pixels, logit 1 its negative; `conv` holds the grey image."""
    x = keras.Input((height, width, 3), name="image")
    conv = layers.Conv2D(2, 1, use_bias=False, name="conv")
    y = layers.GlobalAveragePooling2D(name="gap")(conv(x))
    conv.set_weights([np.array([[[[1, -1]] * 3]], np.float32) / 3])
    return keras.Model(x, y)


@pytest.fixture(scope="module")
def linear_nets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A network for each size and each rule, `square-crop` and the like."""
    folder = tmp_path_factory.mktemp("linear")
    for name, size in SIZES.items():
        for rule in RULES:
            own = folder / f"{name}-{rule}"
            own.mkdir()
            linear(*size).save(own / "linear.keras")
            spec = [
                f'id = "{own.name}"',
                'weights = "linear.keras"',
                'head = "logits"',
                "[input]",
                f'resize = "{rule}"',
            ]
            (own / "model.toml").write_text("\n".join([*spec, "[preprocessing]", 'mode = "rescale01"', ""]))
    running = start_service(tmp_path_factory.mktemp("linear-service"), models_dir=folder, preload="")
    yield running
    running.stop()


def bright_square(width: int, height: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A photograph (H, W, 3) uint8 and the centre (y, x) of its square, near the middle, where every rule looks."""
    shorter = min(width, height)
    side, top, left = shorter // 8, round(0.5 * height - 0.17 * shorter), round(0.5 * width + 0.06 * shorter)
    image = np.zeros((height, width, 3), np.uint8)
    image[top : top + side, left : left + side] = 255
    return image, np.array([top + side / 2, left + side / 2])


def centroid(picture: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """(y, x) of a grey picture, half-pixel centres."""
    weights = picture.astype(np.float64)
    rows, columns = np.arange(picture.shape[0]) + 0.5, np.arange(picture.shape[1]) + 0.5
    return np.array([weights.sum(axis=1) @ rows, weights.sum(axis=0) @ columns]) / weights.sum()


def grey_map(service: Service, model: str, path: str, image: np.ndarray[Any, Any], **query: str) -> Any:
    query = {"target": "0", "format": "png", "outputs": "heatmap", "colormap": "gray", **query}
    mark = "&" if "?" in path else "?"
    url = f"/v1/models/{model}/{path}{mark}{'&'.join(f'{name}={value}' for name, value in query.items())}"
    answer = service.client.post(url, content=saved(Image.fromarray(image)), headers=PNG)
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("L"))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("photograph", PHOTOGRAPHS)
def test_a_map_lies_where_the_square_is(
    linear_nets: Service, rule: str, size: str, photograph: tuple[int, int]
) -> None:
    image, centre = bright_square(*photograph)
    found = grey_map(linear_nets, f"{size}-{rule}", GRADIENT, image)
    assert found.shape == image.shape[:2]
    np.testing.assert_allclose(centroid(found), centre, rtol=0, atol=MOST_PX)


@pytest.mark.parametrize(
    ("path", "size", "rule"),
    [
        ("cam?layer=conv", "square", "crop"),
        ("cam?layer=conv", "wide", "pad"),
        (OCCLUSION, "tall", "crop"),
        (OCCLUSION, "tall", "pad"),
    ],
)
@pytest.mark.parametrize("photograph", [(640, 427), (300, 200)])
def test_whatever_the_method(
    linear_nets: Service, path: str, size: str, rule: str, photograph: tuple[int, int]
) -> None:
    image, centre = bright_square(*photograph)
    found = grey_map(linear_nets, f"{size}-{rule}", path, image)
    np.testing.assert_allclose(centroid(found), centre, rtol=0, atol=MOST_PX)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("photograph", [(640, 427), (1000, 1501)])
def test_at_the_inputs_size_the_photograph_lies_under_its_map(
    linear_nets: Service, rule: str, size: str, photograph: tuple[int, int]
) -> None:
    """In pixels of the input, of which one is up to 30 of the photograph."""
    image, _ = bright_square(*photograph)
    model = f"{size}-{rule}"
    own = grey_map(linear_nets, model, GRADIENT, image, size="input")
    under = grey_map(linear_nets, model, GRADIENT, image, size="input", outputs="overlay", alpha="0")
    assert own.shape == under.shape == SIZES[size]
    np.testing.assert_allclose(centroid(under), centroid(own), rtol=0, atol=0.02)
