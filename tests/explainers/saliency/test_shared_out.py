"""DeepLIFT and LRP: on paper, by matrices in float64, and what their sums must be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import nets
import numpy as np
import pytest
from keras import layers
from nets import network_input

from service.errors import MethodNotValid
from service.explainers import BY_NAME
from service.models.loaded import LoadedModel

RULES = ("epsilon", "zplus", "alphabeta", "composite")
Array = np.ndarray[Any, Any]


def small(body: Callable[[Any], Any], *, bias: bool = True, size: tuple[int, int, int] = (8, 8, 3)) -> LoadedModel:
    """A convolution, `body`, and a dense layer of four logits; weights of one seed."""
    keras.utils.set_random_seed(7)
    given: dict[str, Any] = {"bias_initializer": "normal", "use_bias": bias}
    x = keras.Input(size, name="image")
    y = layers.Conv2D(4, 3, padding="same", activation="relu", name="first", **given)(x)
    y = body(y)
    y = layers.GlobalAveragePooling2D(name="gap")(y) if len(y.shape) == 4 else layers.Flatten(name="flat")(y)
    return nets.loaded(keras.Model(x, layers.Dense(4, activation="softmax", name="scores", **given)(y)))


def gate(y: Any) -> Any:
    squeezed = layers.GlobalAveragePooling2D(keepdims=True)(y)
    return layers.Multiply(name="gate")([y, layers.Conv2D(4, 1, activation="sigmoid")(squeezed)])


def block(y: Any) -> Any:
    """A residual block with normalisation, pooling and a separable convolution."""
    z = layers.BatchNormalization(moving_mean_initializer="normal", beta_initializer="normal")(y)
    z = layers.SeparableConv2D(4, 3, padding="same", activation="relu6", name="separable")(z)
    y = layers.Concatenate()([layers.Add()([y, z]), layers.AveragePooling2D(2, 1, "same")(y)])
    return layers.MaxPooling2D(2)(layers.ZeroPadding2D(1)(y))


def attention(y: Any) -> Any:
    tokens = layers.LayerNormalization()(layers.Reshape((64, 4))(y))
    return layers.MultiHeadAttention(2, 2, name="attention")(tokens, tokens)


def curve(name: str) -> Callable[[Any], Any]:
    return lambda y: layers.Conv2D(4, 2, activation=name, bias_initializer="normal")(y)


BODIES: dict[str, Callable[[Any], Any]] = {
    "block": block,
    "gate": gate,
    "attention": attention,
    "product": lambda y: layers.Multiply()([y, layers.Conv2D(4, 1, bias_initializer="normal")(y)]),
    **{name: curve(name) for name in ("tanh", "silu", "gelu", "elu", "leaky_relu", "hard_sigmoid", "softplus")},
    "prelu": lambda y: layers.PReLU(alpha_initializer="ones")(layers.Conv2D(4, 2)(y)),
}


def image_of(model: LoadedModel, seed: int = 4) -> Array:
    return np.random.default_rng(seed).normal(size=model.input_shape.batch).astype(np.float32)


@pytest.mark.parametrize("body", BODIES)
def test_deeplift_sums_to_the_rise_of_the_score(body: str) -> None:
    model = small(BODIES[body])
    image = image_of(model)
    found = nets.explain(model, "saliency", image, method="deeplift", target="1,2-0", baseline="zero")
    for place, name in enumerate(["1", "2-0"]):
        scores = [
            nets.explain(model, "predict", batch).arrays["logits"].astype(np.float64)
            for batch in (image, np.zeros_like(image))
        ]
        rise = scores[0] - scores[1]
        expected = rise[1] if name == "1" else rise[2] - rise[0]
        total = found.arrays[f"gradient:{name}"].sum(dtype=np.float64)
        assert total == pytest.approx(expected, rel=1e-4, abs=1e-6)
        assert found.parameters["convergence_delta"][place] == pytest.approx(total - expected, abs=1e-5)


def test_deeplift_is_the_mean_over_its_baselines() -> None:
    model, image = small(block), None
    image = image_of(model)
    alone = [
        nets.explain(model, "saliency", image, method="deeplift", baseline=name).arrays["gradient"]
        for name in ("black", "white")
    ]
    both = nets.explain(model, "saliency", image, method="deeplift", baseline="black,white").arrays["gradient"]
    np.testing.assert_allclose(both, np.mean(alone, axis=0), rtol=1e-4, atol=1e-6)


def test_on_the_pencil_net_every_pixel_has_its_own_part() -> None:
    """Logit 0 is 6·mean(x⁺) = Σ x⁺: no rule and no baseline of zeros can share it out otherwise."""
    model = nets.loaded(nets.pencil())
    asked: list[dict[str, Any]] = [{"method": "deeplift"}, *({"method": "lrp", "rule": rule} for rule in RULES[:2])]
    for params in asked:
        params |= {"epsilon": 0} if params["method"] == "lrp" else {}
        found = nets.explain(model, "saliency", target="0", **params).arrays["gradient"][..., 0]
        np.testing.assert_allclose(found, nets.POSITIVE, atol=1e-5)


def matrix_of(layer: Any, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """A layer as its matrix (outputs, inputs) and b in float64, by what it makes of every unit vector."""
    size = int(np.prod(shape))
    linear = layer.__class__.from_config(layer.get_config() | {"activation": "linear"})
    linear.build((None, *shape))
    linear.set_weights(layer.get_weights())
    units = np.concatenate([np.zeros((1, size)), np.eye(size)]).reshape(-1, *shape).astype(np.float32)
    made = np.asarray(linear(units), np.float64).reshape(size + 1, -1)
    return (made[1:] - made[0]).T, made[0]


def shared(kernel: Array, b: Array, x: Array, relevance: Array, rule: str, low: Array, high: Array) -> Array:
    """One rule of one layer, written out over every pair (j, i)."""
    parts = kernel * x
    with np.errstate(divide="ignore", invalid="ignore"):

        def by(terms: Array, divisor: Array) -> Array:
            return (terms * np.where(divisor != 0, relevance / divisor, 0.0)[:, None]).sum(axis=0)

        z = parts.sum(axis=1) + b
        if rule in ("zero", "epsilon"):
            size = np.sqrt(np.mean(z**2)) * (0.1 if rule == "epsilon" else 1e-6)
            return by(parts, z + np.where(z < 0, -size, size))
        positive, negative = np.maximum(parts, 0), np.minimum(parts, 0)
        if rule == "zplus":
            return by(positive, positive.sum(axis=1))
        if rule == "alphabeta":
            above, below = positive.sum(axis=1) + np.maximum(b, 0), negative.sum(axis=1) + np.minimum(b, 0)
            return 2 * by(positive, above) - by(negative, below)
        if rule == "gamma":
            side = np.where((z >= 0)[:, None], positive, negative)
            kept = np.where(z >= 0, np.maximum(b, 0), np.minimum(b, 0))
            return by(parts + 0.5 * side, z + 0.5 * (side.sum(axis=1) + kept))
        terms = parts - np.maximum(kernel, 0) * low - np.minimum(kernel, 0) * high
        return by(terms, terms.sum(axis=1))


@pytest.mark.parametrize("rule", RULES)
def test_lrp_is_its_rules_by_matrices(rule: str) -> None:
    keras.utils.set_random_seed(3)
    given: dict[str, Any] = {"bias_initializer": "normal"}
    stack = [
        layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="first", **given),
        layers.Conv2D(5, 2, activation="relu", name="second", **given),
        layers.DepthwiseConv2D(2, padding="same", activation="tanh", name="third", **given),
        layers.Dense(4, activation="softmax", name="scores", **given),
    ]
    net = keras.Sequential([keras.Input((7, 5, 2)), *stack[:3], layers.Flatten(), stack[3]])
    model, image = nets.loaded(net), np.random.default_rng(6).normal(size=(1, 7, 5, 2)).astype(np.float32)
    asked = {"method": "lrp", "rule": rule, "epsilon": 0.1, "gamma": 0.5, "target": "2"}
    found = nets.explain(model, "saliency", image, **asked)

    values, matrices = [image.astype(np.float64)], []
    for layer in stack:
        shape = values[-1].shape[1:] if layer is not stack[-1] else (values[-1].size,)
        kernel, b = matrix_of(layer, shape)
        matrices.append((kernel, b))
        z = kernel @ values[-1].ravel() + b
        act = {"relu": lambda v: np.maximum(v, 0), "tanh": np.tanh, "softmax": lambda v: v}[layer.activation.__name__]
        values.append(act(z).reshape(1, *layer.output.shape[1:]))
    relevance = np.zeros(4)
    relevance[2] = values[-1][0, 2]
    rules = [rule] * 4 if rule != "composite" else ["box", "gamma", "epsilon", "zero"]
    # What black and white are to the network, and what the image has beyond.
    colour = network_input(model, image).colour
    ends = np.stack([np.broadcast_to(colour((level,) * 3), image.shape) for level in (0.0, 255.0)] + [image])
    for (kernel, b), x, each in reversed(list(zip(matrices, values, rules, strict=False))):
        given_low, given_high = ends.min(axis=0).ravel(), ends.max(axis=0).ravel()
        low, high = (given_low, given_high) if each == "box" else (0.0, 0.0)
        relevance = shared(kernel, b, x.ravel(), relevance, each, np.asarray(low), np.asarray(high))
    expected = relevance.reshape(image.shape)[0]
    limit = 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(found.arrays["gradient"], expected, atol=limit)
    score = float(found.targets.values(found.scores)[0]) if found.targets and found.scores is not None else 0.0
    kept = sum(found.parameters["relevance_lost"].values())
    assert expected.sum() + kept == pytest.approx(score, rel=1e-4)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("body", ["block", "gate", "elu"])
def test_relevance_and_what_is_lost_are_the_score(body: str, rule: str) -> None:
    model = small(BODIES[body])
    found = nets.explain(model, "saliency", image_of(model), method="lrp", rule=rule, target="0,1-2")
    assert found.targets is not None
    assert found.scores is not None
    scores = found.targets.values(found.scores)
    lost = np.sum(list(found.parameters["relevance_lost"].values()), axis=0)
    for place, name in enumerate(("gradient:0", "gradient:1-2")):
        total = found.arrays[name].sum(dtype=np.float64) + lost[place]
        assert total == pytest.approx(scores[place], rel=1e-4, abs=1e-5)


def test_without_biases_nothing_is_lost() -> None:
    model = small(
        lambda y: layers.MaxPooling2D(2)(layers.Conv2D(4, 3, activation="relu", use_bias=False)(y)), bias=False
    )
    found = nets.explain(model, "saliency", image_of(model), method="lrp", rule="epsilon", epsilon=0, target="1")
    assert found.targets is not None
    assert found.scores is not None
    score = float(found.targets.values(found.scores)[0])
    assert found.arrays["gradient"].sum(dtype=np.float64) == pytest.approx(score, rel=1e-5)
    assert found.parameters["relevance_lost"]["epsilon"] == pytest.approx(0, abs=1e-5 * abs(score))
    # Without biases and epsilon this is the image times its gradient (Kindermans 2016, arXiv 1611.07270).
    plain = nets.explain(model, "saliency", image_of(model), method="gradient_x_input", target="1").arrays["gradient"]
    np.testing.assert_allclose(found.arrays["gradient"], plain, atol=1e-4 * np.abs(plain).max())


def test_a_gate_takes_nothing_of_what_it_lets_through() -> None:
    """The sum is that of the network with the gate's values as constants."""
    model = small(gate)
    found = nets.explain(model, "saliency", image_of(model), method="lrp", rule="epsilon", epsilon=0, target="1")
    assert found.parameters["conservation_residual"] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(("body", "kind"), [("attention", "LayerNormalization"), ("product", "Multiply")])
def test_lrp_says_what_it_has_no_rule_for(body: str, kind: str) -> None:
    model = small(BODIES[body])
    with pytest.raises(MethodNotValid, match=f"lrp has no rule for .*{kind}"):
        nets.explain(model, "saliency", image_of(model), method="lrp")
    assert kind in (BY_NAME["saliency"].problem("lrp", model.graph, model.head) or "")


@pytest.mark.parametrize("rule", ["epsilon", "composite"])
def test_on_a_real_network(lite0: LoadedModel, chelsea: Array, rule: str) -> None:
    found = nets.explain(lite0, "saliency", chelsea, method="lrp", rule=rule, target="281")
    assert found.targets is not None
    assert found.scores is not None
    score = float(found.targets.values(found.scores)[0])
    total = found.arrays["gradient"].sum(dtype=np.float64) + sum(found.parameters["relevance_lost"].values())
    assert total == pytest.approx(score, rel=1e-4)
    if rule == "composite":
        lifted = nets.explain(lite0, "saliency", chelsea, method="deeplift", target="281")
        assert abs(lifted.parameters["convergence_delta"]) < 1e-4 * score
