"""TCAV beside Keras: derivatives along the directions, on small networks and on two real ones; and planted concepts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import nets
import numpy as np
import pytest
import tensorflow as tf

from service.errors import InvalidParameter, MethodNotValid
from service.explainers.concepts.directions import separating
from service.models.files.spec import ModelSpec, Preprocessing
from service.models.loaded import LoadedModel, load_model
from tests.explainers.concepts.pictures import blobs, striped

MOBILENET = "stm32zoo__mobilenet_v1_0.25_224_imagenet.h5"


def tcav(model: LoadedModel, images: np.ndarray, concept: np.ndarray, random: np.ndarray, **params: Any) -> Any:
    sets = {"images": images, "concept": concept, "random": random}
    return nets.explain(model, "concepts", images[:1], method="tcav", sets=sets, **params)


def codes(found: Any) -> set[str]:
    return {warning.code for warning in found.warnings}


def greys(count: int, seed: int, sign: float = 0.0) -> np.ndarray:
    """Pictures of the pencil net: of one sign, or of both."""
    values = np.random.default_rng(seed).normal(size=(count, 2, 3, 1)).astype(np.float32)
    return sign * np.abs(values) if sign else values


@pytest.mark.parametrize(("target", "score"), [("0", 1), ("1-0", 0)])
def test_on_paper(target: str, score: int) -> None:
    """Bright pictures fire channel 0 alone and dark ones channel 1; logit 0 rises with channel 0 by 6/6 a cell and does
    not know channel 1; logit 1 rises with channel 1 alone, by 12/6 a cell."""
    model = nets.loaded(nets.pencil())
    found = tcav(model, greys(6, 0), greys(20, 1, 1.0), greys(40, 2, -1.0), target=target)
    assert found.arrays["scores"].tolist() == [score] * 10
    assert found.statistics["test"]["accuracy"] == 1
    assert "linear_behind" in codes(found)
    cavs = found.arrays["cavs"]
    assert cavs.shape == (10, 2, 3, 2)
    np.testing.assert_allclose(np.linalg.norm(cavs.reshape(10, -1), axis=1), 1, atol=1e-6)
    weights = {"0": [1, 0], "1-0": [-1, 2]}[target]
    expected = (cavs * weights).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(found.arrays["derivatives"], np.repeat(expected[:, None], 6, axis=1), rtol=1e-5)


def test_the_first_direction_is_that_of_the_drawn_pictures() -> None:
    """`default_rng([seed, 0])` says which pictures are drawn, which are held out, and what is told right of these."""
    model = nets.loaded(nets.pencil())
    concept, random = greys(12, 1, 1.0), greys(25, 2)
    found = tcav(model, greys(3, 0), concept, random, target="0", seed=7, penalty=0.5, repeats=2)
    generator = np.random.default_rng([7, 0])
    drawn, own = generator.permutation(25), generator.permutation(12)[:12]
    (values,), (others,) = nets.run(model, concept, "conv"), nets.run(model, random, "conv")
    first, second = (part.reshape(12, -1).astype(np.float64) for part in (values[own], others[drawn[:12]]))
    expected = separating(first[:8], second[:8], 0.5)
    direction = expected.normal / np.linalg.norm(expected.normal)
    np.testing.assert_allclose(found.arrays["cavs"][0].ravel(), direction, atol=1e-6)
    assert found.arrays["accuracies"][0] == pytest.approx(expected.accuracy(first[8:], second[8:]))
    assert (found.parameters["pictures_a_side"], found.parameters["held_out_a_side"]) == (12, 4)


def derivatives(net: Any, layer: str, pictures: np.ndarray, cavs: np.ndarray, target: int) -> np.ndarray:
    """∇y·v by tf and the network's own layers; y is the logit, which the last softmax is given."""
    library = __import__("tf_keras") if "tf_keras" in type(net).__module__ else keras
    softmax = next(each for each in reversed(net.layers) if "softmax" in str(getattr(each, "activation", "")))
    both = library.Model(net.inputs[0], [net.get_layer(layer).output, softmax.input])
    found = []
    for picture in pictures:
        image = tf.constant(picture[None])
        with tf.GradientTape() as tape:
            tape.watch(image)
            values, logits = both(image, training=False)
            if hasattr(softmax, "kernel"):
                logits = tf.matmul(logits, softmax.kernel) + softmax.bias
            score = tf.reshape(logits, (-1,))[target]
        gradient = np.asarray(tape.gradient(score, values), np.float64)
        found.append(cavs.reshape(len(cavs), -1).astype(np.float64) @ gradient.ravel())
    return np.stack(found, axis=1)


