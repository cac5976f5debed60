"""What must fail is refused before a job is accepted, and before any method of a call computes."""

from __future__ import annotations

import base64
import itertools
from typing import Any

import httpx
import pytest

from tests import nets
from tests.checks import MODEL, NPY, PNG, as_npy, problem, saved, triangle
from tests.conftest import Service

PICTURE = saved(triangle())
IMAGE = as_npy(nets.IMAGE[0])
ASYNC = {"Prefer": "respond-async"}
# A call that was never made before, so that its answer is not kept.
NUMBERS = itertools.count(1)


def count(service: Service) -> int:
    return len(service.client.get("/v1/jobs", params={"limit": 500}).json()["jobs"])


def traces(service: Service, model: str) -> int | None:
    rows = service.client.get("/v1/models").json()["models"]
    found: int | None = next(row["traces"] for row in rows if row["id"] == model)
    return found


# (network, method, parameters, type of the problem, words of its sentence)
MUST_FAIL: list[tuple[str, str, dict[str, Any], str, list[str]]] = [
    ("pencil", "saliency", {"sign": "signed", "reduce": "l2"}, "invalid-parameter", ["l2 has no sign"]),
    ("pencil", "cam", {"layer": "gap"}, "method-not-valid", ["'gap'", "valid layers are image, conv"]),
    ("pencil", "cam", {"layer": "nope"}, "unknown-layer", ["'nope'"]),
    ("pencil", "cam", {"method": "cam", "layer": "scores"}, "method-not-valid", ["pooled layer 'conv' only"]),
    ("flat", "cam", {"method": "cam"}, "method-not-valid", ["global average pooling"]),
    ("no-maps", "cam", {"method": "ablationcam"}, "method-not-valid", ["no layer with a spatial map"]),
    ("two-outputs", "cam", {"output": "outdoors"}, "invalid-parameter", ["'outdoors'", "animals"]),
    ("swish", "saliency", {"method": "guided_backprop"}, "method-not-valid", ["has none"]),
    ("swish", "saliency", {"method": "deconvnet"}, "method-not-valid", ["has none"]),
    ("no-maps", "saliency", {"method": "guided_gradcam"}, "method-not-valid", ["this network has none"]),
    ("pencil", "saliency", {"method": "guided_gradcam", "layer": "gap"}, "method-not-valid", ["'gap'"]),
    ("pencil", "occlusion", {"patch": "3"}, "invalid-parameter", ["larger than the model's input of 2×3"]),
    ("pencil", "occlusion", {"stride": "2"}, "invalid-parameter", ["never be covered"]),
    ("pencil", "occlusion", {"value": "1,2,256"}, "invalid-parameter", ["0 to 255"]),
    ("pencil", "occlusion", {"measure": "probability", "target": "0-1"}, "method-not-valid", ["a contrast"]),
    ("no-maps", "occlusion", {"measure": "probability"}, "method-not-valid", ["no probability"]),
    ("no-maps", "occlusion", {"strategy": "incremental"}, "method-not-valid", ["save nothing"]),
    ("pencil", "activations", {"layers": "conv,nope"}, "unknown-layer", ["'nope'"]),
    ("pencil", "activations", {"layers": "conv", "channels": "0-2"}, "invalid-parameter", ["channels 0 to 1"]),
    ("no-maps", "activations", {}, "method-not-valid", ["name the layers"]),
    ("segmentation", "predict", {}, "method-not-valid", ["no vector of class scores"]),
    ("pencil", "maximization", {"layer": "conv", "channels": "0,2"}, "invalid-parameter", ["channels 0 to 1"]),
    ("pencil", "maximization", {"layer": "conv", "direction": "0,0"}, "invalid-parameter", ["leads nowhere"]),
    ("pencil", "maximization", {"layer": "conv", "direction": "1"}, "invalid-parameter", ["2 channels"]),
    ("pencil", "maximization", {"layer": "conv", "decorrelate": "true"}, "invalid-parameter", ["three colours"]),
    ("pencil", "maximization", {"layer": "conv", "crop": "1"}, "invalid-parameter", ["leaves nothing"]),
    ("pencil", "maximization", {"layer": "image"}, "method-not-valid", ["the image itself"]),
    ("pencil", "maximization", {"target": "top1"}, "invalid-parameter", ["is a rank"]),
    ("flat", "maximization", {"target": "0", "size": "16"}, "invalid-parameter", ["does not take images of 16×16"]),
]  # fmt: skip


