"""The OpenAPI document: complete, self-contained, and served as it is made."""

from __future__ import annotations

import re
from typing import Any

import pytest

from service.api.guarding.keys import OPEN_PATHS
from service.api.guarding.scopes import operation_of
from service.explainers import EXPLAINERS
from service.explainers.base import Photograph
from service.imaging.formats import MEDIA_TYPES
from tests.checks import openapi
from tests.conftest import Service

OPERATIONS = [
    (method, path, operation) for path, methods in openapi()["paths"].items() for method, operation in methods.items()
]
VERBS = {
    "cancel", "change", "check", "compute", "delete", "describe", "explain", "follow", "get", "infer", "list", "load",
    "predict", "preview", "summarize", "unload", "upload",
}  # fmt: skip
# Names that look like the framework's and are ours.
OWN = {"ValidityOut", "WantedOutput"}
IDS = [f"{method} {path}" for method, path, _ in OPERATIONS]


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in references(value)]
    return [found for value in node for found in references(value)] if isinstance(node, list) else []


OF_PICTURES = ("picture", "quality", "max_side")


class TestDocument:
    def test_the_service_serves_it(self, service: Service) -> None:
        assert service.client.get("/openapi.json").json() == openapi()

    def test_every_reference_resolves(self) -> None:
        found = references(openapi())
        assert "#/components/schemas/Problem" in found
        for reference in found:
            node: Any = openapi()
            for key in reference.removeprefix("#/").split("/"):
                node = node[key]

    def test_operation_ids_are_unique(self) -> None:
        ids = [operation["operationId"] for _, _, operation in OPERATIONS]
        assert len(ids) == len(set(ids))
        assert {operation_of(explainer) for explainer in EXPLAINERS} <= set(ids)

    def test_every_route_of_the_contract_is_in_it(self) -> None:
        assert {f"{method} {path}" for method, path, _ in OPERATIONS} >= {
            "get /livez",
            "get /readyz",
            "get /v1/methods",
            "get /v1/models",
            "get /v1/models/{model_id}",
            "get /v1/models/{model_id}/summary",
            "get /v1/models/{model_id}/layers",
            "get /v1/models/{model_id}/layers/{layer}",
            "get /v1/models/{model_id}/layers/{layer}/kernels",
            "post /v1/models/{model_id}/load",
            "post /v1/models/{model_id}/unload",
            "post /v1/models/{model_id}/predict",
            "post /v1/models/{model_id}/activations",
            "post /v1/models/{model_id}/cam",
            "post /v1/models/{model_id}/saliency",
            "post /v1/models/{model_id}/occlusion",
            "post /v1/models/{model_id}/explain",
        }

    def test_schemas_have_names_of_things(self) -> None:
        names = set(openapi()["components"]["schemas"])
        assert {"Problem", "InferenceRequest", "InstancesRequest"} <= names
        for name in names:
            assert re.fullmatch(r"([A-Z][a-z]+)+", name), name
            assert not re.match(r"Body|Response[A-Z]|.*(Input|Output)$|HTTP|Validation", name) or name in OWN, name

    def test_values_that_differ_in_signs_alone_have_names(self) -> None:
        parameters = openapi()["paths"]["/v1/models/{model_id}/cam"]["post"]["parameters"]
        (method,) = [item["schema"] for item in parameters if item["name"] == "method"]
        named = dict(zip(method["enum"], method["x-enum-varnames"], strict=True))
        assert (named["gradcam"], named["gradcam++"]) == ("GRADCAM", "GRADCAM_PLUS_PLUS")
        assert "x-enum-varnames" not in openapi()["components"]["schemas"]["JobState"]

    def test_no_answer_has_a_nameless_shape(self) -> None:
        for _, path, operation in OPERATIONS:
            for status, answer in operation["responses"].items():
                schema = answer.get("content", {}).get("application/json", {}).get("schema", {"$ref": ""})
                assert set(schema) == {"$ref"}, (path, status)


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=IDS)
class TestOperation:
    def test_it_is_described(self, method: str, path: str, operation: dict[str, Any]) -> None:
        assert operation["summary"]
        assert operation["description"]
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], parameter["name"]

    def test_path_parameters_are_declared(self, method: str, path: str, operation: dict[str, Any]) -> None:
        declared = {item["name"] for item in operation.get("parameters", ()) if item["in"] == "path"}
        assert declared == set(re.findall(r"\{(\w+)\}", path))

    def test_parameters_are_declared_once(self, method: str, path: str, operation: dict[str, Any]) -> None:
        names = [(item["in"], item["name"]) for item in operation.get("parameters", ())]
        assert len(names) == len(set(names))

    def test_errors_are_problems(self, method: str, path: str, operation: dict[str, Any]) -> None:
        for status, response in operation["responses"].items():
            if int(status) >= 400 and not path.endswith(("/readyz", "/ready")):
                media, name = ("json", "InferenceError") if path.startswith("/v2") else ("problem+json", "Problem")
                schema = {"schema": {"$ref": f"#/components/schemas/{name}"}}
                assert response["content"] == {f"application/{media}": schema}

    def test_what_stands_around_every_route_is_said(self, method: str, path: str, operation: dict[str, Any]) -> None:
        around = {"400", "429", "503"} | ({"408", "413"} if "requestBody" in operation else set())
        assert path in OPEN_PATHS or around <= set(operation["responses"])

    def test_its_id_reads_well_as_a_function(self, method: str, path: str, operation: dict[str, Any]) -> None:
        name = operation["operationId"]
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
        assert name.split("_")[0] in VERBS

    def test_its_tag_is_described(self, method: str, path: str, operation: dict[str, Any]) -> None:
        (tag,) = operation["tags"]
        (described,) = [item for item in openapi()["tags"] if item["name"] == tag]
        assert len(described["description"].split()) > 4

    def test_what_needs_a_key_says_so(self, method: str, path: str, operation: dict[str, Any]) -> None:
        assert ("401" in operation["responses"]) == (path not in OPEN_PATHS)


