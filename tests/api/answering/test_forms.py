"""An answer holds all that was asked for, or says which form can."""

from __future__ import annotations

import base64
import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.api.routes.test_jobs import ASYNC, ended
from tests.checks import CAM, MODEL, PNG, problem, saved, triangle
from tests.conftest import Service

PICTURE = saved(triangle())
KERNELS = f"{MODEL}/layers/conv2d_5/kernels"
ASCENT = {"layer": "conv2d_1", "channels": "0-1", "steps": 2, "size": 16}


def post(service: Service, method: str, query: dict[str, Any], **headers: str) -> httpx.Response:
    return service.client.post(f"{MODEL}/{method}", params=query, content=PICTURE, headers=PNG | headers)


def shown(response: httpx.Response) -> np.ndarray[Any, Any]:
    assert response.status_code == 200, response.text
    with Image.open(io.BytesIO(response.content)) as picture:
        return np.asarray(picture.convert("RGB"))


# (method, parameters, words of the sentence)
DROPPED: list[tuple[str, dict[str, Any], list[str]]] = [
    ("activations", {"layers": "1,2", "format": "npy"}, ["holds one array", "2 layers", "npz or json"]),
    ("activations", {"layers": "0-2", "format": "npy"}, ["3 layers"]),
    ("activations", {"format": "npy"}, ["layers have their maps each", "npz or json"]),
    ("cam", {"target": "top2", "format": "npy"}, ["2 targets", "npz or json"]),
    ("cam", {"target": "triangle,0", "format": "npy"}, ["2 targets"]),
    ("saliency", {"target": "top3", "format": "npy"}, ["3 targets"]),
    ("occlusion", {"target": "0,1,2-1", "format": "npy", "patch": 14}, ["3 targets"]),
    ("occlusion", {"outputs": "mask", "format": "npz", "patch": 14}, ["no pictures", "json or png"]),
    ("cam", {"outputs": "heatmap", "format": "npy"}, ["no pictures"]),
    ("cam", {"arrays": "list", "format": "png"}, ["no raw arrays", "json or npz"]),
    ("explain", {"methods": "gradcam,occlusion", "outputs": "mask", "format": "npz"}, ["no pictures"]),
]


@pytest.mark.parametrize(("method", "query", "words"), DROPPED)
@pytest.mark.parametrize("headers", [{}, ASYNC], ids=["direct", "job"])
def test_what_the_form_cannot_hold_is_refused(
    service: Service, method: str, query: dict[str, Any], words: list[str], headers: dict[str, str]
) -> None:
    problem(post(service, method, query, **headers), 422, "invalid-parameter", *words)


def test_a_form_of_the_accept_header_is_no_other(service: Service) -> None:
    problem(post(service, "cam", {"target": "top2"}, Accept="application/x-npy"), 422, "invalid-parameter", "2 targets")


def test_the_layers_of_a_plain_call_are_counted_before_it_computes(service: Service) -> None:
    """Only the model knows them."""

    def traces() -> int:
        rows = service.client.get("/v1/models").json()["models"]
        return int(next(row["traces"] for row in rows if row["id"] == "shapes"))

    before = traces()
    problem(post(service, "activations", {"format": "npy", "preprocess": "true"}), 422, "invalid-parameter", "8 layers")
    assert traces() == before


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"outputs": "grid,animation", "format": "png"}, ["nothing that moves", "webp, gif or json"]),
        ({"outputs": "animation", "format": "png"}, ["nothing that moves"]),
        ({"outputs": "animation,history", "format": "webp"}, ["the animation alone", "json or png"]),
        ({"outputs": "grid", "format": "gif"}, ["the animation alone"]),
        ({"outputs": "grid", "format": "npy"}, ["no pictures"]),
        ({"arrays": "list", "format": "webp"}, ["no raw arrays"]),
    ],
)
def test_what_moves_and_what_does_not(service: Service, query: dict[str, Any], words: list[str]) -> None:
    answer = service.client.post(f"{MODEL}/maximization", params=ASCENT | query, headers=ASYNC)
    problem(answer, 422, "invalid-parameter", *words)


@pytest.mark.parametrize(
    ("method", "query", "words"),
    [
        ("predict", {"format": "png"}, "application/json, application/x-npy, application/x-npz, not 'png'"),
        ("cam", {"format": "png", "outputs": ""}, "no picture; ask for json, npy or npz"),
    ],
)
def test_nothing_to_be_drawn_is_said_before_a_job(
    service: Service, method: str, query: dict[str, Any], words: str
) -> None:
    problem(post(service, method, query, **ASYNC), 406, "not-acceptable", words)


