"""Models, layers and kernels over HTTP, on a folder of models made for it."""

from __future__ import annotations

import base64
import io
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.api.answering.schemas import ExplanationOut, ModelList
from service.contract.models import LayerFound, LayerList, ModelDetails, Summary
from tests.checks import MODEL, PNG, problem, saved, triangle
from tests.conftest import Service, start_service

NESTED = "/v1/models/nested"
Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def nested_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Array]:
    """A folder with `nested.keras`, two specs that are not valid, and the kernels of `backbone/first`."""
    import keras

    folder = tmp_path_factory.mktemp("models")
    keras.utils.set_random_seed(0)
    backbone = keras.Sequential(
        [
            keras.layers.Conv2D(4, 3, activation="relu", name="first"),
            keras.layers.Conv2D(6, 3, name="second"),
        ],
        name="backbone",
    )
    inputs = keras.Input((16, 16, 3), name="picture")
    hidden = keras.layers.Conv2D(2, 1, name="first")(backbone(inputs))
    hidden = keras.layers.GlobalAveragePooling2D(name="pool")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax", name="scores")(hidden), name="nested")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Keras's own, of NumPy 2
        model.save(folder / "nested.keras")
    (folder / "broken").mkdir()
    (folder / "broken" / "model.toml").write_text('weights = "a.keras"\ncolour = "blue"\n')
    (folder / "not-a-model.keras").write_text("I am text.\n")
    return folder, backbone.get_layer("first").kernel.numpy()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, nested_model: tuple[Path, object]) -> Iterator[Service]:
    running = start_service(tmp_path_factory.mktemp("tiny"), models_dir=nested_model[0], preload="shapes")
    yield running
    running.stop()


class TestList:
    def test_every_model_with_its_state(self, tiny: Service) -> None:
        answer = tiny.client.get("/v1/models")
        ModelList.model_validate(answer.json())
        rows = {row["id"]: row for row in answer.json()["models"]}
        assert {"shapes", "efficientnet-lite0", "vgg16", "nested", "broken", "not-a-model"} <= set(rows)
        assert (rows["shapes"]["state"], rows["shapes"]["pinned"], rows["shapes"]["device"]) == ("warm", True, "cpu")
        assert (rows["vgg16"]["state"], rows["vgg16"]["device"]) == ("cold", None)
        assert rows["broken"]["state"] == "failed"
        assert "colour" in rows["broken"]["last_error"]

    def test_warm_ones_first(self, tiny: Service) -> None:
        cold = [row["state"] == "cold" for row in tiny.client.get("/v1/models").json()["models"]]
        assert cold == sorted(cold)

    def test_no_path_of_this_machine(self, tiny: Service, nested_model: tuple[Path, object]) -> None:
        for path in ("/v1/models", "/v1/models/shapes", NESTED):
            text = tiny.client.get(path).text
            assert str(nested_model[0]) not in text
            assert "/tmp" not in text


