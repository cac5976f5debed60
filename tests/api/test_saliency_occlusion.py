"""Saliency and occlusion over HTTP: pictures, models of other kinds, and everything that is refused."""

from __future__ import annotations

import base64
import io
import json
import math
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from service.imaging import colormaps
from tests import nets
from tests.checks import CAM, MODEL, NPY, PNG, as_npy, problem, saved, triangle
from tests.conftest import Service

PICTURE = saved(triangle())
SALIENCY = f"{MODEL}/saliency"
OCCLUSION = f"{MODEL}/occlusion"
IMAGE = as_npy(nets.IMAGE[0])
Array = np.ndarray[Any, Any]


def post(service: Service, path: str, /, **query: Any) -> httpx.Response:
    return service.client.post(path, params=query, content=PICTURE, headers=PNG)


def pencil(pencils: Service, model: str, method: str, /, **query: Any) -> httpx.Response:
    """A network of `tests.nets` on its own image, fed as it is."""
    path = f"/v1/models/{model}/{method}"
    return pencils.client.post(path, params={"preprocess": "false", **query}, content=IMAGE, headers=NPY)


def body_of(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def arrays(body: dict[str, Any]) -> dict[str, Array]:
    return {array["name"]: np.array(array["data"], array["dtype"]) for array in body["arrays"]}


def pictures(body: dict[str, Any]) -> dict[str, Array]:
    return {item["name"]: np.asarray(Image.open(io.BytesIO(base64.b64decode(item["data"])))) for item in body["images"]}


class TestOcclusion:
    def test_every_picture_has_the_photographs_size(self, service: Service) -> None:
        found = pictures(body_of(post(service, OCCLUSION, measure="logit_drop")))
        assert {name: picture.shape for name, picture in found.items()} == dict.fromkeys(
            ["overlay", "heatmap", "mask", "masked"], (40, 60, 3)
        )

    def test_the_mask_cuts_out_the_photograph(self, service: Service) -> None:
        found = pictures(body_of(post(service, OCCLUSION, measure="logit_drop", outputs="mask,masked")))
        white = (found["mask"] == 255).all(axis=2)
        black = (found["mask"] == 0).all(axis=2)
        assert (white | black).all()
        assert 0.02 < white.mean() < 0.98
        photograph = np.asarray(triangle())
        np.testing.assert_array_equal(found["masked"][white], photograph[white])
        assert found["masked"][black].max() == 0

    def test_the_mask_is_the_raw_one_at_the_inputs_size(self, service: Service) -> None:
        query = {"measure": "logit_drop", "outputs": "mask", "size": "input", "arrays": "list"}
        body = body_of(post(service, OCCLUSION, **query))
        raw = arrays(body)
        assert {name: array.shape for name, array in raw.items()} == {
            "heatmap": (28, 28),
            "mask": (28, 28),
            "windows": (22, 22),
        }
        assert raw["mask"].dtype == bool
        np.testing.assert_array_equal(raw["mask"], raw["heatmap"] > np.float32(0.15) * raw["heatmap"].max())
        np.testing.assert_array_equal(pictures(body)["mask"][..., 0], raw["mask"] * 255)

    def test_an_additive_network(self, pencils: Service) -> None:
        query = {"target": "0", "patch": "1", "stride": "1", "value": "zero", "measure": "logit_drop", "arrays": "list"}
        body = body_of(pencil(pencils, "additive", "occlusion", **query))
        np.testing.assert_allclose(arrays(body)["heatmap"], [[1, -4, -3], [0, -6, -4]], rtol=1e-5, atol=1e-6)
        assert (body["target"]["score_kind"], body["target"]["score"]) == ("value", -16)

    @pytest.mark.parametrize("target", ["0-1", "neuron:scores:0"])
    def test_where_no_probability_can_drop_the_score_does(self, pencils: Service, target: str) -> None:
        query = {"target": target, "patch": "1", "stride": "1", "value": "zero", "arrays": "list"}
        body = body_of(pencil(pencils, "additive", "occlusion", **query))
        np.testing.assert_allclose(arrays(body)["heatmap"], [[1, -4, -3], [0, -6, -4]], rtol=1e-5, atol=1e-6)
        assert body["method"]["parameters"]["measure"] == "score_drop"
        assert body["target"]["probability"] is None or body["target"]["minus"]

    def test_effective_parameters(self, service: Service) -> None:
        parameters = body_of(post(service, OCCLUSION, measure="probability"))["method"]["parameters"]
        expected = {"patch": [7, 7], "stride": [1, 1], "windows": 484, "measure": "probability", "normalize": "minmax"}
        assert parameters | expected == parameters

    def test_the_answer_names_the_strategy_and_what_it_saved(self, service: Service) -> None:
        query = {"patch": 4, "stride": 4, "measure": "logit_drop", "arrays": "list", "outputs": ""}
        bodies = {name: body_of(post(service, OCCLUSION, strategy=name, **query)) for name in ("full", "incremental")}
        said = {name: body["method"]["parameters"] for name, body in bodies.items()}
        assert {name: parameters["strategy"] for name, parameters in said.items()} == {name: name for name in said}
        assert (said["full"]["arithmetic_saved"], said["incremental"]["arithmetic_saved"]) == (0, 0.633)
        whole, windows = (arrays(body)["windows"] for body in bodies.values())
        np.testing.assert_allclose(windows, whole, atol=1e-4 * np.ptp(whole))

    def test_incremental_is_refused_where_it_saves_nothing(self, pencils: Service) -> None:
        answer = pencil(pencils, "additive", "occlusion", target="0", patch="1", strategy="incremental")
        problem(answer, 422, "method-not-valid", "no convolution comes before 'flatten'", "use strategy=full")

    def test_the_primary_array_and_picture(self, service: Service) -> None:
        heatmap = np.load(io.BytesIO(post(service, OCCLUSION, stride=7, format="npy").content))
        assert (heatmap.shape, heatmap.dtype) == ((28, 28), np.float32)
        picture = post(service, OCCLUSION, stride=7, format="png")
        assert (picture.headers["content-type"], Image.open(io.BytesIO(picture.content)).size) == (
            "image/png",
            (60, 40),
        )

    def test_saturation_is_told(self, service: Service) -> None:
        body = body_of(post(service, OCCLUSION, stride=7, outputs=""))
        assert body["target"]["probability"] > 0.999
        assert "saturated_probability" in [warning["code"] for warning in body["warnings"]]


class TestSaliency:
    def test_signed_maps_have_zero_in_the_middle_of_their_colours(self, pencils: Service) -> None:
        query = {"method": "gradient_x_input", "target": "0", "sign": "signed", "size": "map", "outputs": "heatmap"}
        body = body_of(pencil(pencils, "additive", "saliency", **query, clip="100", arrays="list"))
        values = arrays(body)["heatmap"]
        np.testing.assert_allclose(values, [[1, -4, -3], [0, -6, -4]], rtol=1e-6)
        parameters = body["method"]["parameters"]
        assert (parameters["colormap"], parameters["normalize"]) == ("coolwarm", "symmetric")
        picture = pictures(body)["heatmap"]
        assert np.abs(picture[1, 0].astype(int) - 221).max() <= 2, "light grey where the map is 0"
        np.testing.assert_array_equal(picture[1, 1], [59, 76, 192], "the bluest where it is lowest")
        np.testing.assert_array_equal(picture, colormaps.apply(values / 12 + np.float32(0.5), "coolwarm"))

    def test_gradients_in_their_colours(self, service: Service) -> None:
        """Each pixel of the picture at the map's size is its value from -1 to 1, of the largest magnitude."""
        query = {"reduce": "rgb", "target": "1", "size": "map", "clip": "100", "arrays": "list"}
        body = body_of(post(service, SALIENCY, **query))
        values = arrays(body)["heatmap"]
        assert values.shape == (28, 28, 3)
        assert (
            body["method"]["parameters"] | {"sign": "signed", "normalize": "symmetric", "colormap": None}
            == (body["method"]["parameters"])
        )
        expected = 255 * (0.5 + values / (2 * np.abs(values).max()))
        found = pictures(body)
        assert np.abs(found["heatmap"] - expected).max() < 0.51
        photograph = pictures(body_of(post(service, SALIENCY, **query, alpha="0")))["overlay"].astype(float)
        assert np.abs(found["overlay"] - (0.4 * photograph + 0.6 * expected)).max() < 0.6
        original = pictures(body_of(post(service, SALIENCY, reduce="rgb", target="1,2")))
        assert {name: picture.shape for name, picture in original.items()} == dict.fromkeys(
            ["heatmap:1", "overlay:1", "heatmap:2", "overlay:2"], (40, 60, 3)
        )

    def test_several_baselines_in_every_form(self, service: Service) -> None:
        """A text in a query and in a form, a list in JSON: the mean of the maps from each."""
        query = {"method": "integrated_gradients", "target": "1", "steps": 4, "arrays": "list", "outputs": ""}
        text = body_of(post(service, SALIENCY, **query, baseline="black,white"))
        image = base64.b64encode(PICTURE).decode()
        listed = body_of(service.client.post(SALIENCY, json={"image": image, **query, "baseline": ["black", "white"]}))
        form = {"params": json.dumps(query | {"baseline": "black,white"})}
        sent = body_of(service.client.post(SALIENCY, data=form, files={"image": ("a.png", PICTURE, "image/png")}))
        alone = [
            arrays(body_of(post(service, SALIENCY, **query, baseline=name)))["gradient"] for name in ("black", "white")
        ]
        for body in (text, listed, sent):
            assert body["method"]["parameters"]["baseline"] == "black,white"
            np.testing.assert_allclose(arrays(body)["gradient"], np.mean(alone, axis=0), rtol=1e-4, atol=1e-6)

    def test_another_colormap_stays_symmetric(self, pencils: Service) -> None:
        query = {"method": "gradient_x_input", "target": "0", "sign": "signed", "size": "map", "outputs": "heatmap"}
        body = body_of(pencil(pencils, "additive", "saliency", **query, clip="100", colormap="gray"))
        np.testing.assert_array_equal(pictures(body)["heatmap"][1, :2, 0], [128, 0])

    def test_the_raw_map_is_not_clipped(self, service: Service) -> None:
        maps = [
            arrays(body_of(post(service, SALIENCY, clip=clip, arrays="list", outputs="")))["heatmap"]
            for clip in (60, 100)
        ]
        np.testing.assert_array_equal(*maps)
        drawn = [
            pictures(body_of(post(service, SALIENCY, clip=clip, outputs="heatmap", colormap="gray")))["heatmap"]
            for clip in (60, 100)
        ]
        assert (drawn[0] == 255).mean() > 0.2 > 0.05 > (drawn[1] == 255).mean()

    def test_integrated_gradients_say_how_complete_they_are(self, service: Service) -> None:
        query = {"method": "integrated_gradients", "target": "0-1", "sign": "signed", "steps": 30}
        body = body_of(post(service, SALIENCY, **query, arrays="list", outputs=""))
        delta = body["method"]["parameters"]["convergence_delta"]
        black = body_of(service.client.post(
            f"{SALIENCY}?target=0-1&preprocess=false", content=as_npy(np.zeros((28, 28, 3))), headers=NPY
        ))  # fmt: skip
        rise = body["target"]["score"] - black["target"]["score"]
        total = arrays(body)["gradient"].sum(dtype=np.float64)
        assert total - rise == pytest.approx(delta, abs=1e-3)

    def test_the_guided_ones_warn(self, service: Service) -> None:
        for method in ("guided_backprop", "deconvnet", "guided_gradcam"):
            body = body_of(post(service, SALIENCY, method=method, outputs=""))
            (warning,) = [item for item in body["warnings"] if item["code"] == "fails_randomisation_check"]
            assert "https://arxiv.org/abs/1810.03292" in warning["detail"]

    def test_a_seed_is_a_seed(self, service: Service) -> None:
        query = {"method": "smoothgrad", "samples": 4, "format": "npy"}
        first, second, other = (post(service, SALIENCY, **query, seed=seed).content for seed in (1, 1, 2))
        assert first == second != other

    @pytest.mark.parametrize("path", [SALIENCY, OCCLUSION, CAM])
    def test_a_map_for_each_target(self, service: Service, path: str) -> None:
        body = body_of(post(service, path, target="triangle,0,2-1", outputs="overlay", arrays="list"))
        assert [target["class_index"] for target in body["targets"]] == [2, 0, 2]
        assert [target["minus"] and target["minus"]["label"] for target in body["targets"]] == [None, None, "square"]
        assert body["target"] == body["targets"][0]
        assert list(pictures(body)) == ["overlay:2", "overlay:0", "overlay:2-1"]
        assert [name for name in arrays(body) if name.startswith("heatmap")] == [
            "heatmap:2",
            "heatmap:0",
            "heatmap:2-1",
        ]
        scores = [target["score"] for target in body["targets"]]
        assert scores[2] == pytest.approx(scores[0] - body["targets"][2]["minus"]["logit"], rel=1e-5)

    def test_a_neuron(self, pencils: Service) -> None:
        query = {"target": "neuron:conv:0,1,0", "sign": "signed", "arrays": "list", "outputs": ""}
        body = body_of(pencil(pencils, "pencil", "saliency", **query))
        np.testing.assert_array_equal(arrays(body)["heatmap"], [[0, 1, 0], [0, 0, 0]])
        assert body["predictions"] == []
        assert body["target"] | {"class_index": None, "score": 2.0, "score_kind": "activation"} == body["target"]
        assert body["target"]["neuron"] == "conv:0,1,0"

    @pytest.mark.parametrize(
        ("neuron", "score"),
        [("conv:1,1,1", 3), ("conv:0", 7 / 6), ("conv:1", 4 / 6), ("scores:linear:1", 9), ("gap:0", 7 / 6)],
    )
    def test_the_answer_says_which_neuron(self, pencils: Service, neuron: str, score: float) -> None:
        target = body_of(pencil(pencils, "pencil", "saliency", target=f"neuron:{neuron}", outputs=""))["target"]
        assert (target["neuron"], target["score"]) == (neuron, pytest.approx(score))


class TestOtherHeads:
    def test_one_sigmoid_unit(self, pencils: Service) -> None:
        for target, sign in (("0", -1), ("1", 1)):
            body = body_of(pencil(pencils, "binary", "cam", method="cam", target=target, arrays="list"))
            expected = sign * 3 * (nets.POSITIVE - nets.NEGATIVE)
            np.testing.assert_allclose(arrays(body)["heatmap"], expected, rtol=1e-6)
            assert body["target"]["score"] == pytest.approx(sign * 0.5)
            assert body["target"]["probability"] == pytest.approx(1 / (1 + math.exp(-sign * 0.5)))
        assert [row["class_index"] for row in body["predictions"]] == [1, 0]
        assert sum(row["probability"] for row in body["predictions"]) == pytest.approx(1)

    def test_outputs_by_name_and_index(self, pencils: Service) -> None:
        logits = {
            output: arrays(body_of(pencil(pencils, "two-outputs", "predict", arrays="list", **output_of(output))))
            for output in (None, "animals", "0", "indoors", "1")
        }
        for output, found in logits.items():
            expected = [-0.5, 0.5] if output in ("indoors", "1") else nets.LOGITS
            np.testing.assert_allclose(found["logits"], expected, rtol=1e-6)
        body = body_of(pencil(pencils, "two-outputs", "occlusion", output="indoors", patch=1, stride=1, value="zero"))
        assert (body["target"]["class_index"], body["method"]["parameters"]["output"]) == (1, "indoors")

    @pytest.mark.parametrize("method", ["predict", "cam", "saliency", "occlusion"])
    @pytest.mark.parametrize("output", ["outdoors", "2", "-1", "²", "9" * 300])
    def test_an_output_that_is_not_there(self, pencils: Service, method: str, output: str) -> None:
        answer = pencil(pencils, "two-outputs", method, output=output)
        problem(answer, 422, "invalid-parameter", "no output", "animals, indoors")

    def test_a_map_of_classes(self, pencils: Service) -> None:
        for method in ("predict", "saliency", "cam", "occlusion"):
            answer = pencil(pencils, "segmentation", method)
            problem(answer, 422, "method-not-valid", "(2, 3, 2)", "a map and no vector of class scores")
        target = "neuron:probabilities:0,1,0"
        assert pencil(pencils, "segmentation", "saliency", target=target).status_code == 200


def output_of(name: str | None) -> dict[str, str]:
    return {} if name is None else {"output": name}


class TestNotValid:
    @pytest.mark.parametrize("method", ["guided_backprop", "deconvnet", "guided_gradcam"])
    def test_guided_without_a_relu(self, pencils: Service, method: str) -> None:
        answer = pencil(pencils, "swish", "saliency", method=method)
        problem(answer, 422, "method-not-valid", method, "ReLU", "this network has none", "use gradient")

    @pytest.mark.parametrize(
        "method",
        ["gradcam", "gradcam++", "hirescam", "layercam", "xgradcam", "scorecam", "ablationcam", "eigencam"],
    )
    def test_cam_without_maps(self, pencils: Service, method: str) -> None:
        answer = pencil(pencils, "no-maps", "cam", method=method)
        problem(answer, 422, "method-not-valid", "no layer with a spatial map", "saliency and occlusion work")

    @pytest.mark.parametrize("model", ["no-maps", "flat"])
    def test_zhous_cam_on_another_head(self, pencils: Service, model: str) -> None:
        answer = pencil(pencils, model, "cam", method="cam")
        problem(answer, 422, "method-not-valid", "global average pooling and one dense layer", "use gradcam")

    @pytest.mark.parametrize(("layer", "shape"), [("flatten", "(64,)"), ("dense", "(512,)"), ("-1", "(3,)")])
    def test_a_layer_behind_the_flatten(self, service: Service, layer: str, shape: str) -> None:
        answer = post(service, CAM, layer=layer)
        problem(answer, 422, "method-not-valid", shape, "valid layers are", "conv2d_5")

    def test_nothing_of_it_runs_under_another_name(self, pencils: Service) -> None:
        path = "/v1/models/swish/explain"
        query = {"methods": "gradient,guided_backprop", "preprocess": "false"}
        problem(pencils.client.post(path, params=query, content=IMAGE, headers=NPY), 422, "method-not-valid", "ReLU")


class TestRefused:
    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ({"patch": "29"}, ["patch 29,29", "larger than the model's input of 28×28 px"]),
            ({"patch": "4,29"}, ["patch 4,29", "28×28"]),
            ({"patch": "1000000"}, ["patch", "one side in px"]),
            ({"patch": "0"}, ["patch", "at least 1 px", "'0'"]),
            ({"patch": "-4"}, ["patch", "one side in px, or height,width"]),
            ({"patch": "1,2,3"}, ["patch", "one side in px, or height,width"]),
            ({"patch": "a"}, ["patch", "one side in px, or height,width"]),
            ({"patch": ""}, ["patch", "one side in px"]),
            ({"stride": "0"}, ["stride", "at least 1 px"]),
            ({"patch": "4", "stride": "5"}, ["stride 5,5", "larger than the patch 4,4", "never be covered"]),
            ({"patch": "4,8", "stride": "4,9"}, ["stride 4,9", "larger than the patch 4,8"]),
            ({"value": "red"}, ["value", "write mean, zero, gray, blur", "'red'"]),
            ({"value": "256,0,0"}, ["'256,0,0'", "0 to 255"]),
            ({"value": "1,2"}, ["value", "r,g,b"]),
            ({"value": "nan"}, ["value", "write mean"]),
            ({"value": "9" * 400}, ["value", "write mean"]),
            ({"measure": "log"}, ["measure", "'drop'"]),
            ({"paint": "pixel"}, ["paint", "'window' or 'cell'"]),
            ({"mask_threshold": "0"}, ["mask_threshold", "greater than 0"]),
            ({"method": "occlusion"}, ["method: unknown parameter"]),
        ],
    )
    def test_occlusion(self, service: Service, query: dict[str, str], words: list[str]) -> None:
        problem(post(service, OCCLUSION, **query), 422, "invalid-parameter", *words)

    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ({"method": "smoothgrad", "samples": "1000000000"}, ["samples", "less than or equal to 1000"]),
            ({"method": "smoothgrad", "samples": "1"}, ["samples", "greater than or equal to 2"]),
            ({"method": "smoothgrad", "noise": "0"}, ["noise", "greater than 0"]),
            ({"method": "smoothgrad", "seed": "-1"}, ["seed"]),
            ({"method": "integrated_gradients", "steps": "1001"}, ["steps", "less than or equal to 1000"]),
            ({"method": "integrated_gradients", "baseline": "grey"}, ["baseline", "'black'"]),
            ({"method": "integrated_gradients", "baseline": "white,white"}, ["baseline", "'white' is named twice"]),
            ({"method": "guided_ig", "fraction": "0"}, ["fraction", "greater than 0"]),
            ({"method": "blur_ig", "max_deviation": "0"}, ["max_deviation", "greater than or equal to 0.1"]),
            ({"reduce": "rgb", "colormap": "jet"}, ["reduce=rgb", "leave colormap out"]),
            ({"method": "gradcam"}, ["method", "'gradient'", "'guided_gradcam'"]),
            ({"sign": "signed", "reduce": "l2"}, ["reduce=l2 has no sign", "max or mean"]),
            ({"sign": "negative"}, ["sign", "'signed'"]),
            ({"clip": "50"}, ["clip", "greater than 50"]),
            ({"colormap": "hot"}, ["colormap", "'coolwarm'"]),
            ({"outputs": "mask"}, ["'saliency' draws heatmap, overlay, not 'mask'"]),
        ],
    )
    def test_saliency(self, service: Service, query: dict[str, str], words: list[str]) -> None:
        problem(post(service, SALIENCY, **query), 422, "invalid-parameter", *words)

    @pytest.mark.parametrize("path", [CAM, SALIENCY, OCCLUSION])
    @pytest.mark.parametrize(
        ("target", "status", "kind", "words"),
        [
            ("top99", 422, "invalid-parameter", ["'top99'", "at most top3"]),
            ("top0", 422, "invalid-parameter", ["'top0'", "at most top3"]),
            ("0,1,2,0,1,2,0,1,2,0,1", 422, "invalid-parameter", ["11 targets", "10"]),
            ("0,,1", 404, "unknown-class", ["no class ''"]),
            ("top1,0", 404, "unknown-class", ["no class 'top1'"]),
            ("neuron:conv2d:28,0,0", 422, "invalid-parameter", ["outside layer 'conv2d'", "(28, 28, 32)"]),
            ("neuron:dense_1:3", 422, "invalid-parameter", ["outside layer 'dense_1'", "(3,)"]),
            ("neuron:dense_1:0,0,0", 422, "invalid-parameter", ["does not fit layer 'dense_1'"]),
            ("neuron:conv2d:0,0", 422, "invalid-parameter", ["no neuron", "<row>,<column>,<channel>"]),
            ("neuron:conv", 422, "invalid-parameter", ["no neuron"]),
            ("neuron:conv2d_9:0", 404, "unknown-layer", ["no layer 'conv2d_9'", "'conv2d_5'"]),
        ],
    )
    def test_target(self, service: Service, path: str, target: str, status: int, kind: str, words: list[str]) -> None:
        problem(post(service, path, target=target), status, kind, *words)

    def test_a_probability_of_what_has_none(self, service: Service) -> None:
        answer = post(service, OCCLUSION, target="0-1", measure="probability")
        problem(
            answer, 422, "method-not-valid", "measure=probability", "contrast or a neuron", "use measure=score_drop"
        )

    def test_a_target_that_does_not_reach_the_layer(self, service: Service) -> None:
        answer = post(service, CAM, target="neuron:conv2d:0", layer="conv2d_5")
        problem(answer, 422, "method-not-valid", "does not depend on layer 'conv2d_5'", "valid layers")

    @pytest.mark.parametrize(
        ("path", "query", "estimate"),
        [
            (
                "/v1/models/efficientnet-lite0/occlusion",
                {"patch": "1", "stride": "1", "strategy": "full"},
                224 * 224 + 1,
            ),
            (
                "/v1/models/efficientnet-lite0/occlusion",
                {"patch": "56", "stride": "2", "strategy": "full"},
                85 * 85 + 1,
            ),
        ],
    )
    def test_the_cost_is_told_before_any_work(
        self, service: Service, path: str, query: dict[str, str], estimate: int
    ) -> None:
        answer = post(service, path, **query)
        problem(
            answer,
            413,
            "too-costly",
            f"estimated to take about {estimate} passes",
            "5000",
            "KERASCOPE_MAX_PASSES",
            "larger stride",
        )


