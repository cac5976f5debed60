"""The Open Inference Protocol: its shapes, its errors, and the numbers of our own routes."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.api.answering.schemas_inference import InferenceResponse, ModelMetadata
from service.api.problems import InferenceErrors
from service.app import create_app
from service.settings import Settings
from tests.api.conftest import KEY
from tests.api.guarding.test_scopes import ask
from tests.api.routes.test_kserve_v1 import ARRAY, OTHER, PICTURE, probabilities
from tests.checks import LEAKS, MODEL, PNG, as_npy, operation, saved, triangle
from tests.conftest import Service

V2 = "/v2/models/shapes"


def tensor(data: Any, shape: list[int], datatype: str = "FP32", name: str = "image") -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def pictures(*files: bytes) -> dict[str, Any]:
    return tensor([base64.b64encode(data).decode() for data in files], [len(files)], "BYTES")


def infer(service: Service, given: dict[str, Any], path: str = V2, **more: Any) -> httpx.Response:
    return service.client.post(f"{path}/infer", json={"inputs": [given], **more})


def outputs(answer: httpx.Response) -> dict[str, np.ndarray[Any, Any]]:
    assert answer.status_code == 200, answer.text
    sent = InferenceResponse.model_validate(answer.json())
    return {item.name: np.array(item.data).reshape(item.shape) for item in sent.outputs}


def error(answer: httpx.Response, status: int, *words: str) -> None:
    """The protocol's own error, of a status that is documented."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert "x-request-id" in answer.headers
    body = answer.json()
    assert set(body) == {"error"}
    for word in words:
        assert word in body["error"], body
    assert not LEAKS.search(answer.text)
    documented = operation(answer.request.method, answer.request.url.path)
    assert not documented or str(status) in documented["responses"]