class TestDescribe:
    def test_shapes(self, tiny: Service) -> None:
        details = tiny.client.get(MODEL).json()
        ModelDetails.model_validate(details)
        assert details["digest"].startswith("sha256:")
        assert [details["input"][key] for key in ("height", "width", "channels")] == [28, 28, 3]
        assert details["preprocessing"]["mode"] == "rescale01"
        assert details["preprocessing"]["assumed"] is False
        assert (details["head"]["kind"], details["head"]["classes"]) == ("softmax", 3)
        assert details["labels"] == ["circle", "square", "triangle"]
        assert (details["cam_layer"], details["layers"], details["state"]) == ("conv2d_5", 17, "warm")

    def test_what_was_assumed_is_said(self, tiny: Service) -> None:
        details = tiny.client.get(NESTED).json()
        ModelDetails.model_validate(details)
        assert details["preprocessing"]["assumed"] is True
        assert any("assumed" in note for note in details["notes"])
        assert details["head"] == {"kind": "softmax", "activation": "softmax", "classes": 3, "inferred": True}

    @pytest.mark.parametrize(
        "path", ["", "/summary", "/layers", "/layers/conv2d", "/layers/conv2d/kernels", "/load", "/unload", "/predict"]
    )
    def test_unknown_model(self, tiny: Service, path: str) -> None:
        posts = path in ("/load", "/unload", "/predict")
        content = saved(triangle()) if path == "/predict" else None
        answer = tiny.client.request(
            "POST" if posts else "GET", f"/v1/models/shape{path}", content=content, headers=PNG if content else {}
        )
        problem(answer, 404, "unknown-model", "no model 'shape'", "closest", "'shapes'")

    def test_a_broken_spec(self, tiny: Service) -> None:
        problem(tiny.client.get("/v1/models/broken"), 409, "model-not-loadable", "model.toml", "'broken'", "colour")

    def test_text_with_the_name_of_a_model(self, tiny: Service) -> None:
        answer = tiny.client.get("/v1/models/not-a-model")
        reason = problem(answer, 409, "model-not-loadable", "not-a-model.keras")["detail"]
        row = next(row for row in tiny.client.get("/v1/models").json()["models"] if row["id"] == "not-a-model")
        assert (row["state"], row["last_error"]) == ("failed", reason)

    def test_weights_without_a_model(self, service: Service, data: Path) -> None:
        answer = service.client.get("/v1/models/rcmalli__squeezenet_notop")
        problem(answer, 409, "model-not-loadable", "weights", "architecture", "model.to_json()")


class TestLoad:
    def state(self, service: Service, model_id: str) -> str:
        rows = service.client.get("/v1/models").json()["models"]
        return str(next(row["state"] for row in rows if row["id"] == model_id))

    def test_cold_warm_cold(self, tiny: Service) -> None:
        tiny.client.post(f"{NESTED}/unload")
        assert self.state(tiny, "nested") == "cold"
        loaded = tiny.client.post(f"{NESTED}/load")
        assert (loaded.status_code, loaded.content) == (204, b"")
        assert self.state(tiny, "nested") == "warm"
        assert tiny.client.post(f"{NESTED}/unload").json() == {"unloaded": True}
        assert self.state(tiny, "nested") == "cold"
        assert tiny.client.post(f"{NESTED}/unload").json() == {"unloaded": False}

    def test_an_answer_loads_it_again(self, tiny: Service) -> None:
        tiny.client.post(f"{NESTED}/unload")
        assert tiny.client.post(f"{NESTED}/predict", content=saved(triangle()), headers=PNG).status_code == 200
        assert self.state(tiny, "nested") == "warm"


class TestLayers:
    def test_list(self, tiny: Service) -> None:
        answer = tiny.client.get(f"{NESTED}/layers").json()
        LayerList.model_validate(answer)
        rows = {row["path"]: row for row in answer["layers"]}
        assert list(rows) == ["picture", "backbone/first", "backbone/second", "backbone", "first", "pool", "scores"]
        assert [row["index"] for row in rows.values()] == [0, None, None, 1, 2, 3, 4]
        assert rows["backbone/first"]["output_shape"] == [14, 14, 4]
        assert rows["backbone/first"]["parameters"] == 3 * 3 * 3 * 4 + 4
        assert "kernels" in rows["backbone/first"]["methods"]
        assert "kernels" not in rows["pool"]["methods"]

    @pytest.mark.parametrize(
        ("name", "path"),
        [
            ("backbone/first", "backbone/first"),
            ("backbone%2Ffirst", "backbone/first"),
            ("second", "backbone/second"),
            ("2", "first"),
            ("-1", "scores"),
            ("first", "first"),
        ],
    )
    def test_by_path_index_and_name(self, tiny: Service, name: str, path: str) -> None:
        answer = tiny.client.get(f"{NESTED}/layers/{name}")
        LayerFound.model_validate(answer.json())
        assert answer.json()["path"] == path

    def test_statistics(self, tiny: Service, nested_model: tuple[Path, Array]) -> None:
        kernel = nested_model[1]
        layer = tiny.client.get(f"{NESTED}/layers/backbone/first").json()
        weights = {weight["name"]: weight for weight in layer["weights"]}
        assert weights["kernel"]["shape"] == [3, 3, 3, 4]
        for name, expected in (("mean", kernel.mean()), ("std", kernel.std()), ("min", kernel.min())):
            assert weights["kernel"][name] == pytest.approx(float(expected), abs=1e-6)
        assert weights["bias"]["zero_share"] == 1.0
        assert layer["config"]["filters"] == 4
        assert "predict" in layer["not_valid"]

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("backbone/frist", ["no layer 'backbone/frist'", "'backbone/first'"]),
            ("99", ["no layer 99", "0 to 4"]),
            ("-6", ["no layer -6", "0 to 4"]),
            ("", ["no layer ''"]),
        ],
    )
    def test_unknown(self, tiny: Service, name: str, words: list[str]) -> None:
        problem(tiny.client.get(f"{NESTED}/layers/{name}"), 404, "unknown-layer", *words)