def test_no_method_changes_the_model(service: Service) -> None:
    """Weight statistics and predictions are the same to the last bit after every method has run."""

    def state() -> list[Any]:
        layers = service.client.get(f"{MODEL}/layers").json()["layers"]
        weights = [
            service.client.get(f"{MODEL}/layers/{layer['path']}").json()["weights"]
            for layer in layers
            if layer["parameters"]
        ]
        kernels = service.client.get(f"{MODEL}/layers/conv2d_5/kernels?format=npz").content
        return [weights, kernels, post(service, f"{MODEL}/predict", format="npz").content]

    before = state()
    assert len(before[0]) == 8
    methods = [
        "predict,activations,gradcam,gradcam++,hirescam,layercam,xgradcam,scorecam,ablationcam,eigencam",
        "gradient,gradient_x_input,guided_backprop,deconvnet,smoothgrad,squaregrad,vargrad,integrated_gradients",
        "guided_ig,blur_ig,gradient_shap,xrai,fullgrad,guided_gradcam,occlusion",
    ]
    body = {"image": base64.b64encode(PICTURE).decode(), "methods": ",".join(methods), "target": "top2", "outputs": ""}
    assert len(body_of(service.client.post(f"{MODEL}/explain", json=body))["results"]) == 25
    assert post(service, CAM, layer="dense").status_code == 422
    assert state() == before