@pytest.mark.parametrize("explainer", EXPLAINERS, ids=lambda explainer: explainer.name)
class TestMethod:
    def operation(self, explainer: Any) -> dict[str, Any]:
        return next(operation for _, _, operation in OPERATIONS if operation["operationId"] == operation_of(explainer))

    def test_its_forms(self, explainer: Any) -> None:
        pictures = ["image/png", "image/jpeg", "image/webp"] if explainer.outputs else []
        # What moves is the last of one method's.
        moving = ["image/png", "image/jpeg", "application/x-npy", "application/x-npz", "image/webp", "image/gif"]
        still = [*pictures, "application/x-npy", "application/x-npz"]
        expected = ["application/json", *(moving if explainer.name == "maximization" else still)]
        assert list(self.operation(explainer)["responses"]["200"]["content"]) == expected
        (form,) = [item for item in self.operation(explainer)["parameters"] if item["name"] == "format"]
        assert len(form["schema"]["enum"]) == len(expected)

    def test_it_may_be_a_job(self, explainer: Any) -> None:
        headers = {item["name"] for item in self.operation(explainer)["parameters"] if item["in"] == "header"}
        may = explainer.photograph is not Photograph.NONE
        assert headers == ({"Prefer", "Idempotency-Key"} if may else {"If-None-Match"})
        assert ("202" in self.operation(explainer)["responses"]) == may

    def test_its_parameters_stand_in_the_query(self, explainer: Any) -> None:
        found = {item["name"] for item in self.operation(explainer)["parameters"] if item["in"] == "query"}
        names = {info.alias or name for name, info in explainer.Params.model_fields.items()}
        expected = names | {"format", "outputs", "arrays", "top", "preprocess", "priority", *OF_PICTURES}
        expected |= {each.name for each in explainer.sets}
        assert found == (
            expected if explainer.photograph is not Photograph.NONE else expected - {"layer", "preprocess", "priority"}
        )

    def test_its_body_forms(self, explainer: Any) -> None:
        if explainer.photograph is Photograph.NONE:
            assert "requestBody" not in self.operation(explainer)
            return
        content = self.operation(explainer)["requestBody"]["content"]
        sets = [each.name for each in explainer.sets]
        single = {"application/zip"} if sets else (set(MEDIA_TYPES) - {"image/jpg"}) | {"application/x-npy"}
        assert set(content) == single | {"application/json", "multipart/form-data"}
        needed = explainer.photograph is Photograph.REQUIRED
        assert content["application/json"]["schema"].get("required", []) == (["image"] if needed else [])
        for form in ("application/json", "multipart/form-data"):
            assert set(sets or ["image"]) <= set(content[form]["schema"]["properties"])
        assert content["application/json"]["schema"]["additionalProperties"] is False


class TestSeveralMethods:
    operation = openapi()["paths"]["/v1/models/{model_id}/explain"]["post"]

    def test_it_gives_two_forms(self) -> None:
        assert set(self.operation["responses"]["200"]["content"]) == {"application/json", "application/x-npz"}
        (form,) = [item for item in self.operation["parameters"] if item["name"] == "format"]
        assert form["schema"]["enum"] == ["json", "npz"]

    def test_its_parameters(self) -> None:
        given = ["methods", "output", "target", "format", "outputs", "arrays"]
        names = [*given, *OF_PICTURES, "top", "preprocess", "priority"]
        assert [item["name"] for item in self.operation["parameters"] if item["in"] == "query"] == names
        content = self.operation["requestBody"]["content"]
        assert set(content) == (set(MEDIA_TYPES) - {"image/jpg"}) | {
            "application/x-npy",
            "application/json",
            "multipart/form-data",
        }
        for form in ("application/json", "multipart/form-data"):
            schema = content[form]["schema"]
            assert schema["required"] == ["image", "methods"]
            assert list(schema["properties"]) == ["image", *names]

    def test_every_method_and_variant_can_be_named(self) -> None:
        methods = self.operation["requestBody"]["content"]["application/json"]["schema"]["properties"]["methods"]
        named = set(methods["items"]["anyOf"][1]["properties"]["method"]["enum"])
        looking = [
            explainer
            for explainer in EXPLAINERS
            if explainer.photograph is Photograph.REQUIRED and not explainer.metrics
        ]
        variants = {variant.name for explainer in looking for variant in explainer.variants}
        assert named == variants | {explainer.name for explainer in looking}
        assert len(named) == 41


def test_nothing_is_sent_that_the_caller_did_not_say() -> None:
    """Generated clients send each `default`; that of one method's parameter is refused by another."""
    for method, path, operation in OPERATIONS:
        schemas = [item["schema"] for item in operation.get("parameters", ()) if path.startswith("/v1/models/{")]
        if path.endswith(("/cam", "/saliency", "/explain")):
            for form in ("application/json", "multipart/form-data"):
                schemas += operation["requestBody"]["content"][form]["schema"]["properties"].values()
        assert not [schema for schema in schemas if "default" in schema], (method, path)
    cam = openapi()["paths"]["/v1/models/{model_id}/cam"]["post"]["parameters"]
    (alpha,) = [item for item in cam if item["name"] == "alpha"]
    assert alpha["description"].endswith("When absent: `0.4`.")
