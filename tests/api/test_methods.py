"""The catalogue route."""

from __future__ import annotations

from typing import Any

import pytest

from service.api.schemas_methods import MethodList
from service.explainers import BY_NAME, EXPLAINERS
from tests.checks import openapi
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