class TestSummary:
    def test_text(self, tiny: Service) -> None:
        answer = tiny.client.get(f"{MODEL}/summary")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert 'Model: "shapes"' in answer.text
        assert "conv2d_5 (Conv2D)" in answer.text

    def test_json(self, tiny: Service) -> None:
        answer = tiny.client.get(f"{MODEL}/summary", headers={"Accept": "application/json"}).json()
        Summary.model_validate(answer)
        assert answer["text"] == tiny.client.get(f"{MODEL}/summary").text
        assert len(answer["rows"]) == 17

    def test_width_and_until(self, tiny: Service) -> None:
        for width in (40, 80, 110, 400):
            lines = tiny.client.get(f"{MODEL}/summary", params={"width": width}).text.splitlines()
            assert max(map(len, lines)) == width
        assert tiny.client.get(f"{MODEL}/summary").text == tiny.client.get(f"{MODEL}/summary?width=110").text
        answer = tiny.client.get(f"{MODEL}/summary?until=conv2d_1", headers={"Accept": "application/json"}).json()
        assert [row["path"] for row in answer["rows"]][-2:] == ["conv2d", "conv2d_1"]
        assert 'Model: "functional"' in answer["text"]
        assert "conv2d_1 (Conv2D)" in answer["text"]
        assert "conv2d_2" not in answer["text"]
        inside = tiny.client.get(f"{NESTED}/summary?until=backbone/first").text
        assert "first (Conv2D)" in inside
        assert "backbone" not in inside

    @pytest.mark.parametrize(
        ("query", "status", "kind", "words"),
        [
            ("width=39", 422, "invalid-parameter", ["width", "40"]),
            ("width=401", 422, "invalid-parameter", ["width", "400"]),
            ("until=", 422, "invalid-parameter", ["until"]),
            ("until=conv2d_9", 404, "unknown-layer", ["'conv2d_9'", "'conv2d_5'"]),
            ("until=99", 404, "unknown-layer", ["no layer 99"]),
        ],
    )
    def test_what_there_is_not(self, tiny: Service, query: str, status: int, kind: str, words: list[str]) -> None:
        problem(tiny.client.get(f"{MODEL}/summary?{query}"), status, kind, *words)


