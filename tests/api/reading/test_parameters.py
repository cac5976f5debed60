"""One flat set of names: parameters of the method and wishes for the answer, and what is wrong with them."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest

from service.api.reading.parameters import parse, parse_many
from service.errors import InvalidParameter
from service.explainers import BY_NAME, EXPLAINERS
from service.explainers.base import Explainer
from tests.checks import CAM, JSON, MODEL, PNG, problem, saved, triangle
from tests.conftest import Service

PICTURE = saved(triangle())
BASE64 = base64.b64encode(PICTURE).decode()


class TestParse:
    def test_options_and_parameters_are_told_apart(self) -> None:
        params, options = parse(BY_NAME["cam"], {"alpha": "0.25", "format": "png", "outputs": "overlay, heatmap"})
        assert params.model_dump()["alpha"] == 0.25
        assert options.answer("png").outputs == ("overlay", "heatmap")

    def test_every_problem_is_told_at_once(self) -> None:
        with pytest.raises(InvalidParameter) as caught:
            parse(BY_NAME["cam"], {"alfa": "1", "alpha": "2", "top": "0", "colormap": "jet"})
        assert [item.loc for item in caught.value.errors] == [("alfa",), ("alpha",), ("top",)]
        assert all(item.msg in caught.value.detail for item in caught.value.errors)

    def test_of_very_many_unknown_names_the_first_are_told(self) -> None:
        """100,000 of them took ten seconds, in which nobody else was answered."""
        given = {f"samplez{number}": 1 for number in range(100_000)} | {"x" * 10**6: 1}
        began = time.process_time()
        with pytest.raises(InvalidParameter) as caught:
            parse(BY_NAME["saliency"], given)
        assert time.process_time() - began < 1
        assert [item.loc for item in caught.value.errors[:2]] == [("samplez0",), ("samplez1",)]
        assert len(caught.value.errors) == 51
        assert caught.value.errors[-1].msg == "99951 more parameters are unknown"
        assert len(caught.value.detail) < 50_000

    def test_a_name_of_a_megabyte_is_cut(self) -> None:
        with pytest.raises(InvalidParameter) as caught:
            parse(BY_NAME["cam"], {"x" * 10**6: 1})
        assert caught.value.errors[0].loc == ("x" * 100 + "…",)
        assert len(caught.value.detail) < 1000

    def test_a_variant_is_named_as_it_was_written(self) -> None:
        with pytest.raises(InvalidParameter) as caught:
            parse_many({"methods": [{"method": "cam", "variant": 5}]})
        assert caught.value.errors[0].loc == ("methods", "0", "variant")
        assert caught.value.detail.startswith("cam: variant: input should be ")

    def test_a_variant_where_several_methods_are_asked_for(self) -> None:
        with pytest.raises(InvalidParameter) as caught:
            parse_many({"methods": "predict", "variant": "smoothgrad"})
        assert caught.value.detail == "variant: unknown parameter; 'methods' takes it: methods=smoothgrad"

    def test_a_method_without_variants(self) -> None:
        with pytest.raises(InvalidParameter, match="variant: unknown parameter; there are "):
            parse(BY_NAME["predict"], {"variant": "x"})

    def test_long_values_are_cut(self) -> None:
        with pytest.raises(InvalidParameter) as caught:
            parse(BY_NAME["cam"], {"alpha": "9" * 5000 + "x"})
        assert len(caught.value.detail) < 300

    def test_what_the_path_gives_is_no_parameter(self) -> None:
        with pytest.raises(InvalidParameter, match="layer: unknown parameter"):
            parse(BY_NAME["kernels"], {"layer": "b"}, layer="a")
        assert parse(BY_NAME["kernels"], {}, layer="a")[0].model_dump()["layer"] == "a"

    @pytest.mark.parametrize("explainer", EXPLAINERS, ids=lambda explainer: explainer.name)
    def test_no_method_takes_an_unknown_name(self, explainer: Explainer) -> None:
        with pytest.raises(InvalidParameter, match="no_such_name: unknown parameter"):
            parse(explainer, {"no_such_name": 1, **({"layer": "a"} if explainer.name == "kernels" else {})})


class TestOverHttp:
    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ("alfa=0.5", ["alfa: unknown parameter", "closest", "'alpha'"]),
            ("colourmap=jet", ["colourmap: unknown", "'colormap'"]),
            ("zzzzzz=1", ["zzzzzz: unknown parameter; there are output, target, alpha,"]),
            ("variant=layercam", ["variant: unknown parameter; 'method' chooses the variant: method=layercam"]),
            ("kind=layercam", ["kind: unknown parameter; 'method' chooses the variant: method=layercam"]),
            ("variant=no", ["variant: unknown parameter; 'method' chooses the variant, one of gradcam, gradcam++"]),
            ("alpha=nan", ["alpha", "finite"]),
            ("alpha=inf", ["alpha", "finite"]),
            ("alpha=1.5", ["alpha", "less than or equal to 1", "1.5"]),
            ("alpha=", ["alpha", "number"]),
            ("alpha=a%00b", ["alpha", "number"]),
            ("colormap=Jet", ["colormap", "'viridis'", "'Jet'"]),
            ("method=gradcamm", ["method", "'gradcam'"]),
            ("size=huge", ["size", "'original', 'input' or 'map'"]),
            ("format=tiff", ["format", "'png'", "'tiff'"]),
            ("quality=101&format=jpeg", ["quality", "less than or equal to 100"]),
            ("max_side=15", ["max_side", "greater than or equal to 16"]),
            ("picture=gif", ["picture", "'png', 'jpeg' or 'webp'"]),
            ("arrays=yes", ["arrays", "'base64'"]),
            ("top=0", ["top", "greater than or equal to 1"]),
            ("top=1001", ["top", "less than or equal to 1000"]),
            ("preprocess=perhaps", ["preprocess", "boolean"]),
            ("outputs=heatmap,nope", ["'cam' draws overlay, heatmap", "'nope'"]),
            ("outputs=heatmaps", ["'heatmaps'", "closest is 'heatmap'"]),
            ("target=", ["target", "at least 1 character"]),
            ("layer=" + "x" * 301, ["layer", "at most 300"]),
            ("alpha=0.1&alpha=0.2", ["alpha", "'0.1', '0.2'"]),
            ("target=1&target=2", ["target", "'1', '2'"]),
            ("format=png&format=json", ["format", "'png', 'json'"]),
        ],
    )
    def test_refused(self, service: Service, query: str, words: list[str]) -> None:
        body = problem(
            service.client.post(f"{CAM}?{query}", content=PICTURE, headers=PNG), 422, "invalid-parameter", *words
        )
        if not query.startswith("outputs"):
            assert [item["loc"] for item in body["errors"]] == [[query.partition("=")[0]]]

    @pytest.mark.parametrize(
        "values", [{"alpha": [0.5]}, {"target": 1.5}, {"target": None}, {"layer": {}}, {"outputs": 7}, {"top": "many"}]
    )
    def test_json_values_of_the_wrong_kind(self, service: Service, values: dict[str, Any]) -> None:
        problem(service.client.post(CAM, json={"image": BASE64} | values), 422, "invalid-parameter", next(iter(values)))

    def test_query_and_body_disagree(self, service: Service) -> None:
        answer = service.client.post(f"{CAM}?target=1", json={"image": BASE64, "target": 2})
        problem(answer, 422, "invalid-parameter", "'target'", "two values", "give it once")
        answer = service.client.post(f"{CAM}?target=1", data={"target": "2"}, files={"image": PICTURE})
        problem(answer, 422, "invalid-parameter", "'target'", "two values")

    def test_query_and_body_agree(self, service: Service) -> None:
        body = {"image": BASE64, "preprocess": True, "alpha": 0.5}
        assert service.client.post(f"{CAM}?preprocess=true&alpha=0.5", json=body).status_code == 200

    def test_form_field_twice(self, service: Service) -> None:
        answer = service.client.post(CAM, data={"target": ["1", "2"]}, files={"image": PICTURE})
        problem(answer, 422, "invalid-parameter", "target", "'1', '2'")

    @pytest.mark.parametrize("digits", ["9" * 199, "0" * 199])
    def test_long_numbers(self, service: Service, digits: str) -> None:
        answer = service.client.post(f"{CAM}?target={digits}", content=PICTURE, headers=PNG)
        problem(answer, 404, "unknown-class", "no class")

    def test_parameter_that_no_index_can_be(self, service: Service) -> None:
        for channels in ("3-1", "0-99999", "a", "1.5", "-1", "0;1"):
            answer = service.client.post(f"{MODEL}/activations?channels={channels}", content=PICTURE, headers=PNG)
            problem(answer, 422, "invalid-parameter", "channels")

    def test_channel_that_is_not_there(self, service: Service) -> None:
        route = f"{MODEL}/activations?layers=conv2d&channels=32"
        answer = service.client.post(route, content=PICTURE, headers=PNG)
        problem(answer, 422, "invalid-parameter", "'conv2d'", "0 to 31", "32")

    @pytest.mark.parametrize("channels", ["", ",", " , "])
    def test_no_channel_at_all(self, service: Service, channels: str) -> None:
        route = f"{MODEL}/activations"
        answer = service.client.post(route, params={"channels": channels}, content=PICTURE, headers=PNG)
        problem(answer, 422, "invalid-parameter", "channels: write at least one index", "leave the parameter out")
        answer = service.client.get(f"{MODEL}/layers/conv2d/kernels", params={"filters": channels})
        problem(answer, 422, "invalid-parameter", "filters: write at least one index", "leave the parameter out")

    def test_no_channel_at_all_in_json(self, service: Service) -> None:
        answer = service.client.post(f"{MODEL}/activations", json={"image": BASE64, "channels": []})
        problem(answer, 422, "invalid-parameter", "channels: write at least one index")

    def test_no_sixty_fifth_layer(self, service: Service) -> None:
        content = b'{"image": "' + BASE64.encode() + b'", "layers": [' + b",".join([b"0"] * 65) + b"]}"
        answer = service.client.post(f"{MODEL}/activations", content=content, headers=JSON)
        problem(answer, 422, "invalid-parameter", "layers", "at most 64")
