"""What pictures are written as, how much of them is kept, and how large they are, over HTTP and in jobs."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.checks import CAM, PNG, saved, triangle
from tests.conftest import Service

MODEL = "/v1/models/shapes"
PICTURE = saved(triangle())
LARGE = saved(Image.fromarray(np.asarray(triangle())).resize((640, 480), Image.Resampling.BICUBIC))


def post(service: Service, query: dict[str, Any], route: str = CAM, content: bytes = LARGE, **headers: str) -> Any:
    answer = service.client.post(route, params=query, content=content, headers={**PNG, **headers})
    assert answer.status_code == 200, answer.text
    return answer


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def rgb(data: bytes) -> np.ndarray:
    return np.asarray(opened(data).convert("RGB"), int)


@pytest.mark.parametrize("form", ["jpeg", "webp"])
def test_an_answer_that_is_a_picture(service: Service, form: str) -> None:
    exact = rgb(post(service, {"format": "png"}).content)
    usual = post(service, {"format": form})
    assert usual.headers["content-type"] == f"image/{form}"
    assert (opened(usual.content).format or "").lower() == form
    assert usual.content == post(service, {}, Accept=f"image/{form}").content
    assert np.abs(rgb(usual.content) - exact).mean() < 2
    poor = post(service, {"format": form, "quality": 10}).content
    assert len(poor) < 0.6 * len(usual.content)
    assert np.abs(rgb(poor) - exact).mean() > np.abs(rgb(usual.content) - exact).mean()


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
def test_pictures_within_json(service: Service, form: str) -> None:
    found = post(service, {"picture": form, "max_side": 200}).json()["images"]
    assert {image["name"] for image in found} == {"heatmap", "overlay"}
    for image in found:
        data = base64.b64decode(image["data"])
        assert image["media_type"] == f"image/{form}"
        assert (image["width"], image["height"]) == opened(data).size == (200, 150)
        assert (opened(data).format or "").lower() == form


def test_every_method_draws_within_max_side(service: Service) -> None:
    methods = ["cam", "occlusion", "saliency", "activations"]
    body = {"image": base64.b64encode(LARGE).decode(), "methods": methods, "picture": "jpeg", "max_side": 64}
    answer = service.client.post(f"{MODEL}/explain", json=body)
    assert answer.status_code == 200, answer.text
    for result in answer.json()["results"]:
        assert result["images"]
        for image in result["images"]:
            assert max(image["width"], image["height"]) == 64, image["name"]
            assert opened(base64.b64decode(image["data"])).format == "JPEG"


def test_a_sheet_of_several(service: Service) -> None:
    answer = post(service, {"format": "jpeg", "outputs": "heatmap,overlay", "max_side": 160})
    assert opened(answer.content).size == (160, 2 * 120 + 8)


def test_a_job_of_a_method_that_does_not_move(service: Service) -> None:
    headers = {**PNG, "Prefer": "respond-async, wait=60"}
    submitted = service.client.post(CAM, params={"picture": "webp", "max_side": 100}, content=LARGE, headers=headers)
    assert submitted.status_code == 200, submitted.text
    assert {image["media_type"] for image in submitted.json()["images"]} == {"image/webp"}
    job = service.client.get("/v1/jobs?limit=1").json()["jobs"][0]
    result = job["links"]["result"]
    for form in ("png", "jpeg", "webp"):
        picture = service.client.get(result, params={"format": form})
        assert picture.headers["content-type"] == f"image/{form}"
        # As the job was asked for; what is said now goes before it.
        assert opened(picture.content).size == (100, 75)
        larger = service.client.get(result, params={"format": form, "max_side": 300})
        assert opened(larger.content).size == (300, 225)
    again = service.client.get(result).json()["images"]
    assert {image["media_type"] for image in again} == {"image/webp"}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"format": "png", "picture": "jpeg"}, "'picture' says what the pictures of format=json are; with format=png"),
        ({"quality": 80}, "takes no 'quality'; ask for format=jpeg or webp, or for picture=jpeg in JSON"),
        ({"format": "png", "quality": 80}, "PNG keeps every pixel"),
        ({"format": "npz", "quality": 80}, "format=npz holds no pictures; leave 'quality' out"),
        ({"format": "npy", "max_side": 80}, "format=npy holds no pictures; leave 'max_side' out"),
    ],
)
def test_wishes_that_do_not_go_together(service: Service, query: dict[str, Any], words: str) -> None:
    answer = service.client.post(CAM, params=query, content=PICTURE, headers=PNG)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_an_ascent_moves_in_webp_and_is_still_in_jpeg(service: Service) -> None:
    query = {"layer": "conv2d", "channels": "0,1", "steps": 4, "size": 32, "frames": 4}
    job = service.client.post(
        f"{MODEL}/maximization", params=query | {"format": "jpeg", "quality": 70}, headers={"Prefer": "wait=60"}
    )
    assert job.status_code == 200, job.text
    assert opened(job.content).format == "JPEG"
    result = service.client.get("/v1/jobs?limit=1").json()["jobs"][0]["links"]["result"]
    moving = service.client.get(result, params={"format": "webp"})
    assert opened(moving.content).format == "WEBP"
    assert "jpeg" not in moving.headers["content-type"]
    for wish in ("quality", "max_side"):
        refused = service.client.get(result, params={"format": "webp", wish: 50})
        assert refused.status_code == 422
        assert f"'{wish}' is for still pictures, and format=webp moves" in refused.json()["detail"]


@pytest.mark.parametrize("size", [(1000, 1500), (1500, 1000)])
def test_a_large_photograph_is_seen_the_same_cold_and_warm(service: Service, size: tuple[int, int]) -> None:
    """The api resizes it for a warm model, the engine for a cold one."""
    data = saved(Image.fromarray(np.asarray(triangle())).resize(size, Image.Resampling.BICUBIC))
    answers = []
    for unloaded in (True, False):
        if unloaded:
            assert service.client.post(f"{MODEL}/unload").status_code in (200, 202, 204)
        query = {"arrays": "base64", "alpha": 0.3 if unloaded else 0.31}
        found = post(service, query, content=data).json()
        answers.append((found["arrays"], found["predictions"], [image["width"] for image in found["images"]]))
    assert answers[0] == answers[1]
    assert answers[0][2] == [size[0], size[0]]
