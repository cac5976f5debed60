"""Perturbation over HTTP: parts that the caller draws, pictures, jobs with progress, and what is refused."""

from __future__ import annotations

import base64
import io
import time
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests import nets
from tests.checks import MODEL, NPY, PNG, as_npy, problem, saved, triangle
from tests.conftest import Service

IMAGE = as_npy(nets.IMAGE[0])
PARTS = np.array([[0, 0, 1], [2, 2, 1]])
# Logit 1 of the pencil net is 2·Σx⁻ + 1, and x⁻ is 1 in part 1 and 3 in part 2.
VALUES = [[0, 0, 2], [6, 6, 2]]
SHAP = {"method": "kernelshap", "target": "1", "value": "zero", "preprocess": "false", "arrays": "list"}


def as_png(labels: np.ndarray, mode: str = "L") -> bytes:
    """Labels as a picture: grey levels, or colours of a palette."""
    picture = Image.fromarray((labels * 40).astype(np.uint8))
    if mode == "P":
        picture = picture.copy()
        picture.putpalette([level * 7 % 256 for level in range(768)])
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def sent(pencils: Service, parts: bytes, **params: Any) -> httpx.Response:
    files = {"image": ("x.npy", IMAGE, NPY["Content-Type"]), "segment_map": ("parts", parts)}
    return pencils.client.post("/v1/models/pencil/perturbation", files=files, data=SHAP | params)


def array(answer: httpx.Response, name: str) -> Any:
    assert answer.status_code == 200, answer.text
    return next(each["data"] for each in answer.json()["arrays"] if each["name"] == name)


@pytest.mark.parametrize("parts", [as_npy(PARTS), as_png(PARTS), as_png(PARTS, "P"), as_npy(7 - 3 * PARTS)])
def test_each_number_or_colour_is_a_part(pencils: Service, parts: bytes) -> None:
    answer = sent(pencils, parts)
    np.testing.assert_allclose(array(answer, "heatmap"), VALUES, atol=1e-5)
    said = answer.json()["method"]["parameters"]
    assert (said["segment_count"], said["samples_used"], said["exact"]) == (3, 8, True)
    assert "segment_map" not in said


def test_a_larger_map_of_parts_lies_over_the_input(pencils: Service) -> None:
    answer = sent(pencils, as_npy(PARTS.repeat(30, 0).repeat(30, 1)))
    np.testing.assert_allclose(array(answer, "heatmap"), VALUES, atol=1e-5)
    np.testing.assert_array_equal(array(answer, "segments"), PARTS)


def test_parts_as_base64_for_one_of_several_methods(service: Service) -> None:
    asked = {
        "image": base64.b64encode(saved(triangle())).decode(),
        "methods": [
            {"method": "kernelshap", "samples": 16, "segment_map": base64.b64encode(as_png(PARTS)).decode()},
            {"method": "lime", "samples": 64, "cells": "3"},
        ],
        "arrays": "list",
    }
    answer = service.client.post(f"{MODEL}/explain", json=asked)
    assert answer.status_code == 200, answer.text
    first, second = answer.json()["results"]
    assert first["method"]["parameters"]["segment_count"] == 3
    assert second["method"]["parameters"]["segment_count"] == 9


REFUSED = [
    (saved(triangle()), {"segments": "grid"}, ["segment_map", "give one of the two"]),
    (b"nothing", {}, ["segment_map", "look like plain text"]),
    (as_npy(PARTS + 0.5), {}, ["segment_map", "whole numbers"]),
    (as_npy(np.zeros((2, 3, 4))), {}, ["segment_map", "whole numbers, not (2, 3, 4)"]),
    (as_npy(np.zeros((4, 4))), {}, ["segment_map has 1 segments", "2 to 1024"]),
    (as_npy(PARTS), {"method": "rise"}, ["rise does not take it"]),
]


@pytest.mark.parametrize(("parts", "params", "said"), REFUSED)
def test_parts_that_are_none(pencils: Service, parts: bytes, params: dict[str, str], said: list[str]) -> None:
    problem(sent(pencils, parts, **params), 422, "invalid-parameter", *said)


def test_a_jpeg_is_no_map_of_parts(pencils: Service) -> None:
    stream = io.BytesIO()
    Image.fromarray((PARTS * 40).astype(np.uint8)).save(stream, "JPEG")
    problem(sent(pencils, stream.getvalue()), 422, "invalid-parameter", "JPEG and WebP change colours")


def test_the_image_is_sent_once(pencils: Service) -> None:
    files = [("image", ("x.npy", IMAGE, NPY["Content-Type"]))] * 2
    problem(pencils.client.post("/v1/models/pencil/cam", files=files), 400, "malformed-body", "sent twice")


def test_a_picture_of_what_is_for_and_against(service: Service) -> None:
    answer = service.client.post(
        f"{MODEL}/perturbation",
        params={"method": "partitionshap", "format": "png", "outputs": "heatmap", "samples": 100},
        content=saved(triangle()),
        headers=PNG,
    )
    assert answer.status_code == 200, answer.text
    picture = Image.open(io.BytesIO(answer.content))
    assert picture.size == (60, 40)


def test_a_job_tells_its_progress_and_shows_the_map_so_far(service: Service) -> None:
    answer = service.client.post(
        f"{MODEL}/perturbation",
        params={"method": "rise", "samples": 6000, "cells": "5"},
        content=saved(triangle()),
        headers=PNG | {"Prefer": "respond-async"},
    )
    assert answer.status_code == 202, answer.text
    where = answer.headers["Location"]
    deadline, seen, shown = time.monotonic() + 120, set(), b""
    while time.monotonic() < deadline:
        job = service.client.get(where).json()
        seen.add(job["progress"])
        if job["state"] in ("succeeded", "failed"):
            break
        preview = service.client.get(f"{where}/preview")
        shown = preview.content if preview.status_code == 200 else shown
        time.sleep(0.1)
    assert job["state"] == "succeeded", job
    assert len(seen) > 2
    result = service.client.get(f"{where}/result", params={"format": "npy"})
    heatmap = np.load(io.BytesIO(result.content))
    direct = service.client.post(
        f"{MODEL}/perturbation",
        params={"method": "rise", "samples": 2000, "cells": "5", "format": "npy", "seed": 1},
        content=saved(triangle()),
        headers=PNG,
    )
    other = np.load(io.BytesIO(direct.content))
    assert np.corrcoef(heatmap.ravel(), other.ravel())[0, 1] > 0.8
    if shown:
        assert Image.open(io.BytesIO(shown)).size == heatmap.shape[::-1]
