"""What is inferred about a model when it is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import nets
import numpy as np
import pytest
from keras import layers

from service.engine.child.describe import cam_layer, layer_found, layer_row, model_found
from service.errors import ModelNotLoadable
from service.models.files.entries import spec_of_file
from service.models.files.spec import ModelSpec, Preprocessing
from service.models.graph.canonical import canonical
from service.models.graph.inputs import find_input
from service.models.graph.preprocess import InputShape
from service.models.graph.scaling import Scaling, find_scaling
from service.models.loaded import load_model


def spec(**values: Any) -> ModelSpec:
    return ModelSpec.model_validate({"id": "m", "weights": "m.keras", **values})


def net(*shape: int | None, name: str = "net", first: Any = None) -> Any:
    x = keras.Input(shape)
    return keras.Model(x, (first or layers.Dense(2))(x), name=name)


def scaling(name: str, graph: Any, stated: Preprocessing | None = None) -> Scaling:
    return find_scaling(name, graph, graph.inputs[0], stated)


def load_pencil(folder: Path, head: str = "softmax-string", text: str = "") -> Any:
    nets.pencil(head).save(folder / "net.keras")
    (folder / "model.toml").write_text(f'id = "pencil"\nweights = "net.keras"\n{text}')
    return load_model(spec_of_file(folder), folder)


def test_a_file_loads_with_all_that_was_found(tmp_path: Path) -> None:
    model = load_pencil(tmp_path, text='labels = ["a", "b", "c", "d"]\n')
    assert model.input_shape == InputShape(2, 3, 1)
    assert model.labels == ("a", "b", "c", "d")
    assert model.labels_for(model.head) == ("a", "b", "c", "d")
    # 1 + 1 kernel values, 8 weights, 4 biases; float32.
    assert model.weight_bytes == 4 * (2 + 8 + 4)
    assert model.digest.startswith("sha256:")
    np.testing.assert_allclose(nets.explain(model, "predict").scores, nets.LOGITS, rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('labels = ["a"]', "model 'pencil' has 4 classes and its spec 1 labels"),
        ('cam_layer = "zzz"', "the spec of model 'pencil' names a cam_layer, but there is no layer 'zzz'"),
        ('cam_layer = "cnv"', "the spec of model 'pencil' names a cam_layer, but there is no layer 'cnv'"),
        (
            'cam_layer = "scores"',
            "the spec of model 'pencil' names a cam_layer, but the output of 'scores' has",
        ),
        (
            '[preprocessing]\nmode = "torch"',
            "'pencil': preprocessing 'torch' is for 3 channels and the model takes 1",
        ),
        (
            '[preprocessing]\nmode = "mean_std"\nmean = [1, 2, 3]\nstd = [1]',
            "model 'pencil': 'mean' has 3 numbers and the model takes 1 channel; give 1 number",
        ),
        (
            '[preprocessing]\nmode = "mean_std"\nmean = [1, 2, 3]\nstd = [1, 2]',
            "'mean' has 3 numbers and 'std' 2",
        ),
        (
            '[preprocessing]\nmode = "mean_std"\nmean = [1]\nstd = [0]',
            "every 'std' must be greater than",
        ),
        (
            "[input]\nchannels = [1]",
            "model 'pencil': 'channels' names channel 1, and the input has the channels 0 to 0",
        ),
        ("[input]\nheight = 5", "the spec of model 'pencil' says height 5, its file says 2"),
        ("[input]\nwidth = 2", "the spec of model 'pencil' says width 2, its file says 3"),
    ],
)
def test_a_spec_that_does_not_fit_the_file(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ModelNotLoadable) as caught:
        load_pencil(tmp_path, text=text + "\n")
    assert reason in caught.value.detail


def test_imagenet_labels_that_do_not_fit_are_left_out(tmp_path: Path) -> None:
    model = load_pencil(tmp_path, text='labels = "imagenet"\n')
    assert model.labels == ()
    assert "the ImageNet labels are left out: the model has 4 classes" in model.notes


@pytest.mark.parametrize(
    ("shape", "values", "expected"),
    [
        ((32, 48, 3), {}, InputShape(32, 48, 3)),
        ((None, None, 3), {}, InputShape(224, 224, 3, open_height=True, open_width=True)),
        ((None, None, 1), {"input": {"height": 10, "width": 20}}, InputShape(10, 20, 1, False, True, True)),
        ((None, 30, 3), {"input": {"height": 10}}, InputShape(10, 30, 3, open_height=True)),
        ((None, None, None), {}, InputShape(224, 224, 3, open_height=True, open_width=True)),
        ((32, 32, 5), {}, InputShape(32, 32, 5)),
        ((3, 32, 48), {}, InputShape(32, 48, 3, channels_first=True)),
        ((28, 28), {}, InputShape(28, 28, 1, rank3=True)),
        ((3, 32, 3), {}, InputShape(3, 32, 3)),
    ],
)
def test_input_shape(shape: tuple[int | None, ...], values: dict[str, Any], expected: InputShape) -> None:
    model = net(*shape, first=layers.Activation("relu"))
    found = find_input(canonical(model), spec(**values))
    assert (found.shape, found.obstacle) == (expected, None)


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((5,), "the model's input has the shape (5), and methods take pictures: (height, width, channels)"),
        ((4, 8, 8, 3), "the model takes volumes or sequences of pictures of the shape (4, 8, 8, 3), and methods take"),
        ((8, 8, 65), "the model's input has 65 channels, and methods take pictures of at most 64"),
    ],
)
def test_inputs_that_are_no_image_are_loaded_and_said(shape: tuple[int, ...], reason: str) -> None:
    obstacle = find_input(canonical(net(*shape)), spec()).obstacle
    assert obstacle is not None
    assert obstacle.startswith(reason)


def test_two_inputs() -> None:
    inputs = [keras.Input((4, 4, 1), name=name) for name in ("left", "right")]
    obstacle = find_input(canonical(keras.Model(inputs, layers.Add()(inputs))), spec()).obstacle
    inputs_said = "'left' [4, 4, 1], 'right' [4, 4, 1]"
    assert obstacle == f"the model takes 2 inputs ({inputs_said}), and methods take one image and nothing beside it"


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("vgg16", "caffe"),
        ("resnet50", "caffe"),
        ("resnet50v2", "tf"),
        ("densenet121", "torch"),
        ("mobilenet_1.00_224", "tf"),
        ("mobilenetv2_1.00_224", "tf"),
        ("inception_resnet_v2", "tf"),
        ("Xception", "tf"),
        ("resnet_of_mine", "rescale01"),
        ("resnet20", "rescale01"),
        ("resnet152v2", "tf"),
        ("efficientnetb0", "none"),
        ("mobilenetv3small", "none"),
        ("MobilenetV3large", "none"),
        ("convnext_tiny", "none"),
        ("nasnet", "tf"),
        ("sequential_3", "rescale01"),
    ],
)
def test_preprocessing_by_name_is_assumed(name: str, mode: str) -> None:
    assert scaling(name, canonical(net(8, 8, 3))) == Scaling(Preprocessing(mode=mode), assumed=True)


def test_preprocessing_inside_the_network() -> None:
    graph = canonical(net(8, 8, 3, first=layers.Rescaling(1 / 255)))
    assert scaling("vgg16", graph) == Scaling(Preprocessing(mode="none"), assumed=False)


def test_preprocessing_of_the_spec() -> None:
    stated = Preprocessing(mode="tf")
    assert scaling("vgg16", canonical(net(8, 8, 3)), stated) == Scaling(stated, assumed=False)


@pytest.mark.parametrize(("text", "assumed"), [("", True), ('[preprocessing]\nmode = "tf"\n', False)])
def test_what_is_assumed_is_noted(tmp_path: Path, text: str, assumed: bool) -> None:
    model = load_pencil(tmp_path, text=text)
    assert model.preprocessing_assumed is assumed
    note = "preprocessing 'rescale01' is assumed; say it in model.toml if it is another"
    assert model.notes == ((note,) if assumed else ())


def test_details(tmp_path: Path) -> None:
    model = load_pencil(tmp_path, text='[input]\nresize = "pad"\n')
    assert model_found(model).model_dump(mode="json") == {
        "digest": model.digest,
        "keras": 3,
        "inputs": [{"name": "image", "shape": [2, 3, 1], "dtype": "float32"}],
        "outputs": [{"name": "scores", "layer": "scores", "shape": [4], "kind": "softmax", "classes": 4}],
        "obstacle": None,
        "input": {"height": 2, "width": 3, "channels": 1, "resize": "pad", "colour_order": "rgb"},
        "preprocessing": {"mode": "rescale01", "mean": [], "std": [], "assumed": True},
        "head": {"kind": "softmax", "activation": "softmax", "classes": 4, "inferred": True},
        "labels": [],
        "parameters": 14,
        "layers": 4,
        "cam_layer": "conv",
        "notes": list(model.notes),
    }


def test_cam_layer() -> None:
    assert cam_layer(nets.loaded(nets.pencil())) == "conv"
    assert cam_layer(nets.loaded(nets.pencil(), cam_layer="image")) == "image"
    assert cam_layer(nets.loaded(nets.conv_head())) == "class_maps"
    assert cam_layer(nets.loaded(nets.without_maps())) is None


def test_layer_rows() -> None:
    graph = nets.loaded(nets.pencil()).graph
    row = layer_row(graph, graph.entry("conv")).model_dump(by_alias=True)
    assert {key: value for key, value in row.items() if key != "methods"} == {
        "path": "conv",
        "index": 1,
        "inputs": ["image"],
        "class": "Conv2D",
        "output_shape": [2, 3, 2],
        "parameters": 2,
        "trainable": True,
    }
    assert {"activations", "cam", "kernels"} <= set(row["methods"])
    scores = layer_row(graph, graph.entry("scores")).model_dump()
    assert scores["parameters"] == 12
    assert "activations" in scores["methods"]
    assert not {"cam", "kernels"} & set(scores["methods"])


def test_layer_found() -> None:
    graph = nets.loaded(nets.pencil()).graph
    found = layer_found(graph, graph.entry("scores")).model_dump()
    assert found["config"]["units"] == 4
    assert found["config"]["activation"] == "softmax"
    kernel, bias = found["weights"]
    assert kernel == {
        "name": "kernel",
        "shape": [2, 4],
        "dtype": "float32",
        "mean": 0.75,
        "std": pytest.approx(float(nets.WEIGHTS.std())),
        "min": -6.0,
        "max": 12.0,
        "zero_share": 0.25,
    }
    assert (bias["shape"], bias["mean"], bias["zero_share"]) == ([4], 0.25, 0.75)
    assert found["not_valid"]["kernels"] == "it is no convolution over height and width"


def test_details_of_a_nested_model_and_a_normalisation() -> None:
    inner = keras.Sequential([keras.Input((2, 3, 1)), layers.Conv2D(2, 1, name="conv")], name="inner")
    x = keras.Input((2, 3, 1))
    normalised = layers.Normalization(mean=1.0, variance=4.0, name="normalise")(x)
    graph = canonical(keras.Model(x, inner(normalised)))
    nested = layer_found(graph, graph.entry("inner")).model_dump()
    assert "layers" not in nested["config"]
    assert [weight["name"] for weight in nested["weights"]] == ["kernel", "bias"]
    assert layer_found(graph, graph.entry("normalise")).class_name == "Normalization"
