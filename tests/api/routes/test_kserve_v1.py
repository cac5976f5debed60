"""KServe's V1 protocol: the same numbers as our own routes give, for batches, and errors that name the instance."""

from __future__ import annotations

import base64
import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.checks import CAM, MODEL, NPY, PNG, as_npy, problem, saved, triangle
from tests.conftest import Service


def circle() -> Image.Image:
    image = Image.new("RGB", (40, 40), "black")
    ImageDraw.Draw(image).ellipse((8, 8, 32, 32), fill="white")
    return image


PICTURE = saved(triangle())
OTHER = saved(circle(), "JPEG")
ARRAY = np.random.default_rng(3).random((28, 28, 3)).astype(np.float32)


def b64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


def post(service: Service, verb: str, instances: Any, model: str = MODEL, **parameters: Any) -> httpx.Response:
    body = {"instances": instances} | ({"parameters": parameters} if parameters else {})
    return service.client.post(f"{model}:{verb}", json=body)


def probabilities(service: Service, model: str, data: bytes, classes: int, **query: Any) -> list[float]:
    """By our own route, in the order of the classes."""
    headers = NPY if data.startswith(b"\x93NUMPY") else {"Content-Type": "image/jpeg"} if data == OTHER else PNG
    answer = service.client.post(
        f"{model}/predict", params={"top": classes, **query}, content=data, headers=headers
    ).raise_for_status()
    return [row["probability"] for row in sorted(answer.json()["predictions"], key=lambda row: row["class_index"])]


@pytest.mark.parametrize(("model", "classes"), [("shapes", 3), ("efficientnet-lite0", 1000)])
def test_pictures_are_predicted_as_by_our_own_route(service: Service, model: str, classes: int) -> None:
    path = f"/v1/models/{model}"
    answer = post(service, "predict", [b64(PICTURE), b64(OTHER)], path)
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"predictions"}
    expected = [probabilities(service, path, data, classes) for data in (PICTURE, OTHER)]
    assert np.shape(expected) == (2, classes)
    np.testing.assert_allclose(answer.json()["predictions"], expected, rtol=0, atol=1e-6)
    assert np.abs(np.subtract(*expected)).max() > 1e-3, "two pictures, two answers"


def test_arrays_are_the_networks_input_as_they_are(service: Service) -> None:
    answer = post(service, "predict", [ARRAY.tolist(), (ARRAY / 2).tolist()])
    expected = [
        probabilities(service, MODEL, as_npy(array), 3, preprocess="false")
        for array in (ARRAY, (ARRAY / 2).astype(np.float32))
    ]
    np.testing.assert_allclose(answer.json()["predictions"], expected, rtol=0, atol=1e-6)


def test_arrays_may_be_pixels_beside_a_picture(service: Service) -> None:
    pixels = np.asarray(triangle(), np.uint8)
    answer = post(service, "predict", [pixels.tolist(), b64(PICTURE)], preprocess=True)
    first, second = answer.json()["predictions"]
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", [None, "layercam", "gradcam++"])
def test_an_explanation_is_that_of_cam(service: Service, method: str | None) -> None:
    parameters = {"target": "square", "layer": "conv2d_3"}
    named = {"method": method} if method else {}
    answer = post(service, "explain", [b64(PICTURE), b64(OTHER)], **parameters, **named)
    assert answer.status_code == 200, answer.text
    found = answer.json()["explanations"][0]
    query = parameters | {"method": method or "gradcam", "arrays": "list"}
    own = service.client.post(CAM, params=query, content=PICTURE, headers=PNG).raise_for_status().json()
    assert found["method"] == own["method"]
    assert found["target"] == own["target"]
    assert found["images"] == []
    (array,) = found["arrays"]
    assert array["name"] == "heatmap"
    np.testing.assert_allclose(array["data"], own["arrays"][0]["data"], rtol=0, atol=1e-6)
    assert np.max(array["data"]) > 0
    assert len(answer.json()["explanations"]) == 2
    np.testing.assert_allclose(
        answer.json()["predictions"][0], probabilities(service, MODEL, PICTURE, 3), rtol=0, atol=1e-6
    )


def test_an_explanation_of_an_array(service: Service) -> None:
    answer = post(service, "explain", [ARRAY.tolist()], method="gradient", target="0", top=1)
    own = service.client.post(
        f"{MODEL}/saliency", params={"target": "0", "preprocess": "false", "format": "npz"}, content=as_npy(ARRAY),
        headers=NPY,
    )  # fmt: skip
    assert own.status_code == 200
    found = {item["name"]: np.array(item["data"], np.float32) for item in answer.json()["explanations"][0]["arrays"]}
    with np.load(io.BytesIO(own.content)) as arrays:
        assert set(found) == set(arrays)
        for name in arrays:
            np.testing.assert_allclose(found[name], arrays[name], rtol=0, atol=1e-6)
    assert len(answer.json()["explanations"][0]["predictions"]) == 1
    assert len(answer.json()["predictions"][0]) == 3


