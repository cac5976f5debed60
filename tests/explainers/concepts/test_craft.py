"""CRAFT beside NumPy and Keras: activations of crops, shares, and indices, on small networks and on two real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import nets
import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import nnls as scipy_nnls

from service.errors import InvalidParameter, MethodNotValid, UnknownLayer
from service.explainers.base import Progress
from service.models.files.spec import ModelSpec, Preprocessing
from service.models.loaded import LoadedModel, load_model
from tests.explainers.concepts.pictures import blobs

MOBILENET = "stm32zoo__mobilenet_v1_0.25_224_imagenet.h5"


def craft(model: LoadedModel, pictures: np.ndarray, **params: Any) -> Any:
    return nets.explain(model, "concepts", pictures[:1], sets={"images": pictures}, **params)


@pytest.fixture(scope="module")
def pencil() -> LoadedModel:
    return nets.loaded(nets.pencil())


def test_on_paper(pencil: LoadedModel) -> None:
    """Crops of 1 px: the two parts of the pencil net are its two channels, as every pixel has one sign. Logit 1 is
    12·mean(A_1) + 1, so the second channel has all of its variance."""
    pictures = np.concatenate([nets.IMAGE, -nets.IMAGE, 2 * nets.IMAGE])
    found = craft(pencil, pictures, concepts=2, patch=1, target="1")
    np.testing.assert_allclose(found.arrays["concepts"], [[0, 1], [1, 0]], atol=1e-6)
    np.testing.assert_allclose(found.arrays["importance"], [1, 0], atol=0.35)
    assert found.arrays["importance"][1] == 0
    expected = np.stack([np.maximum(-pictures[..., 0], 0), np.maximum(pictures[..., 0], 0)], axis=-1)
    np.testing.assert_allclose(found.arrays["heatmaps"], expected, atol=1e-5)
    # The pictures with most of the negative part: the image turned round has 7, twice the image 8, the image 4.
    assert found.arrays["strongest_places"].tolist() == [[2, 1, 0], [2, 0, 1]]
    assert found.parameters["reconstruction_error"] < 1e-6
    assert found.targets.names == ("1",)
    np.testing.assert_allclose(found.scores, np.mean([nets.LOGITS, nets.run_logits(-1), nets.run_logits(2)], axis=0))


def test_the_indices_of_a_linear_head_are_known(pencil: LoadedModel) -> None:
    """Logit 3 is -6·mean(A_0) - 6·mean(A_1): S_j = m_j² / Σ m² of a picture, and their mean over the pictures."""
    pictures = np.concatenate([nets.IMAGE, 2 * nets.IMAGE])
    found = craft(pencil, pictures, concepts=2, patch=1, target="3", draws=512)
    shares = np.array([7.0, 4.0]) ** 2
    np.testing.assert_allclose(found.arrays["importance"], shares / shares.sum(), atol=0.12)


def test_a_picture_goes_round_the_layer() -> None:
    """Score 0 is mean(A_0) + mean(x): what goes round the layer is the picture's own, so A_0 has all of the variance
    that there is."""
    pictures = np.concatenate([nets.IMAGE, 2 * nets.IMAGE])
    found = craft(nets.loaded(nets.bypassed()), pictures, concepts=2, patch=1, target="0", layer="conv", draws=512)
    np.testing.assert_allclose(found.arrays["importance"], [1, 0], atol=0.12)


def maps_of(model: Any, layer: str) -> Any:
    library = __import__("tf_keras") if "tf_keras" in type(model).__module__ else keras
    return library.Model(model.inputs[0], model.get_layer(layer).output)


def expected_crops(maps: Any, pictures: np.ndarray, side: int) -> np.ndarray:
    """Mean positive activations of every crop, by tf and the model itself."""
    stride, size = max(1, int(0.8 * side)), pictures.shape[1:3]
    crops = [
        picture[top : top + side, left : left + side]
        for picture in pictures
        for top in range(0, size[0] - side + 1, stride)
        for left in range(0, size[1] - side + 1, stride)
    ]
    enlarged = tf.image.resize(np.stack(crops), size)
    return np.maximum(np.asarray(maps(enlarged, training=False)), 0).astype(np.float64)


def check_beside_keras(model: LoadedModel, layer: str, pictures: np.ndarray, **params: Any) -> None:
    """Factors come near the crops' activations, maps are the cells' by SciPy, and the indices are Jansen's of a head
    that Keras computes."""
    found = craft(model, pictures, layer=layer, seed=3, draws=4, **params)
    arrays, count = found.arrays, found.parameters["concepts"] if "concepts" in found.parameters else params["concepts"]
    maps = maps_of(model.keras_model, layer)
    crops = expected_crops(maps, pictures, found.parameters["patch"]).mean(axis=(1, 2))
    parts = arrays["concepts"].astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(parts, axis=1), 1, atol=1e-5)
    shares = np.stack([scipy_nnls(parts.T, row)[0] for row in crops])
    error = np.linalg.norm(crops - shares @ parts) / np.linalg.norm(crops)
    assert error == pytest.approx(found.parameters["reconstruction_error"], abs=5e-3)
    values = np.maximum(np.asarray(maps(pictures, training=False)), 0).astype(np.float64)
    cells = values.reshape(-1, values.shape[-1])
    places = np.random.default_rng(0).permutation(len(cells))[:60]
    mapped = arrays["heatmaps"].reshape(-1, count)
    largest = mapped.max()
    expected = np.stack([scipy_nnls(parts.T, cells[place])[0] for place in places])
    np.testing.assert_allclose(mapped[places] / largest, expected / largest, atol=1e-4)
    for concept in range(count):
        best = found.statistics["concepts"][concept]["examples"][0]
        assert best in {f"{place}.png" for place in range(len(pictures))}


def test_a_random_network_of_either_keras() -> None:
    pictures = np.random.default_rng(0).normal(size=(5, 7, 5, 2)).astype(np.float32)
    for net in (nets.random_net(), nets.in_keras_2(nets.random_net())):
        check_beside_keras(nets.loaded(net), "first", pictures, concepts=3, patch=4, target="2")


def test_the_indices_of_a_random_network() -> None:
    """Jansen's estimator of the scores that Keras's own layers behind the first one give under the same masks."""
    from service.explainers.sensitivity import design

    net = nets.random_net(activation="linear")
    model = nets.loaded(net, head="logits")
    pictures = np.random.default_rng(0).normal(size=(4, 7, 5, 2)).astype(np.float32)
    found = craft(model, pictures, layer="first", concepts=3, patch=4, target="2", seed=5, draws=6)
    behind = keras.Sequential([keras.Input(net.get_layer("first").output.shape[1:]), *net.layers[1:]])
    # The concepts are sorted by what is to be found; the masks are of their order before, which the factors tell.
    indices = []
    for order in ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]):
        masks = design(6, 3, 5)[..., order]
        own = []
        for maps in found.arrays["heatmaps"]:
            masked = (maps * masks.reshape(-1, 1, 1, 3)) @ found.arrays["concepts"]
            scores = np.asarray(behind(masked), np.float64)[:, 2].reshape(6, 5)
            columns = [2 + place for place in order]
            changes = np.square(scores[:, columns] - scores[:, :1]).mean(axis=0)
            own.append(changes / (2 * scores[:, :2].var()))
        indices.append(np.mean(own, axis=0))
    distance = min(np.abs(each - found.arrays["importance"]).max() for each in indices)
    assert distance < 1e-4


@pytest.mark.parametrize("name", ["lite0", "mobilenet"])
def test_a_real_network(name: str, data: Path, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if name == "lite0":
        model = request.getfixturevalue("lite0")
    else:
        scaling = Preprocessing(mode="tf")
        spec = ModelSpec(id="m", weights=MOBILENET, folder=data / "models", labels="imagenet", preprocessing=scaling)
        model = load_model(spec, tmp_path)
    layer = nets.default_path(model)
    pictures = blobs(3, model.input_shape.batch[1:3], 0) / 64 - 2
    check_beside_keras(model, layer, pictures, concepts=3, patch=150, target="281")


def test_what_is_below_0_is_told() -> None:
    net = nets.random_net()
    pictures = np.random.default_rng(0).normal(size=(5, 7, 5, 2)).astype(np.float32)
    found = craft(nets.loaded(net), pictures, layer="second", concepts=2, patch=5)
    assert 0 < found.parameters["negative_share"] < 1
    assert "negative_activations" in {warning.code for warning in found.warnings}


class Stop(Exception):
    pass


class StopAt(Progress):
    def __init__(self, step: int) -> None:
        self.left = step

    def __call__(self, done: int, total: int, *_: Any) -> None:
        assert done <= total
        self.left -= 1
        if not self.left:
            raise Stop


@pytest.mark.parametrize("step", [1, 8, 14, 20])
def test_it_can_be_stopped_in_every_stage(pencil: LoadedModel, step: int) -> None:
    pictures = np.concatenate([nets.IMAGE, -nets.IMAGE, 2 * nets.IMAGE])
    before = nets.state(pencil.keras_model)
    with pytest.raises(Stop):
        craft(pencil, pictures, progress=StopAt(step), chunk=4, concepts=2, patch=1)
    assert nets.state(pencil.keras_model) == before


REFUSED = [
    ({"concepts": 3}, InvalidParameter, "ask for at most 2"),
    ({"concepts": 2, "target": "0,1"}, InvalidParameter, "one target a call"),
    ({"concepts": 2, "patch": 3}, InvalidParameter, "larger than the network's input of 2×3 px"),
    ({"concepts": 2, "layer": "gap"}, MethodNotValid, "valid layers are"),
    ({"concepts": 2, "layer": "nowhere"}, UnknownLayer, "nowhere"),
]


@pytest.mark.parametrize(("params", "error", "words"), REFUSED)
def test_refused(pencil: LoadedModel, params: dict[str, Any], error: type[Exception], words: str) -> None:
    pictures = np.concatenate([nets.IMAGE, -nets.IMAGE])
    with pytest.raises(error, match=words):
        craft(pencil, pictures, **params)


def test_too_few_pictures_and_a_layer_that_is_0(pencil: LoadedModel) -> None:
    with pytest.raises(InvalidParameter, match="'images' has 1 pictures, and takes 2 to 500"):
        craft(pencil, nets.IMAGE, concepts=2)
    with pytest.raises(MethodNotValid, match="nowhere above 0"):
        craft(pencil, np.zeros((2, 2, 3, 1), np.float32), concepts=2)
