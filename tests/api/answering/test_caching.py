"""Answers that are kept: the same bytes, an ETag, 304, and never those of another model."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.checks import CAM, MODEL, PNG, openapi, saved, triangle
from tests.conftest import ROOT, Service, start_service

PICTURE = saved(triangle())
SHAPES = ROOT / "service" / "models" / "catalogue" / "shapes"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("caching")
    shutil.copytree(SHAPES, folder / "models" / "mine")
    spec = folder / "models" / "mine" / "model.toml"
    spec.write_text(spec.read_text().replace('"shapes"', '"mine"', 1))
    running = start_service(folder, preload="shapes", models_dir=folder / "models")
    yield running
    running.stop()


def post(service: Service, path: str = CAM, headers: dict[str, str] | None = None, **query: str) -> httpx.Response:
    return service.client.post(path, params=query, content=PICTURE, headers=PNG | (headers or {}))


def hit(answer: httpx.Response) -> bool:
    return answer.headers["server-timing"].startswith("cache;desc=hit")


def test_the_same_again_is_not_computed_again(own: Service) -> None:
    first, second = post(own, target="square"), post(own, target="square")
    assert not hit(first)
    assert hit(second)
    assert second.content == first.content
    assert second.headers["etag"] == first.headers["etag"]
    assert second.headers["content-type"] == first.headers["content-type"]
    assert second.headers["x-request-id"] != first.headers["x-request-id"]


@pytest.mark.parametrize("form", ["png", "npy", "npz", "json"])
def test_each_form_is_kept_as_it_is(own: Service, form: str) -> None:
    first, second = post(own, format=form), post(own, format=form)
    assert hit(second)
    assert (second.content, second.headers["content-type"]) == (first.content, first.headers["content-type"])


@pytest.mark.parametrize("path", [CAM, f"{MODEL}/explain"])
def test_c4_a_post_gets_200_from_what_is_kept(own: Service, path: str) -> None:
    """RFC 9110, 13.1.2: 304 answers GET and HEAD only."""
    query = {"methods": "predict"} if path.endswith("explain") else {}
    first = post(own, path, **query)
    tag = first.headers["etag"]
    for given in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*", '"other"'):
        answer = post(own, path, headers={"If-None-Match": given}, **query)
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (200, first.content, tag)
        assert hit(answer)


def test_c4_a_get_gets_304(own: Service) -> None:
    path = f"{MODEL}/layers/conv2d/kernels"
    first = own.client.get(path)
    tag = first.headers["etag"]
    for given in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        answer = own.client.get(path, headers={"If-None-Match": given})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    again = own.client.get(path, headers={"If-None-Match": '"other"'})
    assert (again.status_code, again.content) == (200, first.content)
    other = own.client.get(path, headers={"If-None-Match": tag}, params={"format": "png"})
    assert (other.status_code, other.headers["etag"] == tag) == (200, False)


def test_c4_only_the_get_with_a_tag_documents_304() -> None:
    found = {
        f"{method} {path}"
        for path, operations in openapi()["paths"].items()
        for method, operation in operations.items()
        if "304" in operation["responses"]
        or any(each["name"] == "If-None-Match" for each in operation.get("parameters", ()))
    }
    assert found == {"get /v1/models/{model_id}/layers/{layer}/kernels"}


def test_errors_are_not_kept(own: Service) -> None:
    for _ in range(2):
        answer = post(own, target="dog")
        assert answer.status_code == 404
        assert "etag" not in answer.headers
    assert post(own, headers={"If-None-Match": "*"}, target="dog").status_code == 404


def test_a_model_whose_spec_was_changed_is_another(own: Service) -> None:
    path = "/v1/models/mine/cam"
    first = post(own, path)
    assert hit(post(own, path))
    spec = Path(own.log.parent) / "models" / "mine" / "model.toml"
    spec.write_text('cam_layer = "conv2d_1"\n' + spec.read_text())
    assert own.client.post("/v1/models/mine/unload").status_code == 200
    second = post(own, path)
    assert not hit(second)
    assert second.headers["etag"] != first.headers["etag"]
    layers = [answer.json()["method"]["parameters"]["layer"] for answer in (first, second)]
    assert layers[0] != layers[1] == "conv2d_1"


def test_tags_outlive_a_restart_of_the_engine(own: Service) -> None:
    tag = post(own).headers["etag"]
    assert own.client.post(f"{MODEL}/unload").status_code in (200, 409)
    assert post(own).headers["etag"] == tag


def test_off(tmp_path: Path) -> None:
    service = start_service(tmp_path, preload="shapes", cache_bytes="0")
    try:
        first, second = post(service, format="npy"), post(service, format="npy")
        assert "etag" not in first.headers
        assert not hit(second)
        np.testing.assert_array_equal(first.content, second.content)
    finally:
        service.stop()