class TestIdleParameters:
    """What the chosen variant does not take is refused, and not repeated in the answer."""

    @pytest.mark.parametrize(
        ("query", "words"),
        [
            (
                "saliency?samples=9",
                "samples: gradient does not take it; it is for smoothgrad, squaregrad, vargrad, gradient_shap",
            ),
            (
                "saliency?method=vargrad&steps=9",
                "steps: vargrad does not take it; it is for integrated_gradients, guided_ig, blur_ig, xrai",
            ),
            ("saliency?layer=conv2d", "layer: gradient does not take it; it is for guided_gradcam"),
            ("cam?max_channels=9", "max_channels: gradcam does not take it; it is for scorecam"),
        ],
    )
    def test_refused(self, service: Service, query: str, words: str) -> None:
        answer = service.client.post(f"{MODEL}/{query}", content=saved(triangle()), headers=PNG)
        assert problem(answer, 422, "invalid-parameter")["detail"] == words

    @pytest.mark.parametrize(
        ("query", "there"),
        [
            ("saliency", set()),
            ("saliency?method=vargrad", {"samples", "noise", "seed"}),
            ("saliency?method=integrated_gradients", {"steps", "baseline"}),
            ("saliency?method=guided_ig&steps=2", {"steps", "baseline", "fraction", "max_dist"}),
            ("saliency?method=blur_ig&steps=2", {"steps", "max_deviation"}),
            ("saliency?method=gradient_shap", {"samples", "noise", "seed", "baseline"}),
            ("saliency?method=fullgrad", set()),
            ("saliency?method=guided_gradcam", {"layer"}),
        ],
    )
    def test_answer(self, service: Service, query: str, there: set[str]) -> None:
        answer = service.client.post(f"{MODEL}/{query}", content=saved(triangle()), headers=PNG).json()
        sometimes = {"samples", "noise", "seed", "steps", "baseline", "layer", "fraction", "max_dist", "max_deviation"}
        assert sometimes & set(answer["method"]["parameters"]) == there