def sent(method: str) -> dict[str, Any]:
    return {} if method == "maximization" else {"content": IMAGE, "headers": NPY}


@pytest.mark.parametrize(("model", "method", "query", "kind", "words"), MUST_FAIL)
def test_a_job_that_must_fail_is_not_accepted(
    pencils: Service, model: str, method: str, query: dict[str, Any], kind: str, words: list[str]
) -> None:
    """Whether the model is warm or cold."""
    path = f"/v1/models/{model}"
    raw = {"preprocess": "false"} if method != "maximization" else {}
    before = count(pencils)
    for state in ("warm", "cold"):
        given = sent(method)
        if state == "cold":
            assert pencils.client.post(f"{path}/unload").json() == {"unloaded": True}
        else:
            assert pencils.client.post(f"{path}/load").status_code == 204
        headers = given.get("headers", {}) | ASYNC
        answer = pencils.client.post(f"{path}/{method}", params=raw | query, **(given | {"headers": headers}))
        problem(answer, 404 if kind.startswith("unknown") else 422, kind, *words)
        pencils.client.post(f"{path}/load")
    assert count(pencils) == before


@pytest.mark.parametrize(
    ("model", "method", "query", "kind", "words"),
    [row for row in MUST_FAIL if row[1] not in ("maximization", "predict") and "output" not in row[2]],
)
def test_no_method_computes_before_all_are_checked(
    pencils: Service, model: str, method: str, query: dict[str, Any], kind: str, words: list[str]
) -> None:
    """A model that has just been loaded has traced nothing, and has traced nothing afterwards."""
    path = f"/v1/models/{model}"
    pencils.client.post(f"{path}/load")
    assert pencils.client.post(f"{path}/unload").json() == {"unloaded": True}
    pencils.client.post(f"{path}/load")
    asked = dict(query)
    wrong: dict[str, Any] = {
        "method": method,
        **({"variant": asked.pop("method")} if "method" in asked else {}),
        **asked,
    }
    first = {"method": "activations", "layers": "0"}
    answer = explain(pencils, path, first, wrong)
    problem(answer, 404 if kind.startswith("unknown") else 422, kind, *words)
    assert traces(pencils, model) == 0
    assert explain(pencils, path, first).status_code == 200
    assert traces(pencils, model) == 1


def explain(service: Service, path: str, *methods: dict[str, Any]) -> httpx.Response:
    image = base64.b64encode(PICTURE).decode()
    return service.client.post(f"{path}/explain", json={"image": image, "methods": methods, "top": next(NUMBERS)})


def test_a_submission_waits_for_a_busy_engine_and_is_checked(service: Service) -> None:
    """The engine computes another job meanwhile."""
    query = {"layer": "conv2d_3", "channels": "0-31", "steps": 10_000}
    running = service.client.post(f"{MODEL}/maximization", params=query, headers=ASYNC).json()["id"]
    before = count(service)
    wrong = service.client.post(f"{MODEL}/cam", params={"layer": "dense"}, content=PICTURE, headers=PNG | ASYNC)
    problem(wrong, 422, "method-not-valid", "'dense'")
    assert count(service) == before
    service.client.delete(f"/v1/jobs/{running}")


def test_a_job_for_a_model_that_cannot_be_loaded_is_not_accepted(data: Any, service: Service) -> None:
    before = count(service)
    path = "/v1/models/rcmalli__squeezenet_notop/maximization"
    for headers in (ASYNC, {"Prefer": "wait=30"}, {}):
        answer = service.client.post(path, params={"layer": "0"}, headers=headers)
        problem(answer, 409, "model-not-loadable", "architecture")
    assert count(service) == before
