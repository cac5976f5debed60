"""The methods over HTTP: what an answer holds and which requests for layers and classes are refused."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from service.api.answering.schemas import ExplanationOut
from tests.api.conftest import KEY, MAX_RESPONSE_BYTES
from tests.checks import CAM, MODEL, NPY, PNG, as_npy, problem, saved, triangle
from tests.conftest import Service

PICTURE = saved(triangle())


def post(service: Service, path: str, **query: str) -> httpx.Response:
    return service.client.post(path, params=query, content=PICTURE, headers=PNG)


def answer_of(service: Service, path: str, **query: str) -> dict[str, Any]:
    answer = post(service, path, **query)
    assert answer.status_code == 200, answer.text
    ExplanationOut.model_validate(answer.json())
    body: dict[str, Any] = answer.json()
    return body


class TestAnswer:
    @pytest.mark.parametrize("method", ["predict", "activations", "cam", "saliency", "occlusion"])
    @pytest.mark.parametrize("arrays", ["none", "base64", "list"])
    def test_it_has_the_documented_shape(self, service: Service, method: str, arrays: str) -> None:
        body = answer_of(service, f"{MODEL}/{method}", arrays=arrays)
        assert body["model"]["id"] == "shapes"
        assert body["method"]["name"] == method
        assert bool(body["arrays"]) == (arrays != "none")

    def test_predictions_are_ordered_and_sum_to_one(self, service: Service) -> None:
        body = answer_of(service, f"{MODEL}/predict", top="3")
        probabilities = [row["probability"] for row in body["predictions"]]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1, abs=1e-6)
        logits = np.array([row["logit"] for row in body["predictions"]])
        np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(), probabilities, atol=1e-6)
        assert body["target"] is None

    @pytest.mark.parametrize("top", ["1", "2", "1000"])
    def test_top(self, service: Service, top: str) -> None:
        assert len(answer_of(service, f"{MODEL}/predict", top=top)["predictions"]) == min(int(top), 3)

    def test_the_method_says_every_effective_parameter(self, service: Service) -> None:
        method = answer_of(service, CAM)["method"]
        assert method["parameters"] == {
            "method": "gradcam",
            "layer": "conv2d_5",
            "target": "top1",
            "output": None,
            "alpha": 0.4,
            "colormap": "jet",
            "size": "original",
            "layers": None,
            "smooth": "none",
            "normalize": "max",
        }
        assert (method["variant"], method["reference"]) == ("gradcam", "https://arxiv.org/abs/1610.02391")

    @pytest.mark.parametrize(("target", "index"), [("0", 0), ("circle", 0), ("Square", 1), ("2", 2)])
    def test_target_by_index_and_label(self, service: Service, target: str, index: int) -> None:
        body = answer_of(service, CAM, target=target)
        logits = {row["class_index"]: row["logit"] for row in answer_of(service, f"{MODEL}/predict")["predictions"]}
        assert body["target"]["class_index"] == index
        assert body["target"]["label"] == ["circle", "square", "triangle"][index]
        assert body["target"]["score"] == pytest.approx(logits[index], abs=1e-5)
        assert body["target"]["score_kind"] == "logit"

    @pytest.mark.parametrize(("layer", "path"), [("conv2d_3", "conv2d_3"), ("5", "conv2d_3"), ("-7", "conv2d_5")])
    def test_layer_by_name_and_index(self, service: Service, layer: str, path: str) -> None:
        assert answer_of(service, CAM, layer=layer)["method"]["parameters"]["layer"] == path

    def test_activations_report_each_channel(self, service: Service) -> None:
        body = answer_of(service, f"{MODEL}/activations", layers="conv2d", channels="3,1", arrays="list")
        (array,) = body["arrays"]
        maps = np.array(array["data"], np.float32)
        assert maps.shape == (28, 28, 2)
        statistics = body["statistics"]["conv2d"]
        assert statistics["channels"] == [3, 1]
        np.testing.assert_allclose(statistics["mean"], maps.mean(axis=(0, 1)), atol=1e-5)
        np.testing.assert_allclose(statistics["active_share"], (maps > 0).mean(axis=(0, 1)), atol=1e-9)

    def test_a_map_that_is_zero_is_said_to_be(self, service: Service) -> None:
        content = as_npy(np.zeros((28, 28, 3), np.uint8))
        for target in ("0", "1", "2"):
            body = service.client.post(f"{CAM}?target={target}&arrays=list", content=content, headers=NPY).json()
            codes = {warning["code"] for warning in body["warnings"]}
            assert ("all_zero_map" in codes) == (not np.any(body["arrays"][0]["data"]))


class TestPictures:
    def pictures(self, body: dict[str, Any]) -> dict[str, Image.Image]:
        found: dict[str, Image.Image] = {}
        for picture in body["images"]:
            image = Image.open(io.BytesIO(base64.b64decode(picture["data"])))
            assert (image.format, image.mode) == ("PNG", "RGB")
            assert image.size == (picture["width"], picture["height"])
            found[picture["name"]] = image
        return found

    @pytest.mark.parametrize(("size", "expected"), [("original", (60, 40)), ("input", (28, 28)), ("map", (3, 3))])
    def test_sizes(self, service: Service, size: str, expected: tuple[int, int]) -> None:
        pictures = self.pictures(answer_of(service, CAM, size=size))
        assert {name: image.size for name, image in pictures.items()} == {"overlay": expected, "heatmap": expected}

    @pytest.mark.parametrize(
        ("outputs", "expected"),
        [("heatmap", ["heatmap"]), ("heatmap,overlay", ["heatmap", "overlay"]), ("", []), (" overlay , ", ["overlay"])],
    )
    def test_outputs(self, service: Service, outputs: str, expected: list[str]) -> None:
        assert list(self.pictures(answer_of(service, CAM, outputs=outputs))) == expected

    def test_alpha_zero_is_the_photograph(self, service: Service) -> None:
        overlay = self.pictures(answer_of(service, CAM, alpha="0", outputs="overlay"))["overlay"]
        np.testing.assert_array_equal(np.asarray(overlay), np.asarray(triangle()))

    def test_alpha_one_is_the_heatmap(self, service: Service) -> None:
        pictures = self.pictures(answer_of(service, CAM, alpha="1"))
        np.testing.assert_array_equal(np.asarray(pictures["overlay"]), np.asarray(pictures["heatmap"]))

    def test_one_grid_a_layer(self, service: Service) -> None:
        pictures = self.pictures(answer_of(service, f"{MODEL}/activations", layers="0,3"))
        assert list(pictures) == ["conv2d", "dropout"]

    def test_one_picture_a_channel(self, service: Service) -> None:
        body = answer_of(service, f"{MODEL}/activations", layers="conv2d", view="channel", channels="4,0")
        assert list(self.pictures(body)) == ["conv2d:4", "conv2d:0"]

    def test_too_many_pictures(self, service: Service) -> None:
        answer = post(service, "/v1/models/efficientnet-lite0/activations", layers="top_activation", view="channel")
        problem(answer, 422, "invalid-parameter", "1024 pictures", "view=grid")
        assert post(service, f"{MODEL}/activations", layers="0-6", view="channel").status_code == 200


class TestTiming:
    """These questions were never asked before, so that no kept answer is given."""

    def test_server_timing_parses_and_adds_up(self, service: Service) -> None:
        answer = post(service, CAM, alpha="0.31")
        entries: dict[str, float] = {}
        for item in answer.headers["server-timing"].split(", "):
            match = re.fullmatch(r"(\w+);dur=(\d+\.\d)", item)
            assert match, item
            entries[match[1]] = float(match[2])
        assert list(entries) == ["decode", "load", "queue", "engine", "render", "total"]
        assert sum(entries[name] for name in list(entries)[:-1]) <= entries["total"] + 0.5
        assert answer.json()["timing_ms"].keys() == entries.keys()

    @pytest.mark.parametrize("form", ["png", "npy", "npz"])
    def test_every_form_has_it(self, service: Service, form: str) -> None:
        assert "engine;dur=" in post(service, CAM, format=form, alpha="0.32").headers["server-timing"]


class TestRefused:
    @pytest.mark.parametrize(
        ("query", "status", "kind", "words"),
        [
            ({"layer": "conv2d_9"}, 404, "unknown-layer", ["no layer 'conv2d_9'", "closest", "'conv2d_5'"]),
            ({"layer": "17"}, 404, "unknown-layer", ["no layer 17", "0 to 15"]),
            ({"layer": "9" * 300}, 404, "unknown-layer", ["no layer"]),
            ({"layer": "²"}, 404, "unknown-layer", ["no layer '²'"]),
            ({"layer": "dense"}, 422, "method-not-valid", ["'dense'", "(512,)", "valid layers", "conv2d_5"]),
            ({"layer": "conv2d:linear:linear"}, 404, "unknown-layer", ["conv2d:linear:linear"]),
            ({"target": "3"}, 404, "unknown-class", ["no class 3", "0 to 2"]),
            (
                {"target": "squar"},
                404,
                "unknown-class",
                ["there is no class 'squar'; the classes are 'circle', 'square', 'triangle'"],
            ),
            ({"target": "-1"}, 404, "unknown-class", ["there is no class -1; the model has the classes 0 to 2"]),
            ({"target": "1-7"}, 404, "unknown-class", ["no class 7"]),
            ({"target": "²"}, 404, "unknown-class", ["no class '²'"]),
            ({"target": "\x00"}, 404, "unknown-class", ["no class"]),
        ],
    )
    def test_layer_and_class(
        self, service: Service, query: dict[str, str], status: int, kind: str, words: list[str]
    ) -> None:
        problem(post(service, CAM, **query), status, kind, *words)

    @pytest.mark.parametrize("name", ["cam", "predict", "activations", "saliency", "occlusion", "explain"])
    def test_unknown_model(self, service: Service, name: str) -> None:
        query = {"methods": "predict"} if name == "explain" else {}
        answer = post(service, f"/v1/models/efficientnet-lite/{name}", **query)
        problem(answer, 404, "unknown-model", "no model 'efficientnet-lite'", "'efficientnet-lite0'")

    def test_unknown_method(self, service: Service) -> None:
        problem(post(service, f"{MODEL}/grad"), 404, None, "/docs lists every route")

    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("gradcam", "cam?method=gradcam"), ("gradcam++", "cam?method=gradcam%2B%2B"),
            ("smoothgrad", "saliency?method=smoothgrad"),
        ],
    )  # fmt: skip
    def test_a_variant_as_a_route(self, service: Service, name: str, meant: str) -> None:
        body = problem(post(service, f"{MODEL}/{name}"), 404, None)
        assert body["detail"] == f"there is nothing at '{MODEL}/{name}'; did you mean {MODEL}/{meant}"
        assert post(service, f"{MODEL}/{meant}").status_code == 200

    def test_unknown_layers_of_activations(self, service: Service) -> None:
        answer = post(service, f"{MODEL}/activations", layers="conv2d,conv")
        problem(answer, 404, "unknown-layer", "no layer 'conv'", "'conv2d'")

    def test_arrays_larger_than_one_answer_may_be(self, guarded: Service) -> None:
        headers = PNG | {"Authorization": f"Bearer {KEY}"}
        for query in ("format=npy", "format=npz", "arrays=base64", "arrays=list"):
            answer = guarded.client.post(f"{MODEL}/activations?{query}&layers=0", content=PICTURE, headers=headers)
            problem(answer, 413, "too-large", str(MAX_RESPONSE_BYTES), str(28 * 28 * 32 * 4), "fewer layers")
        answer = guarded.client.post(f"{MODEL}/activations?layers=0", content=PICTURE, headers=headers)
        assert answer.status_code == 200, "pictures are no raw arrays"

    def test_kernels_larger_than_one_answer_may_be(self, guarded: Service) -> None:
        route = f"{MODEL}/layers/conv2d_5/kernels?format=npy"
        headers = {"Authorization": f"Bearer {KEY}"}
        answer = guarded.client.get(route, headers=headers)
        problem(answer, 413, "too-large", str(MAX_RESPONSE_BYTES), str(3 * 3 * 64 * 4))
        assert guarded.client.get(f"{route}&filters=0-31", headers=headers).status_code == 200


class TestRealModels:
    def test_egyptian_cat(self, service: Service, data: Path) -> None:
        content = (data / "images" / "skimage_chelsea.png").read_bytes()
        answer = service.client.post("/v1/models/efficientnet-lite0/cam", content=content, headers=PNG).json()
        ExplanationOut.model_validate(answer)
        assert (answer["target"]["label"], answer["target"]["class_index"]) == ("Egyptian_cat", 285)
        assert answer["target"]["probability"] == pytest.approx(0.791, abs=0.002)
        assert (answer["images"][0]["width"], answer["images"][0]["height"]) == (451, 300)
