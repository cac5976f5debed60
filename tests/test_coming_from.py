"""Our side of the tables in `docs/coming-from.md`: each request that they name is one that the catalogue knows."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

import pytest

from service.api.reading.parameters import parse
from service.explainers import BY_NAME
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "coming-from.md"
OF_EVERY_METHOD = {"format", "outputs", "arrays", "picture", "quality", "max_side", "top", "preprocess"}
REQUESTS = re.findall(r"[`/]([a-z]+)\?([^`'\s]+)[`']", PAGE.read_text(encoding="utf-8"))


def test_there_are_requests() -> None:
    assert {family for family, _ in REQUESTS} >= {"cam", "saliency", "occlusion", "perturbation", "maximization"}
    assert len(REQUESTS) > 90


@pytest.mark.parametrize(("family", "query"), sorted(set(REQUESTS)), ids=lambda text: text)
def test_a_request_is_valid(family: str, query: str) -> None:
    explainer = BY_NAME[family]
    sent = dict(parse_qsl(query.replace("gradcam++", "gradcam%2B%2B"), strict_parsing=True))
    own = {name: value for name, value in sent.items() if name not in OF_EVERY_METHOD and value != "…"}
    known = set(explainer.Params.model_json_schema(by_alias=True)["properties"])
    assert set(sent) <= known | OF_EVERY_METHOD
    if "method" in own:
        assert own["method"] in {variant.name for variant in explainer.variants}
    if family == "maximization":  # A row names what it is about, not what is maximized.
        own = {"layer": "conv2d"} | own if "target" not in own else own
    if explainer.metrics:
        parse(explainer, own)
    else:
        explainer.Params.model_validate(own)
