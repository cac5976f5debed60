"""Arrays of any channels and any range over HTTP: what is computed, what is drawn, and what is said."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import httpx
import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from tests.checks import MODEL, NPY, PNG, as_npy, problem, saved, triangle
from tests.conftest import Service, start_service

BANDS = np.random.default_rng(6).integers(0, 256, (10, 12, 5)).astype(np.uint8)
KERNEL = np.array([[1, 0], [0, 1], [2, -1], [0, 3], [1, 1]], np.float32)


def bands(channels: int) -> Any:
    """Two logits: the means of the channels, weighed by the first rows of KERNEL."""
    x = keras.Input((4, 6, channels), name="image")
    conv = layers.Conv2D(2, 1, use_bias=False, name="conv")
    y = layers.GlobalAveragePooling2D(name="gap")(conv(x))
    conv.set_weights([KERNEL[None, None, :channels]])
    return keras.Model(x, y)


@pytest.fixture(scope="module")
def multispectral(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """`five` draws its channels 4, 2 and 0, `two` its first, `tf` takes three in -1..1."""
    folder = tmp_path_factory.mktemp("bands")
    for name, channels, stated, mode in (
        ("five", 5, "channels = [4, 2, 0]", "rescale01"),
        ("two", 2, "", "rescale01"),
        ("tf", 3, "", "tf"),
        ("caffe", 5, "", "caffe"),
    ):
        own = folder / name
        own.mkdir()
        bands(channels).save(own / "bands.keras")
        spec = [f'id = "{name}"', 'weights = "bands.keras"', 'head = "logits"', "[input]", stated]
        (own / "model.toml").write_text("\n".join([*spec, "[preprocessing]", f'mode = "{mode}"', ""]))
    running = start_service(tmp_path_factory.mktemp("bands-service"), models_dir=folder, preload="")
    yield running
    running.stop()


def send(service: Service, path: str, array: np.ndarray[Any, Any], **query: Any) -> httpx.Response:
    return service.client.post(f"/v1/models/{path}", params=query, content=as_npy(array), headers=NPY)


def logits(answer: httpx.Response) -> list[float]:
    assert answer.status_code == 200, answer.text
    return [row["logit"] for row in sorted(answer.json()["predictions"], key=lambda row: row["class_index"])]


@pytest.mark.parametrize(("model", "channels"), [("five", 5), ("two", 2)])
def test_arrays_of_the_models_own_channels(multispectral: Service, model: str, channels: int) -> None:
    pixels = np.repeat(np.repeat(BANDS[:4, :6, :channels], 2, axis=0), 2, axis=1)
    values = (BANDS[:4, :6, :channels] / np.float32(255)).astype(np.float32)
    expected = values.mean(axis=(0, 1)) @ KERNEL[:channels]
    np.testing.assert_allclose(logits(send(multispectral, f"{model}/predict", pixels)), expected, atol=2e-2)
    for array, query in ((BANDS[:4, :6, :channels], {}), (values, {"preprocess": "false"})):
        answer = send(multispectral, f"{model}/predict", array, **query)
        np.testing.assert_allclose(logits(answer), expected, rtol=1e-5)
        assert answer.json()["image"] == {"format": "npy", "height": 4, "width": 6, "channels": channels}
        assert answer.json()["warnings"] == []


@pytest.mark.parametrize(
    ("model", "array", "query", "words"),
    [
        (
            "five",
            BANDS[..., :3],
            {},
            "the model takes 5 channels and the image has 3; send an array (height, width, 5)",
        ),
        ("two", BANDS, {}, "the model takes 2 channels and the image has 5; send an array (height, width, 2)"),
        ("five", BANDS, {"preprocess": "false"}, "the array must be (4, 6, 5), got (10, 12, 5)"),
    ],
)
def test_channels_that_do_not_fit(
    multispectral: Service, model: str, array: np.ndarray[Any, Any], query: dict[str, str], words: str
) -> None:
    problem(send(multispectral, f"{model}/predict", array, **query), 422, "invalid-parameter", words)


def test_a_preprocessing_that_does_not_fit_the_file(multispectral: Service) -> None:
    said = "model 'caffe': preprocessing 'caffe' is for 3 channels and the model takes 5 channels; state mode ="
    problem(send(multispectral, "caffe/predict", BANDS), 409, "model-not-loadable", said)


def test_a_picture_has_three_channels(multispectral: Service) -> None:
    answer = multispectral.client.post("/v1/models/five/predict", content=saved(triangle()), headers=PNG)
    problem(answer, 422, "invalid-parameter", "the model takes 5 channels and the image has 3")
    sent = {"instances": [{"b64": base64.b64encode(saved(triangle())).decode()}]}
    answer = multispectral.client.post("/v1/models/five:predict", json=sent)
    problem(answer, 422, "invalid-parameter", "the model takes 5 channels and the image has 3")


def test_protocols_take_any_channels(multispectral: Service) -> None:
    values = (BANDS[:4, :6] / np.float32(255)).astype(np.float32)
    v1, v2 = "/v1/models/five:explain", "/v2/models/five/infer"
    expected = values.mean(axis=(0, 1)) @ KERNEL
    found = multispectral.client.post(v1, json={"instances": [values.tolist()]}).json()
    np.testing.assert_allclose(found["predictions"], [np.exp(expected) / np.exp(expected).sum()], rtol=1e-5)
    tensor = {"name": "image", "datatype": "FP32", "shape": [1, 4, 6, 5], "data": values.ravel().tolist()}
    found = multispectral.client.post(v2, json={"inputs": [tensor]}).json()
    (data,) = [output["data"] for output in found["outputs"] if output["name"] == "logits"]
    np.testing.assert_allclose(data, expected, rtol=1e-5)
    tensor = {
        "name": "image",
        "datatype": "UINT8",
        "shape": [1, *BANDS[..., :4].shape],
        "data": BANDS[..., :4].tolist(),
    }
    tensor["data"] = [tensor["data"]]
    answer = multispectral.client.post(v2, json={"inputs": [tensor], "parameters": {"preprocess": True}})
    assert answer.status_code == 422
    assert "the model takes 5 channels and the image has 4" in answer.json()["error"]


@pytest.mark.parametrize(
    ("model", "array", "query", "channels"),
    [
        ("five", BANDS, {}, [4, 2, 0]),
        ("five", BANDS[:4, :6], {"preprocess": "false"}, [4, 2, 0]),
        ("two", BANDS[..., :2], {}, [0, 0, 0]),
    ],
)
def test_what_is_drawn(
    multispectral: Service, model: str, array: np.ndarray[Any, Any], query: dict[str, str], channels: list[int]
) -> None:
    answer = send(multispectral, f"{model}/cam", array, target="0", format="png", outputs="overlay", alpha=0, **query)
    assert answer.status_code == 200, answer.text
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), array[..., channels])


GREYS = np.linspace(0, 1, 48, dtype=np.float32).reshape(4, 4, 3)


@pytest.mark.parametrize(
    ("array", "query", "image", "range_"),
    [
        (GREYS * 255, {}, {}, None),
        (GREYS, {}, {}, "from 0 to 1"),
        (GREYS, {"preprocess": "false"}, {}, None),
        (GREYS * 2 - 1, {}, {}, "from -1 to 1"),
        ((GREYS * 4095).astype(np.int32), {}, {}, "from 0 to 4095"),
        ((GREYS * 65535).astype(np.uint16), {}, {"scaled": "uint16 / 257"}, None),
        ((GREYS * 255).astype(np.uint16), {}, {}, None),
        ((GREYS > 0.5).astype(np.uint8), {}, {}, None),
        (np.zeros((4, 4, 3), np.float32), {}, {}, None),
    ],
)
def test_ranges(
    service: Service, array: np.ndarray[Any, Any], query: dict[str, str], image: dict[str, str], range_: str | None
) -> None:
    array = array if not query else np.zeros((28, 28, 3), np.float32) + GREYS[0, 0]
    answer = send(service, "shapes/predict", array, **query).raise_for_status().json()
    notes = {"format": "npy", "height": array.shape[0], "width": array.shape[1], "channels": 3}
    assert answer["image"] == notes | image
    found = [item["detail"] for item in answer["warnings"] if item["code"] == "array_range"]
    sentence = "send levels 0..255, or preprocess=false with the network's own values"
    assert found == (
        [f"the array's numbers lie {range_} and are computed as levels 0..255; {sentence}"] if range_ else []
    )


def test_sixteen_bits_are_those_of_a_file(service: Service) -> None:
    deep = (np.asarray(triangle().convert("L"), np.uint16) * 257)[..., None]
    array = send(service, "shapes/predict", deep, top=3).raise_for_status().json()
    data = saved(Image.fromarray(deep[..., 0]))
    file = service.client.post(f"{MODEL}/predict?top=3", content=data, headers=PNG).raise_for_status().json()
    for one, other in zip(array["predictions"], file["predictions"], strict=True):
        assert one["probability"] == pytest.approx(other["probability"], abs=2e-3)


def test_protocols_say_when_numbers_are_no_levels(service: Service) -> None:
    parameters = {"preprocess": True}
    tensor = {"name": "image", "datatype": "FP32", "shape": [2, 4, 4, 3]}
    data = [*(GREYS * 255).ravel().tolist(), *GREYS.ravel().tolist()]
    answer = service.client.post(
        "/v2/models/shapes/infer", json={"inputs": [tensor | {"data": data}], "parameters": parameters}
    )
    assert list(answer.json()["parameters"]) == ["array_range"]
    assert answer.json()["parameters"]["array_range"].startswith("instance 1: the array's numbers lie from 0 to 1 and")
    sent = {"instances": [GREYS.tolist()], "parameters": parameters}
    (explained,) = service.client.post(f"{MODEL}:explain", json=sent).raise_for_status().json()["explanations"]
    assert [item["code"] for item in explained["warnings"]].count("array_range") == 1


@pytest.mark.parametrize("value", ["gray", "255,0,0", "0,0,0"])
def test_fills_are_the_models_whatever_is_sent(multispectral: Service, value: str) -> None:
    """The same image as levels and as the network's own values: one occlusion map, drop by drop."""
    levels = BANDS[:4, :6, :3]
    values = (levels / np.float32(127.5) - 1).astype(np.float32)
    query = {"value": value, "patch": 2, "stride": 1, "target": "0", "measure": "logit_drop", "format": "npy"}
    found = [
        np.load(io.BytesIO(send(multispectral, "tf/occlusion", array, **query, **more).raise_for_status().content))
        for array, more in ((levels, {}), (values, {"preprocess": "false"}))
    ]
    assert np.abs(found[0]).max() > 1e-3
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=1e-6)


def test_black_is_the_models_whatever_is_sent(multispectral: Service) -> None:
    """On a linear network from black to white: the gradient times 2, all of it, however the image came."""
    query = {"method": "integrated_gradients", "baseline": "black", "target": "0", "format": "npz"}
    white = np.full((4, 6, 3), 255, np.uint8)
    for array, more in ((white, {}), (np.ones((4, 6, 3), np.float32), {"preprocess": "false"})):
        answer = send(multispectral, "tf/saliency", array, **query, **more).raise_for_status()
        with np.load(io.BytesIO(answer.content)) as arrays:
            (name,) = [name for name in arrays if arrays[name].ndim == 3]
            np.testing.assert_allclose(arrays[name], np.broadcast_to(2 * KERNEL[:3, 0] / 24, (4, 6, 3)), atol=1e-6)