@pytest.mark.parametrize(
    ("method", "query", "outputs"),
    [
        ("occlusion", {"patch": 14, "size": "input"}, ["mask", "masked"]),
        ("occlusion", {"patch": 14, "size": "input"}, ["masked", "overlay", "mask"]),
        ("cam", {"size": "input", "target": "top2"}, ["heatmap", "overlay"]),
        ("saliency", {"size": "input"}, ["overlay", "heatmap"]),
    ],
)
def test_several_pictures_are_one_sheet(
    service: Service, method: str, query: dict[str, Any], outputs: list[str]
) -> None:
    """Every picture of the JSON answer, below each other in its order, 8 px apart."""
    names = ",".join(outputs)
    sheet = shown(post(service, method, query | {"format": "png", "outputs": names}))
    images = post(service, method, query | {"outputs": names}).json()["images"]
    assert len(images) == len(outputs) * (2 if "target" in query else 1)
    assert sheet.shape == (28 * len(images) + 8 * (len(images) - 1), 28, 3)
    for place, image in enumerate(images):
        alone = np.asarray(Image.open(io.BytesIO(base64.b64decode(image["data"]))).convert("RGB"))
        np.testing.assert_array_equal(sheet[36 * place : 36 * place + 28], alone, err_msg=image["name"])


@pytest.mark.parametrize(
    ("method", "query", "shape"),
    [
        ("cam", {}, (3, 3)),
        ("cam", {"target": "neuron:conv2d:1,2,3", "layer": "0"}, (28, 28)),
        ("saliency", {}, (28, 28)),
        ("occlusion", {"patch": 14}, (28, 28)),
        ("activations", {"layers": "conv2d"}, (28, 28, 32)),
        ("predict", {}, (3,)),
    ],
)
def test_a_plain_array_is_the_primary_one(
    service: Service, method: str, query: dict[str, Any], shape: tuple[int, ...]
) -> None:
    answer = post(service, method, query | {"format": "npy"})
    assert answer.status_code == 200, answer.text
    assert np.load(io.BytesIO(answer.content)).shape == shape
    with np.load(io.BytesIO(post(service, method, query | {"format": "npz"}).content)) as arrays:
        np.testing.assert_array_equal(next(iter(arrays.values())), np.load(io.BytesIO(answer.content)))


def test_kernels(service: Service) -> None:
    assert service.client.get(KERNELS, params={"format": "npy"}).status_code == 200
    answer = service.client.get(KERNELS, params={"format": "npy", "outputs": "kernels"})
    problem(answer, 422, "invalid-parameter", "no pictures")


class TestResults:
    """A job's result in another form than its submission's."""

    def job(self, service: Service, method: str, query: dict[str, Any]) -> str:
        headers = {} if method == "maximization" else PNG
        content = b"" if method == "maximization" else PICTURE
        path = f"{MODEL}/{method}"
        made = service.client.post(path, params=query, content=content, headers=headers | ASYNC)
        assert made.status_code == 202, made.text
        done = ended(service, made.json()["id"])
        assert done["state"] == "succeeded"
        return f"/v1/jobs/{done['id']}/result"

    @pytest.mark.parametrize(
        ("method", "query", "words"),
        [("cam", {"target": "top2"}, "2 targets"), ("activations", {}, "8 layers")],
    )
    def test_more_than_one_array(self, service: Service, method: str, query: dict[str, Any], words: str) -> None:
        result = self.job(service, method, query)
        problem(service.client.get(result, params={"format": "npy"}), 422, "invalid-parameter", words, "npz or json")
        assert service.client.get(result, params={"format": "npz"}).status_code == 200

    def test_pictures_that_were_asked_for_at_submission(self, service: Service) -> None:
        result = self.job(service, "occlusion", {"patch": 14, "size": "input", "outputs": "mask,masked"})
        assert shown(service.client.get(result, params={"format": "png"})).shape == (28 + 8 + 28, 28, 3)
        assert np.load(io.BytesIO(service.client.get(result, params={"format": "npy"}).content)).shape == (28, 28)
        answer = service.client.get(result, params={"format": "npy", "outputs": "mask"})
        problem(answer, 422, "invalid-parameter", "no pictures")

    def test_an_ascent_that_moves(self, service: Service) -> None:
        result = self.job(service, "maximization", ASCENT | {"outputs": "grid,animation,history"})
        names = [image["name"] for image in service.client.get(result).json()["images"]]
        assert names == ["grid", "history", "animation"]
        grid = shown(service.client.get(result, params={"format": "png", "outputs": "grid"}))
        history = shown(service.client.get(result, params={"format": "png", "outputs": "history"}))
        sheet = shown(service.client.get(result, params={"format": "png"}))
        assert sheet.shape == (len(grid) + 8 + len(history), max(grid.shape[1], history.shape[1]), 3)
        np.testing.assert_array_equal(sheet[: len(grid), : grid.shape[1]], grid)
        moving = service.client.get(result, params={"format": "webp"})
        assert moving.headers["content-type"] == "image/webp"
        assert Image.open(io.BytesIO(moving.content)).format == "WEBP"
        for form, words in (("png", "nothing that moves"), ("webp", "animation alone")):
            answer = service.client.get(result, params={"format": form, "outputs": "grid,animation"})
            problem(answer, 422, "invalid-parameter", words)


def test_a_sheet_is_bounded(service: Service) -> None:
    """Before it is stacked: a photograph of 36 MP in six pictures is more than one sheet may have."""
    photograph = saved(Image.new("RGB", (6000, 6000)), "PNG", compress_level=1)
    query = {"format": "png", "outputs": "overlay,heatmap", "target": "0,1,2"}
    answer = service.client.post(CAM, params=query, content=photograph, headers=PNG)
    problem(answer, 413, "too-large", "6000×36000 px", "200000000", "size=input")
