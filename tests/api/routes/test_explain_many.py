"""Several methods in one call: their answers are those of single calls, whatever form the request has."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import httpx
import numpy as np
import pytest

from service.api.answering.schemas import ExplanationsOut
from service.api.reading.parameters import parse_many
from service.errors import InvalidParameter, UnknownMethod
from tests import nets
from tests.checks import JSON, MODEL, NPY, PNG, as_npy, problem, saved, triangle
from tests.conftest import Service

EXPLAIN = f"{MODEL}/explain"
PICTURE = saved(triangle())
BASE64 = base64.b64encode(PICTURE).decode()
CAMS = ["gradcam", "gradcam++", "hirescam", "layercam", "xgradcam", "scorecam", "ablationcam", "eigencam"]
SALIENCY = [
    "gradient", "gradient_x_input", "guided_backprop", "deconvnet", "smoothgrad", "squaregrad", "vargrad",
    "integrated_gradients", "guided_ig", "blur_ig", "gradient_shap", "xrai", "fullgrad", "guided_gradcam",
]  # fmt: skip
OTHERS = ["predict", "activations", "occlusion"]
ROUTES = {"cam": CAMS, "saliency": SALIENCY}


def ask(service: Service, methods: Any, path: str = EXPLAIN, **values: Any) -> httpx.Response:
    return service.client.post(path, json={"image": BASE64, "methods": methods, **values})


def arrays_of(response: httpx.Response) -> dict[str, np.ndarray[Any, Any]]:
    assert response.status_code == 200, response.text
    with np.load(io.BytesIO(response.content)) as archive:
        return {name: archive[name] for name in archive.files}


def results_of(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    ExplanationsOut.model_validate(response.json())
    results: list[dict[str, Any]] = response.json()["results"]
    return results


@pytest.fixture(scope="module")
def together(service: Service) -> dict[str, np.ndarray[Any, Any]]:
    """Every method that is valid for the model, for a class that is not the first."""
    return arrays_of(ask(service, [*OTHERS, *CAMS, *SALIENCY], target="1", format="npz"))


class TestSameAsAlone:
    @pytest.mark.parametrize("name", [*OTHERS, *CAMS, *SALIENCY])
    def test_arrays(self, service: Service, together: dict[str, np.ndarray[Any, Any]], name: str) -> None:
        family = next((family for family, variants in ROUTES.items() if name in variants), name)
        query = {"format": "npz"} | ({"method": name} if family != name else {})
        query |= {"target": "1"} if name not in ("predict", "activations") else {}
        alone = arrays_of(service.client.post(f"{MODEL}/{family}", params=query, content=PICTURE, headers=PNG))
        found = {key: array for key, array in together.items() if key.split("/")[0] == name}
        assert list(found) == [f"{name}/{key}" for key in alone]
        for key, array in alone.items():
            np.testing.assert_array_equal(found[f"{name}/{key}"], array)

    def test_every_other_part_of_the_answer(self, service: Service) -> None:
        calls = [{"method": "gradcam", "target": "0-2"}, {"method": "saliency", "target": "top2"}, "predict"]
        body = ask(service, calls, arrays="list", top=2).json()
        alike = [("cam", "0-2"), ("saliency", "top2"), ("predict", None)]
        for result, (path, target) in zip(body["results"], alike, strict=True):
            values = {"image": BASE64, "arrays": "list", "top": 2} | ({"target": target} if target else {})
            alone = service.client.post(f"{MODEL}/{path}", json=values).json()
            del result["name"], alone["timing_ms"]
            assert (alone.pop("model"), alone.pop("image")) == (body["model"], body["image"])
            assert result == alone

    def test_the_target_beside_is_for_those_without_their_own(self, service: Service) -> None:
        results = results_of(ask(service, ["gradcam", {"method": "saliency", "target": 2}, "predict"], target="square"))
        targets = [result["target"] and result["target"]["label"] for result in results]
        assert targets == ["square", "triangle", None]

    def test_so_is_the_output(self, pencils: Service) -> None:
        path = "/v1/models/two-outputs/explain"
        query = {"methods": "predict,gradcam,activations", "output": "indoors", "preprocess": "false", "format": "npz"}
        content = as_npy(nets.IMAGE[0])
        found = arrays_of(pencils.client.post(path, params=query, content=content, headers=NPY))
        np.testing.assert_allclose(found["predict/logits"], [-0.5, 0.5], rtol=1e-6)
        # z rises with A_0 and falls with A_1, by 3/6 a cell.
        np.testing.assert_allclose(found["gradcam/heatmap"], nets.POSITIVE / 2, rtol=1e-6)


class TestNames:
    def test_of_the_results(self, service: Service) -> None:
        calls = ["gradcam", "cam", {"method": "cam", "variant": "layercam"}, "gradcam", "gradcam", "saliency"]
        results = results_of(ask(service, calls, outputs=""))
        names = ["gradcam", "cam", "cam#3", "gradcam#4", "gradcam#5", "saliency"]
        assert [result["name"] for result in results] == names
        variants = [result["method"]["variant"] for result in results]
        assert variants == ["gradcam", "gradcam", "layercam", "gradcam", "gradcam", "gradient"]
        members = arrays_of(ask(service, calls[:4], format="npz"))
        assert list(members) == [f"{name}/heatmap" for name in names[:4]]

    def test_several_targets(self, service: Service) -> None:
        found = arrays_of(ask(service, ["gradcam", "layercam"], target="0,2-1", format="npz"))
        assert list(found) == [
            f"{name}/heatmap:{target}" for name in ("gradcam", "layercam") for target in ("0", "2-1")
        ]

    @pytest.mark.parametrize(
        "query",
        ["methods=gradcam++", "methods=gradcam%2B%2B", "methods=predict,gradcam++", "methods=gradcam++,predict",
         "methods=predict&methods=gradcam++", "methods=%20gradcam%2B%2B%20,predict"],
    )  # fmt: skip
    def test_a_plus_in_a_query_string_is_a_space(self, service: Service, query: str) -> None:
        answer = service.client.post(f"{EXPLAIN}?{query}&outputs=", content=PICTURE, headers=PNG)
        assert "gradcam++" in [result["method"]["variant"] for result in results_of(answer)]

    @pytest.mark.parametrize("query", ["method=gradcam++", "method=gradcam%2B%2B"])
    def test_so_it_is_in_the_query_of_cam(self, service: Service, query: str) -> None:
        answer = service.client.post(f"{MODEL}/cam?{query}", content=PICTURE, headers=PNG)
        assert answer.json()["method"]["variant"] == "gradcam++"


class TestParameters:
    def test_each_method_has_its_own(self, service: Service) -> None:
        calls = [
            {"method": "gradcam", "layer": "conv2d_3", "alpha": 0.5},
            {"method": "gradcam", "layer": 0},
            {"method": "saliency", "variant": "smoothgrad", "samples": 3, "seed": 9},
            {"method": "smoothgrad", "samples": 3, "seed": 9},
            {"method": "occlusion", "patch": [14, 7], "stride": "7"},
        ]
        results = results_of(ask(service, calls, outputs="", arrays="list"))
        parameters = [result["method"]["parameters"] for result in results]
        assert (parameters[0]["layer"], parameters[0]["alpha"]) == ("conv2d_3", 0.5)
        assert (parameters[1]["layer"], parameters[1]["alpha"]) == ("conv2d", 0.4)
        assert parameters[2] == parameters[3]
        assert results[2]["arrays"] == results[3]["arrays"]
        assert [parameters[4][key] for key in ("patch", "stride", "windows")] == [[14, 7], [7, 7], 12]

    def test_outputs_are_drawn_by_those_that_have_them(self, service: Service) -> None:
        results = results_of(ask(service, ["predict", "gradcam", "occlusion"], outputs="mask,overlay"))
        names = [[picture["name"] for picture in result["images"]] for result in results]
        assert names == [[], ["overlay"], ["mask", "overlay"]]
        results = results_of(ask(service, ["predict", "gradcam", "saliency"]))
        names = [[picture["name"] for picture in result["images"]] for result in results]
        assert names == [[], ["overlay", "heatmap"], ["heatmap", "overlay"]]

    def test_as_many_as_allowed(self, service: Service) -> None:
        assert len(results_of(ask(service, ["gradcam"] * 24, outputs=""))) == 24


class TestForms:
    def test_every_form_gives_the_same(self, service: Service) -> None:
        client, query = service.client, {"methods": "gradcam, predict", "target": "2", "format": "npz"}
        part = json.dumps({"methods": ["gradcam", {"method": "predict"}], "target": 2, "format": "npz"})
        image = {"image": ("a.png", PICTURE, "image/png")}
        answers = [
            ask(service, ["gradcam", "predict"], target="2", format="npz"),
            ask(service, "gradcam,predict", target="2", format="npz"),
            client.post(EXPLAIN, params=query, content=PICTURE, headers=PNG),
            client.post(EXPLAIN, params=query, content=as_npy(np.asarray(triangle())), headers=NPY),
            client.post(EXPLAIN, data=query, files=image),
            client.post(EXPLAIN, data={"params": part}, files=image),
            client.post(EXPLAIN, params=query, files=image),
            client.post(EXPLAIN, params=query, json={"image": BASE64}),
        ]
        assert list(arrays_of(answers[0])) == ["gradcam/heatmap", "predict/logits"]
        assert {answer.content for answer in answers} == {answers[0].content}

    @pytest.mark.parametrize("arrays", ["none", "base64", "list"])
    def test_json(self, service: Service, arrays: str) -> None:
        results = results_of(ask(service, ["gradcam", "predict"], arrays=arrays))
        names = [[array["name"] for array in result["arrays"]] for result in results]
        assert names == ([[], []] if arrays == "none" else [["heatmap"], ["logits"]])

    def test_accept(self, service: Service) -> None:
        # Another number of predictions each time: a question that nobody has asked before.
        for top, accept, media in [
            (11, "application/x-npz", "application/x-npz"),
            (12, "image/png, application/json;q=0.5", "application/json"),
            (13, "image/*, */*;q=0.1", "application/json"),
        ]:
            answer = service.client.post(
                f"{EXPLAIN}?methods=predict&top={top}", content=PICTURE, headers=PNG | {"Accept": accept}
            )
            assert (answer.status_code, answer.headers["content-type"]) == (200, media)
            assert "engine;dur=" in answer.headers["server-timing"]

    @pytest.mark.parametrize("form", ["png", "npy"])
    def test_pictures_and_single_arrays_are_refused_before_any_work(self, service: Service, form: str) -> None:
        media = {"png": "image/png", "npy": "application/x-npy"}[form]
        for query, headers in ((f"&format={form}", PNG), ("", PNG | {"Accept": media})):
            answer = service.client.post(f"{EXPLAIN}?methods=gradcam{query}", content=b"no image", headers=headers)
            problem(answer, 406, "not-acceptable", "this route gives application/json, application/x-npz", form)


class TestRefused:
    @pytest.mark.parametrize(
        "methods", [None, "", " , ", [], {}, 7, True, {"method": "gradcam"}, ["gradcam"] * 49, ",".join("a" * 49)]
    )
    def test_no_list(self, service: Service, methods: Any) -> None:
        problem(ask(service, methods), 422, "invalid-parameter", "'methods' must be a list of 1 to 48 names")

    def test_missing(self, service: Service) -> None:
        answer = service.client.post(EXPLAIN, content=PICTURE, headers=PNG)
        problem(answer, 422, "invalid-parameter", "'methods' must be a list of 1 to 48 names")
        answer = service.client.post(EXPLAIN, json={"methods": ["predict"]})
        problem(answer, 400, "malformed-body", "no image", "'image'")

    @pytest.mark.parametrize("entry", [7, None, True, [], ["gradcam"], {}, {"method": 7}, {"name": "gradcam"}])
    def test_an_entry_that_is_no_method(self, service: Service, entry: Any) -> None:
        problem(ask(service, ["predict", entry]), 422, "invalid-parameter", "a name, or an object with a 'method'")

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("gradcan", ["no method 'gradcan'", "closest", "'gradcam'"]),
            ("GradCAM", ["no method 'GradCAM'", "'gradcam'"]),
            ("kernels", ["'kernels' cannot be one of several methods", "a route of its own"]),
            ("", ["no method ''"]),
            ("gradcam+", ["no method 'gradcam+'", "'gradcam++'"]),
        ],
    )
    def test_unknown_method(self, service: Service, name: str, words: list[str]) -> None:
        problem(ask(service, ["predict", name]), 404, "unknown-method", *words)
        problem(ask(service, [{"method": name}]), 404, "unknown-method", *words)

    @pytest.mark.parametrize("option", ["format", "outputs", "arrays", "top", "preprocess"])
    def test_options_of_the_whole_answer(self, service: Service, option: str) -> None:
        answer = ask(service, [{"method": "gradcam", option: "png"}])
        problem(answer, 422, "invalid-parameter", f"'{option}'", "beside 'methods', not inside")

    @pytest.mark.parametrize(
        ("entry", "words"),
        [
            ({"method": "gradcam", "alpha": 2}, ["gradcam: alpha", "less than or equal to 1"]),
            ({"method": "gradcam", "alfa": 1}, ["gradcam: alfa: unknown parameter", "'alpha'"]),
            ({"method": "predict", "target": 1}, ["predict: target: unknown parameter"]),
            ({"method": "occlusion", "patch": 0}, ["occlusion: patch", "at least 1 px"]),
            ({"method": "cam", "variant": "gradient"}, ["cam: variant", "'gradcam'"]),
        ],
    )
    def test_a_methods_own_parameters(self, service: Service, entry: dict[str, Any], words: list[str]) -> None:
        body = problem(ask(service, ["predict", entry]), 422, "invalid-parameter", *words)
        assert [item["loc"][:2] for item in body["errors"]] == [["methods", "1"]]

    @pytest.mark.parametrize("name", ["gradcam", "smoothgrad", "predict", "occlusion"])
    def test_a_variant_of_what_has_none(self, service: Service, name: str) -> None:
        answer = ask(service, [{"method": name, "variant": "layercam"}])
        problem(answer, 422, "invalid-parameter", f"'{name}' has no variants", "'cam' and 'saliency'")

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"alpha": 0.5}, ["alpha: unknown parameter", "methods"]),
            ({"method": "gradcam"}, ["method: unknown parameter", "'methods'"]),
            ({"target": ""}, ["target", "at least 1 character"]),
            ({"target": None}, ["target"]),
            ({"outputs": "photo"}, ["these methods draw overlay, heatmap, not 'photo'"]),
            ({"outputs": "heatmaps"}, ["'heatmaps'", "closest is 'heatmap'"]),
            ({"format": "gif"}, ["format"]),
            ({"top": 0}, ["top"]),
        ],
    )
    def test_what_stands_beside(self, service: Service, values: dict[str, Any], words: list[str]) -> None:
        problem(ask(service, ["gradcam", "predict"], **values), 422, "invalid-parameter", *words)

    def test_one_that_fails_fails_the_call(self, service: Service) -> None:
        answer = ask(service, ["predict", {"method": "gradcam", "layer": "dense"}])
        problem(answer, 422, "method-not-valid", "'dense'", "valid layers")

    def test_the_cost_is_that_of_all_methods(self, service: Service) -> None:
        expensive = {"method": "integrated_gradients", "steps": 1000}
        answer = ask(service, [expensive, expensive])
        problem(
            answer, 413, "too-costly", "about 6004 passes", "5000", "KERASCOPE_MAX_PASSES", "fewer samples or steps"
        )
        each_target = ask(service, [{**expensive, "target": "top3"}])
        problem(each_target, 413, "too-costly", "about 7002 passes")

    def test_an_unknown_image(self, service: Service) -> None:
        answer = service.client.post(EXPLAIN, content=b'{"image": 7, "methods": ["predict"]}', headers=JSON)
        problem(answer, 400, "malformed-body", "'image' must be a text")


class TestParsing:
    def test_the_shortest_request(self) -> None:
        (call,), options = parse_many({"methods": "gradcam"})
        assert (call.name, call.explainer.name) == ("gradcam", "cam")
        assert call.params.model_dump()["target"] == "top1"
        assert options.outputs is None

    def test_nothing_of_the_request_is_changed(self) -> None:
        given = {"methods": [{"method": "cam", "variant": "cam"}], "target": "1"}
        parse_many(given)
        assert given == {"methods": [{"method": "cam", "variant": "cam"}], "target": "1"}

    def test_what_is_wrong_is_told_by_its_own_class(self) -> None:
        with pytest.raises(UnknownMethod, match="'gradcam'"):
            parse_many({"methods": "gradcan"})
        with pytest.raises(InvalidParameter):
            parse_many({})
