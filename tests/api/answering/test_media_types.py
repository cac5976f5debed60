"""Every media type that the OpenAPI document names is answered, and no other is."""

from __future__ import annotations

import base64
import io
from typing import Any

import httpx
import pytest
from PIL import Image

from service.api.answering.schemas import ExplanationOut, ImageOut
from tests.api.routes.test_jobs import ended
from tests.checks import MODEL, PNG, openapi, problem, saved, triangle
from tests.conftest import Service

PICTURE = saved(triangle())
TEMPLATES = {"{model_id}": "shapes", "{layer}": "conv2d"}
MAGIC = {
    "image/png": b"\x89PNG",
    "image/jpeg": b"\xff\xd8\xff",
    "image/webp": b"RIFF",
    "image/gif": b"GIF8",
    "application/x-npy": b"\x93NUMPY",
    "application/x-npz": b"PK",
    "application/json": b"{",
}
QUERY = {
    "activations": {"layers": "conv2d"},
    "maximization": {"layer": "conv2d", "channels": "0", "steps": 2, "size": 16, "outputs": "animation"},
    "occlusion": {"patch": 14},
    "explain": {"methods": "predict"},
    "evaluate": {"methods": "gradcam", "metrics": "complexity"},
    "concepts": {"concepts": 2, "draws": 8, "examples": 2},
}


def documented(path: str, method: str) -> dict[str, Any]:
    found: dict[str, Any] = openapi()["paths"][path][method]["responses"].get("200", {}).get("content", {})
    return found


ROUTES = [
    (method, path, media)
    for path, operations in openapi()["paths"].items()
    for method in operations
    if path.startswith("/v1/models/{model_id}/") and "application/x-npz" in documented(path, method)
    for media in documented(path, method)
]


def asked(service: Service, method: str, path: str, media: str) -> httpx.Response:
    name = path.rsplit("/", 1)[-1]
    query = dict(QUERY.get(name, {}))
    if name == "maximization" and media not in ("image/webp", "image/gif", "application/json"):
        query.pop("outputs", None)
    for template, value in TEMPLATES.items():
        path = path.replace(template, value)
    headers = {"Accept": media}
    if method == "get":
        return service.client.get(path, params=query, headers=headers)
    if name == "maximization":
        return service.client.post(path, params=query, headers=headers | {"Prefer": "wait=60"})
    if name == "concepts":
        files = [("images", (f"{place}.png", saved(triangle().rotate(place)))) for place in range(3)]
        return service.client.post(path, params=query, headers=headers | {"Prefer": "wait=60"}, files=files)
    return service.client.post(path, params=query, headers=headers | PNG, content=PICTURE)


@pytest.mark.parametrize(("method", "path", "media"), ROUTES)
def test_what_is_named_is_given(service: Service, method: str, path: str, media: str) -> None:
    answer = asked(service, method, path, media)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == media
    assert answer.content.startswith(MAGIC[media])


@pytest.mark.parametrize(("method", "path"), sorted({(method, path) for method, path, _ in ROUTES}))
def test_what_is_not_named_is_refused(service: Service, method: str, path: str) -> None:
    for media in MAGIC:
        if media not in documented(path, method):
            problem(asked(service, method, path, media), 406, "not-acceptable", *documented(path, method))


def test_methods_without_pictures_name_none() -> None:
    assert set(documented("/v1/models/{model_id}/predict", "post")) == {
        "application/json", "application/x-npy", "application/x-npz",
    }  # fmt: skip


def test_the_pictures_in_json_are_what_they_say(service: Service) -> None:
    """Stills are what was asked for, an animation WebP, as the schema says; GIF comes only as a file of its own."""
    query = {"layer": "conv2d", "channels": "0", "steps": 2, "size": 16, "outputs": "grid,history,animation"}
    answer = service.client.post(f"{MODEL}/maximization", params=query, headers={"Prefer": "wait=60"})
    images = ExplanationOut.model_validate(answer.json()).images
    assert {image.name: image.media_type for image in images} == {
        "grid": "image/png", "history": "image/png", "animation": "image/webp",
    }  # fmt: skip
    for image in images:
        with Image.open(io.BytesIO(base64.b64decode(image.data))) as picture:
            assert Image.MIME[picture.format or ""] == image.media_type
            assert picture.size == (image.width, image.height)
    allowed = ImageOut.model_json_schema()["properties"]["media_type"]["enum"]
    for form in ("jpeg", "webp"):
        answer = service.client.post(f"{MODEL}/cam?picture={form}", headers=PNG, content=PICTURE)
        images += ExplanationOut.model_validate(answer.json()).images
    assert set(allowed) == {image.media_type for image in images}
    assert "WebP" in ImageOut.model_json_schema()["description"]


def test_304_is_named_where_it_is_given(service: Service) -> None:
    """It is where an answer has an `ETag`: never a job's."""
    for path, operations in openapi()["paths"].items():
        for method, operation in operations.items():
            header = any(item["name"] == "If-None-Match" for item in operation.get("parameters", ()))
            given = "304" in operation["responses"]
            if "{job_id}" in path or path.endswith("/maximization"):
                assert not given, path
            elif header:
                assert given, (method, path)
    job = service.client.post(f"{MODEL}/predict", content=PICTURE, headers=PNG | {"Prefer": "respond-async"}).json()[
        "id"
    ]
    ended(service, job)
    assert "etag" not in service.client.get(f"/v1/jobs/{job}/result").headers


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
def test_metrics(service: Service, accept: str) -> None:
    answer = service.client.get("/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"].split(";")[0] in documented("/metrics", "get")
    assert answer.headers["content-type"].startswith(accept.split(";")[0] or "text/plain")


def test_curl_that_calls_json_an_urlencoded_form(service: Service) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = service.client.post(f"{MODEL}:predict", content=b"{}", headers=headers)
    said = "and -H 'Content-Type: application/json' is what is missing; send application/json"
    problem(answer, 415, "unsupported-media-type", said)