class TestMetadata:
    def test_of_the_server(self, service: Service) -> None:
        said = service.client.get("/v2").json()
        assert set(said) == {"name", "version", "extensions"}
        assert service.client.get("/v2/", follow_redirects=True).json() == said

    def test_of_a_model(self, service: Service) -> None:
        said = service.client.get(V2).json()
        ModelMetadata.model_validate(said)
        assert set(said) == {"name", "platform", "inputs", "outputs"}
        assert said["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 28, 28, 3]}]
        assert [(item["name"], item["shape"]) for item in said["outputs"]] == [
            ("probabilities", [-1, 3]),
            ("logits", [-1, 3]),
        ]

    def test_of_a_model_without_probabilities_and_of_one_without_classes(self, pencils: Service) -> None:
        names = {
            name: [item["name"] for item in pencils.client.get(f"/v2/models/{name}").json()["outputs"]]
            for name in ("relu", "segmentation", "binary")
        }
        assert names == {"relu": ["values"], "segmentation": [], "binary": ["probabilities", "logits"]}

    def test_health(self, service: Service) -> None:
        assert service.client.get("/v2/health/live").json() == {"live": True}
        assert service.client.get("/v2/health/ready").json() == {"live": True, "ready": True}

    def test_a_model_is_ready_once_it_is_warm(self, pencils: Service) -> None:
        path = "/v2/models/additive"
        pencils.client.post("/v1/models/additive/unload")
        cold = pencils.client.get(f"{path}/ready")
        assert (cold.status_code, cold.json()) == (503, {"name": "additive", "ready": False})
        assert pencils.client.get(path).status_code == 200
        warm = pencils.client.get(f"{path}/ready")
        assert (warm.status_code, warm.json()) == (200, {"name": "additive", "ready": True})


class TestInfer:
    def test_pictures(self, service: Service) -> None:
        answer = infer(service, pictures(PICTURE, OTHER), id="42")
        expected = [probabilities(service, MODEL, data, 3) for data in (PICTURE, OTHER)]
        np.testing.assert_allclose(outputs(answer)["probabilities"], expected, rtol=0, atol=1e-6)
        assert answer.json()["id"] == "42"
        assert answer.json()["model_name"] == "shapes"
        assert not {"model_version", "parameters"} & set(answer.json())

    @pytest.mark.parametrize("flat", [True, False])
    def test_arrays(self, service: Service, flat: bool) -> None:
        batch = np.stack([ARRAY, ARRAY / 2])
        data = batch.ravel().tolist() if flat else batch.tolist()
        found = outputs(infer(service, tensor(data, [2, 28, 28, 3])))
        expected = [
            probabilities(service, MODEL, as_npy(part.astype(np.float32)), 3, preprocess="false") for part in batch
        ]
        np.testing.assert_allclose(found["probabilities"], expected, rtol=0, atol=1e-6)
        exponents = np.exp(found["logits"] - found["logits"].max(axis=1, keepdims=True))
        np.testing.assert_allclose(exponents / exponents.sum(axis=1, keepdims=True), expected, rtol=0, atol=1e-6)

    def test_pixels(self, service: Service) -> None:
        pixels = np.asarray(triangle(), np.uint8)
        given = tensor(pixels.ravel().tolist(), [1, *pixels.shape], "UINT8")
        found = outputs(infer(service, given, parameters={"preprocess": True}))
        np.testing.assert_allclose(
            found["probabilities"], [probabilities(service, MODEL, PICTURE, 3)], rtol=0, atol=1e-6
        )

    def test_outputs_that_are_asked_for(self, service: Service) -> None:
        found = outputs(infer(service, pictures(PICTURE), outputs=[{"name": "logits"}]))
        assert list(found) == ["logits"]

    def test_one_sigmoid_unit_has_two_classes(self, pencils: Service) -> None:
        shape = pencils.client.get("/v2/models/binary").json()["inputs"][0]["shape"][1:]
        given = tensor(np.ones(shape).ravel().tolist(), [1, *shape])
        found = outputs(infer(pencils, given, "/v2/models/binary"))
        assert found["probabilities"].shape == (1, 2)
        assert found["probabilities"].sum() == pytest.approx(1, abs=1e-6)
        assert found["logits"][0, 0] == pytest.approx(-found["logits"][0, 1])

    def test_probabilities_of_a_model_that_has_none(self, pencils: Service) -> None:
        shape = pencils.client.get("/v2/models/relu").json()["inputs"][0]["shape"][1:]
        given = tensor(np.ones(shape).ravel().tolist(), [1, *shape])
        assert list(outputs(infer(pencils, given, "/v2/models/relu"))) == ["values"]
        answer = infer(pencils, given, "/v2/models/relu", outputs=[{"name": "probabilities"}])
        error(answer, 422, "gives no probabilities; ask for values")


FULL = [1, 28, 28, 3]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (tensor(ARRAY.ravel().tolist(), [1, 28, 28, 1]), "shape [1, 28, 28, 1] and 2352 elements"),
        (tensor(ARRAY.ravel().tolist(), [28, 28, 3]), "send [N, height, width, channels]"),
        (tensor([ARRAY.tolist()], [1, 28, 84, 1]), "its lists have [1, 28, 28, 3]"),
        (tensor(ARRAY[:, :14].ravel().tolist(), [1, 28, 14, 3]), "(28, 28, 3), got (28, 14, 3)"),
        (tensor([1, [2, 3]], [1, 1, 1, 3]), "ragged"),
        (tensor(["a"], [1, 1, 1, 1]), "lists of numbers"),
        (tensor(ARRAY.ravel().tolist(), FULL, "FP64"), "is of 'FP64'; send FP32, UINT8, BYTES"),
        (tensor(ARRAY.ravel().tolist(), FULL, "UINT8"), "whole numbers from 0 to 255"),
        (tensor([256] * 2352, FULL, "UINT8"), "whole numbers from 0 to 255"),
        (tensor(ARRAY.ravel().tolist(), FULL, name="input-0"), "no input 'input-0'; it is 'image'"),
        (tensor(["x", "y"], [1], "BYTES"), "shape [1] and 2 elements"),
        (tensor([3], [1], "BYTES"), "base64 of an image file"),
        (tensor([], [0], "FP32"), "inputs.0.data"),
        (tensor([1], [-1], "FP32"), "shape [-1] and 1 elements"),
    ],
)
def test_what_is_wrong_with_a_tensor(service: Service, given: dict[str, Any], words: str) -> None:
    error(infer(service, given), 422, words)


