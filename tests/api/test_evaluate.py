"""Evaluation over HTTP: the table, pictures, a map of the caller's own, jobs, and what is refused."""

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
from tests.checks import NPY, as_npy, problem
from tests.conftest import Service

IMAGE = as_npy(nets.IMAGE[0])
URL = "/v1/models/pencil/evaluate"
ASKED = {
    "methods": "gradient,occlusion", "metrics": "deletion,insertion,energy,complexity", "box": "0,1,2,3",
    "preprocess": "false", "target": "1", "value": "zero", "canvas": "zero", "measure": "score", "steps": "6",
}  # fmt: skip
# Logit 1 of the pencil net is 2·Σx⁻ + 1: 9 for the whole image, and what each pixel adds is 0 but for two of them.
ADDS = np.array([[0, 0, 2], [0, 6, 0]], np.float32)


def sent(pencils: Service, headers: dict[str, str] | None = None, **params: Any) -> httpx.Response:
    files: dict[str, Any] = {"image": ("x.npy", IMAGE, NPY["Content-Type"])}
    if own := params.pop("own_map", None):
        files["own_map"] = ("map", own)
    return pencils.client.post(URL, files=files, data=ASKED | params, headers=headers or {})


def rows(answer: httpx.Response) -> dict[str, dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return {row["name"]: row for row in answer.json()["statistics"]["rows"]}


def test_a_map_of_ones_own_that_is_right_comes_first(pencils: Service) -> None:
    found = rows(sent(pencils, own_map=as_npy(ADDS)))
    own = found["own_map"]
    # The pixels go one by one: 9, 3, 1, 1, …; they come as 1, 7, 9, 9, ….
    assert own["deletion"] == pytest.approx((9 / 2 + 3 + 1 * 4 + 1 / 2) / 6, abs=1e-5)
    assert own["insertion"] == pytest.approx((1 / 2 + 7 + 9 * 4 + 9 / 2) / 6, abs=1e-5)
    assert own["energy"] == pytest.approx(1)
    assert own["complexity"] == pytest.approx(-(0.25 * np.log(0.25) + 0.75 * np.log(0.75)))
    assert own["rank"] == 1
    assert list(found) == ["gradient", "occlusion", "own_map", "random_pixels", "random_cells"]


def test_the_answer_says_what_each_number_means(pencils: Service) -> None:
    said = sent(pencils).json()
    assert said["method"]["parameters"]["measure"] == "score"
    assert said["target"]["class_index"] == 1
    metrics = {row["name"]: row for row in said["statistics"]["metrics"]}
    assert list(metrics) == ["deletion", "insertion", "energy", "complexity"]
    assert all(row["meaning"] and row["caution"] and row["paper"] for row in metrics.values())
    assert said["statistics"]["measured"] == pytest.approx(9)
    assert [picture["name"] for picture in said["images"]] == ["chart", "curves"]


def test_pictures_and_arrays(pencils: Service) -> None:
    shown = Image.open(io.BytesIO(sent(pencils, format="png").content))
    assert shown.width > 600
    assert shown.height > 200
    arrays = np.load(io.BytesIO(sent(pencils, format="npz").content))
    assert {name: arrays[name].shape for name in arrays} == {
        "heatmaps": (4, 2, 3), "deletion": (4, 7), "insertion": (4, 7), "deletion_numbers": (4,),
        "insertion_numbers": (4,), "energy_numbers": (4,), "complexity_numbers": (4,),
    }  # fmt: skip
    curve = np.load(io.BytesIO(sent(pencils, format="npy").content))
    np.testing.assert_array_equal(curve, arrays["heatmaps"])


def test_methods_with_parameters_of_their_own(pencils: Service) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((2, 3), np.uint8)).save(stream, "PNG")
    rise = {"method": "perturbation", "variant": "rise", "samples": 20}
    body = {
        **{name: value for name, value in ASKED.items() if name != "preprocess"},
        "image": base64.b64encode(stream.getvalue()).decode(),
        "methods": ["gradient", {"method": "gradient", "sign": "signed"}, rise],
    }
    answer = pencils.client.post(URL, json=body)
    assert list(rows(answer))[:3] == ["gradient", "gradient#2", "perturbation"]


def test_as_a_job(pencils: Service) -> None:
    direct = rows(sent(pencils))
    job = sent(pencils, {"Prefer": "respond-async"}).json()
    deadline = time.monotonic() + 60
    while (state := pencils.client.get(f"/v1/jobs/{job['id']}").json())["state"] not in ("succeeded", "failed"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert state["state"] == "succeeded", state
    assert rows(pencils.client.get(f"/v1/jobs/{job['id']}/result")) == direct


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"methods": "gradient,nothing"}, "there is no method 'nothing'"),
        ({"methods": "activations"}, "'activations' gives no map of the image"),
        ({"methods": "gradient,evaluate"}, "'evaluate' cannot be one of several methods"),
        ({"metrics": "deletion,speed"}, "speed"),
        ({"box": "1,2,3"}, "top,left,bottom,right"),
        ({"own_map": b"no picture"}, "own_map"),
        ({"own_map": as_npy(np.zeros((2, 3, 2)))}, "(height, width)"),
        ({"radius": "0.1"}, "max_sensitivity"),
    ],
)
def test_what_is_refused(pencils: Service, params: dict[str, Any], said: str) -> None:
    answer = sent(pencils, **params)
    kind = "unknown-method" if answer.status_code == 404 else "invalid-parameter"
    assert said in problem(answer, 404 if "method '" in said or "several methods" in said else 422, kind)["detail"]


def test_it_is_no_method_among_several(pencils: Service) -> None:
    answer = pencils.client.post("/v1/models/pencil/explain", files={"image": IMAGE}, data={"methods": "evaluate"})
    assert problem(answer, 404, "unknown-method")["detail"].startswith("'evaluate' cannot be one of several methods")