class TestKernels:
    def get(self, tiny: Service, query: str = "") -> Array:
        answer = tiny.client.get(f"{NESTED}/layers/backbone/first/kernels?format=npy&{query}")
        assert answer.status_code == 200, answer.text
        array: Array = np.load(io.BytesIO(answer.content))
        return array

    def test_values(self, tiny: Service, nested_model: tuple[Path, Array]) -> None:
        kernel = nested_model[1]
        np.testing.assert_array_equal(self.get(tiny), kernel[:, :, 0])
        np.testing.assert_array_equal(self.get(tiny, "input_channel=2"), kernel[:, :, 2])
        np.testing.assert_array_equal(self.get(tiny, "input_channel=rgb"), kernel)
        np.testing.assert_allclose(self.get(tiny, "input_channel=mean"), kernel.mean(axis=2), rtol=1e-6)
        np.testing.assert_array_equal(self.get(tiny, "filters=3,1"), kernel[:, :, 0][..., [3, 1]])
        np.testing.assert_array_equal(self.get(tiny, "filters=3&filters=1"), kernel[:, :, 0][..., [3, 1]])

    def test_json(self, tiny: Service) -> None:
        answer = tiny.client.get(f"{NESTED}/layers/backbone/first/kernels?arrays=list&colormap=gray").json()
        ExplanationOut.model_validate(answer)
        assert (answer["target"], answer["predictions"], answer["image"]) == (None, [], None)
        assert answer["method"]["parameters"]["layer"] == "backbone/first"
        assert answer["method"]["parameters"]["colormap"] == "gray"
        (picture,) = answer["images"]
        image = Image.open(io.BytesIO(base64.b64decode(picture["data"])))
        assert (picture["name"], image.size) == ("kernels", (picture["width"], picture["height"]))

    def test_one_picture_a_filter(self, tiny: Service) -> None:
        answer = tiny.client.get(f"{NESTED}/layers/backbone/first/kernels?view=channel&filters=0,2").json()
        assert [picture["name"] for picture in answer["images"]] == ["kernels:0", "kernels:2"]

    @pytest.mark.parametrize(
        ("path", "status", "kind", "words"),
        [
            ("pool/kernels", 422, "method-not-valid", ["'pool'", "no kernels", "no convolution"]),
            ("nope/kernels", 404, "unknown-layer", ["no layer 'nope'"]),
            ("backbone/first/kernels?filters=4", 422, "invalid-parameter", ["filters 0 to 3", "4"]),
            ("backbone/first/kernels?input_channel=3", 422, "invalid-parameter", ["input channels 0 to 2", "3"]),
            ("backbone/second/kernels?input_channel=rgb", 422, "invalid-parameter", ["3 input channels", "has 4"]),
            ("first/kernels?layer=pool", 422, "invalid-parameter", ["layer: unknown parameter"]),
            ("first/kernels?filtres=1", 422, "invalid-parameter", ["filtres", "'filters'"]),
            ("first/kernels?filters=0&view=both", 422, "invalid-parameter", ["view", "'grid' or 'channel'"]),
        ],
    )
    def test_refused(self, tiny: Service, path: str, status: int, kind: str, words: list[str]) -> None:
        problem(tiny.client.get(f"{NESTED}/layers/{path}"), status, kind, *words)

    def test_accept_that_cannot_be_served(self, tiny: Service) -> None:
        answer = tiny.client.get(f"{NESTED}/layers/first/kernels", headers={"Accept": "text/csv"})
        problem(answer, 406, "not-acceptable", "text/csv")


class TestCamInsideANestedModel:
    def test_layer_by_path(self, tiny: Service) -> None:
        content = json.dumps({"image": base64.b64encode(saved(triangle())).decode(), "layer": "backbone/second"})
        answer = tiny.client.post(f"{NESTED}/cam", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["method"]["parameters"]["layer"] == "backbone/second"
        assert {warning["code"] for warning in answer.json()["warnings"]} >= {"preprocessing_assumed"}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/methods?modle=shapes", "modle: unknown parameter; the closest is 'model'"),
        ("/v1/models?state=warm", "state: unknown parameter; it takes none"),
        ("/v1/models/shapes/layers?name=x", "name: unknown parameter; it takes none"),
    ],
)
def test_unknown_query_parameters_are_refused(service: Service, path: str, words: str) -> None:
    assert problem(service.client.get(path), 422, "invalid-parameter")["detail"] == words