def close(found: np.ndarray, expected: np.ndarray) -> None:
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("in_keras_2", [False, True])
def test_derivatives_of_a_random_network(in_keras_2: bool) -> None:
    net = nets.in_keras_2(nets.random_net()) if in_keras_2 else nets.random_net()
    random = np.random.default_rng(0)
    images, concept, others = (random.normal(size=(count, 7, 5, 2)).astype(np.float32) for count in (5, 12, 24))
    found = tcav(nets.loaded(net), images, concept + 1, others, layer="first", target="2", repeats=3)
    close(found.arrays["derivatives"], derivatives(net, "first", images, found.arrays["cavs"], 2))
    assert found.arrays["scores"].tolist() == (found.arrays["derivatives"] > 0).mean(axis=1).tolist()


@pytest.mark.parametrize("name", ["lite0", "mobilenet"])
def test_a_real_network(name: str, data: Path, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Stripes are told from none in the middle of the network, on pictures that were held out."""
    if name == "lite0":
        model, layer = request.getfixturevalue("lite0"), "block5c_add"
    else:
        scaling = Preprocessing(mode="tf")
        spec = ModelSpec(id="m", weights=MOBILENET, folder=data / "models", labels="imagenet", preprocessing=scaling)
        model, layer = load_model(spec, tmp_path), "conv_pw_11_relu"
    size = model.input_shape.batch[1:3]
    images, concept, random = (
        (pictures / 127.5 - 1).astype(np.float32)
        for pictures in (blobs(3, size, 0), striped(12, size, 1), blobs(24, size, 2))
    )
    found = tcav(model, images, concept, random, layer=layer, target="340", repeats=2)
    assert found.statistics["test"]["accuracy"] > 0.9
    close(found.arrays["derivatives"], derivatives(model.keras_model, layer, images, found.arrays["cavs"], 340))


def curved() -> Any:
    """Score 0 is mean(x)³ over 3 channels' means of a 4×4 picture: it rises with brightness wherever that is not 0."""
    image = keras.Input((4, 4, 3), name="image")
    values = keras.layers.Conv2D(3, 1, name="conv")
    mean = keras.layers.GlobalAveragePooling2D(name="gap")(values(image))
    values.set_weights([np.eye(3, dtype=np.float32)[None, None], np.zeros(3, np.float32)])
    cubed = keras.layers.Lambda(lambda x: x**3, name="cubed")(mean)
    dense = keras.layers.Dense(2, name="scores")
    scores = dense(cubed)
    dense.set_weights([np.array([[1, -1], [1, -1], [1, -1]], np.float32), np.zeros(2, np.float32)])
    return keras.Model(image, scores)


def test_a_planted_concept_counts_and_a_random_one_does_not() -> None:
    model = nets.loaded(curved(), head="logits")
    random = np.random.default_rng(0)
    images, others, fake = (random.normal(size=(count, 4, 4, 3)).astype(np.float32) for count in (20, 60, 15))
    planted = random.normal(size=(30, 4, 4, 3)).astype(np.float32) + 1.5
    found = tcav(model, images, planted, others, layer="conv", target="0")
    result = found.statistics["test"]
    assert result["score"] == 1
    assert result["significant"]
    assert result["accuracy"] > 0.95
    assert not codes(found) & {"not_significant", "near_chance"}
    against = tcav(model, images, planted, others, layer="conv", target="1")
    assert against.statistics["test"]["score"] == 0
    none = tcav(model, images, fake, others, layer="conv", target="0")
    assert codes(none) & {"not_significant", "near_chance"}
    assert none.statistics["test"]["accuracy"] < 0.75


def test_how_the_work_is_cut_changes_nothing() -> None:
    model = nets.loaded(nets.random_net())
    random = np.random.default_rng(0)
    sets = {
        name: random.normal(size=(count, 7, 5, 2)).astype(np.float32)
        for name, count in (("images", 5), ("concept", 10), ("random", 20))
    }
    for method in ("craft", "tcav"):
        params = {"method": method, "layer": "first", "target": "1"} | ({"concepts": 3} if method == "craft" else {})
        whole = nets.explain(model, "concepts", sets["images"][:1], sets=sets, **params)
        single = nets.explain(model, "concepts", sets["images"][:1], sets=sets, chunk=1, **params)
        for name, array in whole.arrays.items():
            np.testing.assert_allclose(single.arrays[name], array, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("counts", "params", "error", "words"),
    [
        ((1, 10, 20), {}, InvalidParameter, "'images' has 1 pictures, and takes 2 to 500"),
        ((2, 9, 20), {}, InvalidParameter, "'concept' has 9 pictures, and takes 10"),
        ((2, 10, 19), {}, InvalidParameter, "'random' has 19 pictures, and takes 20"),
        ((2, 10, 20), {"target": "top2"}, InvalidParameter, "one target a call"),
        ((2, 10, 20), {"target": "neuron:conv:0", "layer": "gap"}, MethodNotValid, "does not depend on layer 'gap'"),
    ],
)
def test_refused(counts: tuple[int, ...], params: dict[str, Any], error: type[Exception], words: str) -> None:
    sets = [greys(count, place) for place, count in enumerate(counts)]
    with pytest.raises(error, match=words):
        tcav(nets.loaded(nets.pencil()), *sets, **params)