def test_errors_are_the_protocols_own(service: Service, guarded: Service, tmp_path: Path) -> None:
    error(service.client.get("/v2/models/shape"), 404, "'shape'", "'shapes'")
    error(service.client.get(f"{V2}/versions/1"), 404, "'shapes@1'")
    error(service.client.get(f"{V2}/versions/latest"), 404, "'latest'", "numbers from 1")
    error(service.client.get(f"{V2}?x=1"), 422, "unknown parameter")
    error(service.client.get("/v2/nothing"), 404, "there is nothing at")
    error(service.client.delete(V2), 405, "does not take DELETE")
    error(service.client.post(f"{V2}/infer", content=b"{"), 400, "not valid JSON")
    error(service.client.post(f"{V2}/infer", content=PICTURE, headers=PNG), 415, "application/json")
    error(
        infer(service, pictures(PICTURE), outputs=[{"name": "probs"}]),
        422,
        "no output 'probs'; there are probabilities, logits",
    )
    error(infer(service, pictures(PICTURE), input=[]), 422, "input: unknown field; the closest is 'inputs'")
    error(guarded.client.get("/v2"), 401, "Authorization: Bearer")
    error(guarded.client.post(f"{V2}/infer", content=b"x" * 70_000, headers={"Authorization": f"Bearer {KEY}"}), 413)
    host = ask(create_app(Settings(data_dir=tmp_path)), "GET", "/v2", Host="evil.example")
    assert (host.status_code, set(host.json())) == (400, {"error"})
    assert guarded.client.get("/v2/health/live").status_code == 200


def test_a_large_batch_is_refused(pencils: Service) -> None:
    """5001 images of a pencil's network: one pass each, and 5000 is the most."""
    shape = pencils.client.get("/v2/models/pencil").json()["inputs"][0]["shape"][1:]
    given = tensor([0] * (5001 * int(np.prod(shape))), [5001, *shape], "UINT8")
    error(infer(pencils, given, "/v2/models/pencil"), 413, "instance", "5001 passes")


def test_a_version_of_an_upload(service: Service) -> None:
    path = Path(__file__).parents[3] / "service" / "models" / "catalogue" / "shapes" / "shapes.keras"
    sent = service.client.post("/v1/models", data={"id": "versioned"}, files={"model": path.read_bytes()})
    assert sent.status_code == 201, sent.text
    try:
        assert service.client.get("/v2/models/versioned").json()["versions"] == ["1"]
        answer = infer(service, pictures(saved(triangle(28, 28))), "/v2/models/versioned/versions/1")
        assert outputs(answer)["logits"].shape == (1, 3)
        assert (answer.json()["model_name"], answer.json()["model_version"]) == ("versioned", "1")
        assert service.client.get("/v2/models/versioned/versions/1/ready").json()["ready"] is True
        error(service.client.get("/v2/models/versioned/versions/7"), 404, "no version 7")
    finally:
        service.client.delete("/v1/models/versioned")


def test_a_problem_that_comes_in_pieces() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/problem+json"), (b"retry-after", b"3")]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"detail": ', "more_body": True})
        await send({"type": "http.response.body", "body": b'"full"}'})

    async def once(path: str) -> httpx.Response:
        transport = httpx.ASGITransport(InferenceErrors(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get(path)

    translated, other = asyncio.run(once("/v2/models/x/ready")), asyncio.run(once("/v20"))
    assert (translated.status_code, translated.json()) == (503, {"error": "full"})
    assert translated.headers["retry-after"] == "3"
    assert other.headers["content-type"] == "application/problem+json"
