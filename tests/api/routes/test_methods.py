"""The catalogue route."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.api.answering.schemas import MethodList
from service.explainers import BY_NAME, EXPLAINERS
from tests import nets
from tests.checks import NPY, as_npy, openapi, problem
from tests.conftest import Service


@pytest.fixture(scope="module")
def catalogue(service: Service) -> dict[str, dict[str, Any]]:
    answer = service.client.get("/v1/methods")
    assert answer.status_code == 200
    MethodList.model_validate(answer.json())
    return {method["name"]: method for method in answer.json()["methods"]}


def test_every_explainer_is_listed_in_order(catalogue: dict[str, dict[str, Any]]) -> None:
    assert list(catalogue) == [explainer.name for explainer in EXPLAINERS]


@pytest.mark.parametrize("name", BY_NAME)
class TestMethod:
    def test_its_parameters_are_a_json_schema(self, catalogue: dict[str, dict[str, Any]], name: str) -> None:
        schema = catalogue[name]["parameters"]
        assert schema["type"] == "object"
        assert schema["additionalProperties"] is False
        fields = BY_NAME[name].Params.model_fields
        assert set(schema["properties"]) == {info.alias or field for field, info in fields.items()}
        for parameter, description in schema["properties"].items():
            assert description.get("description"), f"{parameter} has no description"
            assert "default" in description or parameter in schema.get("required", ())

    def test_its_route_is_documented(self, catalogue: dict[str, dict[str, Any]], name: str) -> None:
        method, path = catalogue[name]["route"].split(" ")
        assert method.lower() in openapi()["paths"][path]

    def test_it_says_what_it_is(self, catalogue: dict[str, dict[str, Any]], name: str) -> None:
        row = catalogue[name]
        explainer = BY_NAME[name]
        assert row["title"]
        assert row["summary"].endswith(".")
        assert row["cost"] == explainer.cost.value
        assert row["outputs"] == list(explainer.outputs)
        assert [variant["name"] for variant in row["variants"]] == [variant.name for variant in explainer.variants]
        assert all(variant["paper"] is None or variant["paper"].startswith("http") for variant in row["variants"])


VARIANTS = {explainer.name: [variant.name for variant in explainer.variants] for explainer in EXPLAINERS}
NO_RELU = "the network has no ReLU"
NO_MAPS = "the model has no layer with a spatial map (height, width, channels)"
OTHER_HEAD = "the model's head is not global average pooling and one dense layer"
NO_CLASSES = "the model's output has the shape (2, 3, 2): a map and no vector of class scores"
GUIDED = ["guided_backprop", "deconvnet", "guided_gradcam"]


def validity(service: Service, model: str) -> dict[str, dict[str, Any]]:
    answer = service.client.get("/v1/methods", params={"model": model})
    assert answer.status_code == 200, answer.text
    MethodList.model_validate(answer.json())
    return {method["name"]: method["validity"] for method in answer.json()["methods"]}


class TestForAModel:
    def test_nothing_is_said_without_a_model(self, catalogue: dict[str, dict[str, Any]]) -> None:
        assert {row["validity"] for row in catalogue.values()} == {None}

    def test_shapes(self, service: Service) -> None:
        found = validity(service, "shapes")
        assert all(row["valid"] for row in found.values())
        assert {name: row["not_valid"] for name, row in found.items() if row["not_valid"]} == {
            "cam": {"cam": OTHER_HEAD}
        }
        assert {name: row["classes"] for name, row in found.items() if row["classes"]} == {
            "cam": 3,
            "saliency": 3,
            "occlusion": 3,
        }
        assert found["kernels"]["layers"] == ["conv2d", *(f"conv2d_{number}" for number in range(1, 6))]
        assert found["cam"]["layers"][-1] == "conv2d_5"
        assert "dense" not in found["cam"]["layers"]
        assert found["predict"]["outputs"] == ["dense_1"]

    def test_efficientnet(self, service: Service) -> None:
        found = validity(service, "efficientnet-lite0")
        assert all(row["valid"] and not row["not_valid"] for row in found.values())
        assert found["saliency"]["classes"] == 1000

    @pytest.mark.parametrize(
        ("model", "expected"),
        [
            ("pencil", {}),
            ("binary", {}),
            ("flat", {"cam": {"cam": OTHER_HEAD}}),
            ("swish", {"saliency": dict.fromkeys(GUIDED, NO_RELU)}),
            (
                "no-maps",
                {"saliency": dict.fromkeys(GUIDED, NO_RELU), "cam": dict.fromkeys(VARIANTS["cam"], NO_MAPS)},
            ),
        ],
    )
    def test_small_networks(self, pencils: Service, model: str, expected: dict[str, Any]) -> None:
        found = validity(pencils, model)
        assert {name: row["not_valid"] for name, row in found.items() if row["not_valid"]} == expected
        assert {name for name, row in found.items() if not row["valid"]} == ({"cam"} if model == "no-maps" else set())

    def test_several_outputs(self, pencils: Service) -> None:
        found = validity(pencils, "two-outputs")
        assert found["predict"]["outputs"] == ["animals", "indoors"]
        assert (found["saliency"]["classes"], validity(pencils, "binary")["saliency"]["classes"]) == (4, 2)

    def test_a_map_of_classes(self, pencils: Service) -> None:
        found = validity(pencils, "segmentation")
        assert found["predict"]["not_valid"] == {"predict": NO_CLASSES}
        assert found["predict"]["valid"] is False
        assert found["saliency"]["classes"] is None

    @pytest.mark.parametrize("model", ["pencil", "binary", "flat", "swish", "no-maps", "two-outputs", "additive"])
    def test_it_is_true(self, pencils: Service, model: str) -> None:
        """What is said to be valid is answered, all at once; the rest is refused, each for itself."""
        found = validity(pencils, model)
        content = as_npy(nets.IMAGE[0])
        valid = []
        for method in ("predict", "cam", "saliency", "occlusion"):
            for variant in VARIANTS[method]:
                family = len(VARIANTS[method]) > 1
                if variant not in found[method]["not_valid"]:
                    valid.append({"method": method} | ({"variant": variant} if family else {}))
                    continue
                query = {"preprocess": "false"} | ({"method": variant} if family else {})
                answer = pencils.client.post(f"/v1/models/{model}/{method}", params=query, content=content, headers=NPY)
                problem(answer, 422, "method-not-valid")
        form = {"params": json.dumps({"methods": valid, "preprocess": False, "outputs": ""})}
        answer = pencils.client.post(
            f"/v1/models/{model}/explain", data=form, files={"image": ("a.npy", content, "application/x-npy")}
        )
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["results"]) == len(valid)

    @pytest.mark.parametrize(
        ("model", "words"), [("shapez", ["no model 'shapez'", "'shapes'"]), ("", ["no model ''"]), ("a/b", ["'a/b'"])]
    )
    def test_unknown_model(self, service: Service, model: str, words: list[str]) -> None:
        problem(service.client.get("/v1/methods", params={"model": model}), 404, "unknown-model", *words)

    def test_too_long_an_id(self, service: Service) -> None:
        answer = service.client.get("/v1/methods", params={"model": "a" * 129})
        assert problem(answer, 422, "invalid-parameter", "128")["errors"][0]["loc"] == ["query", "model"]
