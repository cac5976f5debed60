"""A variant is one object: names, enum, parameters and the count of a summary follow from it."""

from __future__ import annotations

from typing import Annotated

import nets
import pytest
from pydantic import Field, ValidationError

from service.explainers import BY_NAME, EXPLAINERS
from service.explainers.base import Explainer
from service.explainers.params import ExplainerParams
from service.explainers.variants import OneOf, Variant, choices_of, in_words, names_of, taken_by_some
from tests.conftest import ROOT
from tests.shape.source import variant_places

FAMILIES = [explainer for explainer in EXPLAINERS if len(explainer.variants) > 1]
TWO = (Variant("a", "A.", "", takes=("x", "y")), Variant("b", "B.", "", takes=("y",)))


class Chosen(ExplainerParams):
    method: Annotated[str, OneOf(("a", "b"))] = Field("a", description="Which one.")
    other: str = "a"


def test_the_enum_is_that_of_the_names() -> None:
    said = Chosen.model_json_schema()["properties"]["method"]
    assert said == {
        "default": "a", "description": "Which one.", "enum": ["a", "b"], "title": "Method", "type": "string",
    }  # fmt: skip
    assert Chosen(method="b").method == "b"
    for wrong in ("c", 1, None):
        with pytest.raises(ValidationError, match="Input should be 'a' or 'b'"):
            Chosen.model_validate({"method": wrong})


def test_the_names_that_a_parameter_takes() -> None:
    assert choices_of(Chosen.model_fields["method"]) == ("a", "b")
    assert choices_of(Chosen.model_fields["other"]) == ()


def test_what_some_variants_alone_take() -> None:
    assert names_of(TWO) == ("a", "b")
    assert taken_by_some(TWO) == {"x": ("a",), "y": ("a", "b")}
    assert taken_by_some(()) == {}


@pytest.mark.parametrize(("count", "word"), [(0, "no"), (2, "two"), (9, "nine"), (12, "twelve"), (13, "13")])
def test_small_numbers_are_words(count: int, word: str) -> None:
    assert in_words(count) == word


def test_a_family_says_which_parameters_are_for_whom() -> None:
    assert BY_NAME["cam"].only == {
        "max_channels": ("scorecam",),
        "kernel": ("kpcacam",),
        **dict.fromkeys(("references", "strength"), ("finercam",)),
    }
    assert BY_NAME["saliency"].only == {
        **dict.fromkeys(("samples", "noise", "seed"), ("smoothgrad", "squaregrad", "vargrad", "gradient_shap")),
        "steps": ("integrated_gradients", "guided_ig", "blur_ig", "xrai"),
        "baseline": ("integrated_gradients", "guided_ig", "gradient_shap", "deeplift", "xrai"),
        **dict.fromkeys(("rule", "epsilon", "lrp_alpha", "gamma"), ("lrp",)),
        **dict.fromkeys(("fraction", "max_dist"), ("guided_ig",)),
        "max_deviation": ("blur_ig",),
        "layer": ("guided_gradcam",),
    }
    assert BY_NAME["concepts"].only == {
        **dict.fromkeys(("concepts", "patch", "draws", "examples"), ("craft",)),
        **dict.fromkeys(("repeats", "penalty"), ("tcav",)),
    }
    assert {explainer.name for explainer in EXPLAINERS if explainer.only} == {
        "cam",
        "concepts",
        "perturbation",
        "saliency",
    }


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_what_a_variant_alone_takes_is_a_parameter_of_its_family(family: Explainer) -> None:
    assert set(family.only) <= set(family.Params.model_fields)
    names = [variant.name for variant in family.variants]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("variant", [variant.name for family in FAMILIES for variant in family.variants])
def test_a_name_is_written_in_one_place(variant: str) -> None:
    assert len(variant_places(ROOT, variant)) == 1


@pytest.mark.parametrize("name", ["cam", "concepts", "perturbation", "saliency"])
def test_each_variant_names_its_paper_and_when_not_to_trust_it(name: str) -> None:
    for variant in BY_NAME[name].variants:
        assert variant.paper.startswith("https://")
        assert variant.caution.endswith(".")


def test_the_same_model_answers_every_variant_of_a_family() -> None:
    model = nets.loaded(nets.pencil())
    for name in ("cam", "saliency", "perturbation"):
        for variant in names_of(BY_NAME[name].variants):
            assert nets.explain(model, name, method=variant, target="0").arrays["heatmap"].shape == (2, 3)