def test_pictures_come_with_an_explanation_where_asked_for(service: Service) -> None:
    answer = post(service, "explain", [b64(PICTURE)], outputs="overlay", arrays="none").json()
    (image,) = answer["explanations"][0]["images"]
    assert (image["name"], image["width"], image["height"]) == ("overlay", 60, 40)
    assert answer["explanations"][0]["arrays"] == []


@pytest.mark.parametrize(
    ("instances", "parameters", "status", "kind", "words"),
    [
        ([ARRAY[:27].tolist()], {}, 422, "invalid-parameter", "(28, 28, 3), got (27, 28, 3)"),
        ([ARRAY.tolist(), ARRAY[0].tolist()], {}, 422, "invalid-parameter", "instance 1: with preprocess=false"),
        ([[[[1, 2, 3]], [[1, 2, 3], [4, 5, 6]]]], {}, 422, "invalid-parameter", "ragged"),
        ([ARRAY.tolist(), [["a"]]], {}, 422, "invalid-parameter", "instance 1: the instance must be lists of numbers"),
        ([[[None]]], {}, 422, "invalid-parameter", "lists of numbers"),
        (["text"], {}, 422, "invalid-parameter", "lists of numbers"),
        ([{"b64": 3}], {}, 422, "invalid-parameter", "base64 of an image file"),
        ([{"image": "x"}], {}, 422, "invalid-parameter", "base64 of an image file"),
        ([b64(PICTURE), {"b64": "!"}], {}, 422, "undecodable-image", "instance 1: The image is not valid base64"),
        ([b64(PICTURE), b64(b"GIF89a")], {}, 422, "undecodable-image", "instance 1: The GIF file"),
        ([[[[[1.0]]]]], {}, 422, "undecodable-image", "send (height, width, channels)"),
        ([[[[1e300] * 3]]], {}, 422, "undecodable-image", "beyond float32"),
        ([], {}, 422, "invalid-parameter", "instances: list should have at least 1"),
        ([b64(PICTURE)], {"preproces": True}, 422, "invalid-parameter", "the closest is 'preprocess'"),
        ([b64(PICTURE)], {"preprocess": "yes"}, 422, "invalid-parameter", "preprocess: it must be true or false"),
    ],
)
def test_what_is_wrong_with_instances(
    service: Service, instances: Any, parameters: Any, status: int, kind: str, words: str
) -> None:
    problem(post(service, "predict", instances, **parameters), status, kind, words)


@pytest.mark.parametrize(
    ("parameters", "status", "kind", "words"),
    [
        ({"method": "gradcm"}, 404, "unknown-method", "the closest"),
        ({"method": "gradcam", "lair": 3}, 422, "invalid-parameter", "gradcam: lair: unknown parameter"),
        ({"layer": "conv2d_33"}, 404, "unknown-layer", "conv2d_3"),
        ({"target": "dog"}, 404, "unknown-class", "dog"),
        ({"format": "png"}, 422, "invalid-parameter", "is json"),
    ],
)
def test_what_is_wrong_with_a_method(service: Service, parameters: Any, status: int, kind: str, words: str) -> None:
    problem(post(service, "explain", [b64(PICTURE)], **parameters), status, kind, words)


def test_a_batch_costs_no_more_than_one_call_may(service: Service) -> None:
    """785 passes an image, and 5000 one call may take: six images do, seven do not."""
    parameters = {"method": "occlusion", "patch": 1, "stride": 1, "strategy": "full"}
    assert post(service, "explain", [b64(PICTURE)] * 6, **parameters).status_code == 200
    problem(post(service, "explain", [b64(PICTURE)] * 7, **parameters), 413, "too-costly", "5495 passes", "MAX_PASSES")


def test_other_bodies(service: Service) -> None:
    path = f"{MODEL}:predict"
    problem(service.client.post(path, content=b"[1]"), 400, "malformed-body", "JSON object")
    problem(service.client.post(path, content=b"{"), 400, "malformed-body", "not valid JSON")
    problem(service.client.post(path, content=PICTURE, headers=PNG), 415, "unsupported-media-type", "application/json")
    problem(service.client.post(path, json={"inputs": []}), 422, "invalid-parameter", "instances: it is missing")
    answer = service.client.post("/v1/models/shape:predict", json={"instances": [b64(PICTURE)]})
    problem(answer, 404, "unknown-model", "'shape'", "'shapes'")


def test_a_deadline_of_the_callers_own(service: Service) -> None:
    body = {"instances": [b64(saved(triangle(224, 224)))] * 100}
    path = "/v1/models/efficientnet-lite0:predict"
    # The engine notices it between two instances, or the api before it answers.
    problem(service.client.post(path, json=body, headers={"X-Timeout": "0.2"}), 504, "deadline-exceeded", "deadline")


def test_describing_a_model_answers_v1_too(service: Service) -> None:
    said = service.client.get(MODEL).json()
    assert (said["name"], said["id"], said["ready"], said["state"]) == ("shapes", "shapes", True, "warm")
