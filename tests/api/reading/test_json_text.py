"""C5: bodies that two readers could understand differently are refused: names that stand twice, compressed bodies."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.reading import json_text
from service.api.reading.json_text import json_object
from service.errors import MalformedBody
from tests.checks import CAM, JSON, MODEL, PNG, openapi, problem, saved, triangle
from tests.conftest import Service

PICTURE = saved(triangle(28, 28))
TEXT = base64.b64encode(PICTURE).decode()
NESTED = "[" * 400 + '{"deep": 1, "deep": 2}' + "]" * 400
TWICE = [
    ('{"a": 1, "a": 1}', "a"),
    ('{"a" :1,"b":{},"a"\n:2}', "a"),
    ('{"a": 1, "\\u0061": 2}', "a"),
    ('{"": 1, "": 2}', ""),
    ('{"a": [1, [2, {"b": {"c": 1, "c": 2}}]]}', "c"),
    ('{"x": {"a": 1, "a": 1}, "x": 1}', "a"),
    ('{"a": {"b": 1}, "c": 1, "a": {"b": 1, "c": 2}}', "a"),
    (f'{{"x": {NESTED}}}', "deep"),
    ('{"a": ":", "b": "\\":", "c": "{", "d": 1, "d": 2}', "d"),
]
ONCE = [
    "{}",
    '{"a": ":", "b": "\\":", "c": "{\\"a\\": 1, \\"a\\": 1}"}',
    '{"a": {"a": {"a": 1}}, "b": [{"a": 1}, {"a": 1}]}',
    '{"a": 123456789012345678901234567890, "b": [":", 1e5, null]}',
    f'{{"x": {"[" * 900 + "]" * 900}, "y": ":"}}',
]


@pytest.mark.parametrize(("text", "name"), TWICE)
def test_c5_a_name_that_stands_twice(text: str, name: str) -> None:
    with pytest.raises(MalformedBody) as raised:
        json_object(text.encode(), "the body")
    assert raised.value.detail == f"the body has {name!r} twice in one object; give it once"
    assert raised.value.errors[0].loc == (name,)


@pytest.mark.parametrize("text", ONCE)
def test_c5_what_only_looks_like_it(text: str) -> None:
    assert json_object(text.encode(), "the body") == orjson.loads(text)


def test_objects_are_counted_before_they_are_made() -> None:
    braces = json_text.MOST_OBJECTS
    assert len(json_object(b'{"x": [' + b",".join([b"{}"] * (braces - 1)) + b"]}", "the body")["x"]) == braces - 1
    with pytest.raises(MalformedBody) as raised:
        json_object(b'{"x": [' + b",".join([b"{}"] * braces) + b"]}", "the body")
    assert raised.value.detail == "the body has 10001 opening braces; it may have 10000"


class Pairs(tuple[Any, ...]):
    """The members of an object, of which names may be the same."""


VALUES = st.recursive(
    st.none() | st.integers(-9, 9) | st.sampled_from(["", ":", '"', '":', "{", '\\":']),
    lambda inner: (
        st.lists(inner, max_size=4) | st.lists(st.tuples(st.sampled_from("ab:"), inner), max_size=4).map(Pairs)
    ),
    max_leaves=12,
)


def written(value: Any) -> str:
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{json.dumps(name)} : {written(inner)}" for name, inner in value) + "}"
    return f"[{','.join(map(written, value))}]" if isinstance(value, list) else json.dumps(value)


def has_twins(value: Any) -> bool:
    if isinstance(value, Pairs):
        names = [name for name, _ in value]
        return len(set(names)) < len(names) or any(has_twins(inner) for _, inner in value)
    return isinstance(value, list) and any(map(has_twins, value))


@given(value=VALUES, few=st.sampled_from([0, 1, 10_000]))
def test_c5_any_object(value: Any, few: int) -> None:
    """Whether it is looked at by leaps, or by the pattern."""
    text = written(Pairs([("x", value)]))
    usual, json_text.FEW = json_text.FEW, few
    try:
        if has_twins(value):
            with pytest.raises(MalformedBody, match="twice in one object"):
                json_object(text.encode(), "the body")
        else:
            assert json_object(text.encode(), "the body") == json.loads(text)
    finally:
        json_text.FEW = usual


@pytest.mark.parametrize(
    ("method", "path", "text"),
    [
        ("POST", CAM, f'{{"image": "{TEXT}", "target": 1, "target": 2}}'),
        (
            "POST",
            f"{MODEL}/explain",
            f'{{"image": "{TEXT}", "methods": [{{"method": "cam", "layer": 1, "layer": 2}}]}}',
        ),
        ("POST", f"{MODEL}:predict", f'{{"instances": [{{"b64": "x", "b64": "{TEXT}"}}]}}'),
        ("POST", f"{MODEL}:explain", f'{{"instances": [{{"b64": "{TEXT}"}}], "instances": []}}'),
        ("POST", "/v2/models/shapes/infer", '{"inputs": [{"name": "image", "name": "other"}]}'),
    ],
)
def test_c5_every_route_that_takes_json(service: Service, method: str, path: str, text: str) -> None:
    answer = service.client.request(method, path, content=text, headers=JSON)
    assert answer.status_code == 400, answer.text
    said = answer.json()
    assert "twice in one object" in said["error" if path.startswith("/v2") else "detail"]


def form(service: Service, path: str, *parts: tuple[str, str | bytes]) -> httpx.Response:
    files: list[Any] = [
        (name, (None, value) if isinstance(value, str) else ("a.bin", value, "image/png")) for name, value in parts
    ]
    return service.client.post(path, files=files)


def test_c5_every_part_that_is_json_and_every_part_that_is_sent_twice(service: Service) -> None:
    image = ("image", PICTURE)
    for parts, words in (
        ([image, ("params", '{"target": 1, "target": 2}')], "the part 'params' has 'target' twice"),
        ([image, ("params", '{"target": 1}'), ("params", '{"top": 2}')], "'params' is sent twice"),
        ([image, ("params", '{"target": 1}'), ("target", "2")], "'target' stands in the part 'params'"),
    ):
        problem(form(service, CAM, *parts), 400, "malformed-body", words)
    model = ("model", b"PK\x03\x04")
    for parts, words in (
        ([("id", "mine"), model, ("spec", '{"title": "a", "title": "b"}')], "the part 'spec' has 'title' twice"),
        ([("id", "mine"), ("id", "other"), model], "the parts 'id' are sent more than once"),
        ([("id", "mine"), model, model], "the parts 'model' are sent more than once"),
    ):
        problem(form(service, "/v1/models", *parts), 400, "malformed-body", words)


@pytest.mark.parametrize("coding", ["gzip", "br", "GZIP", "identity, gzip", "unknown"])
def test_c5_a_body_that_is_compressed(service: Service, coding: str) -> None:
    for path, sent in ((CAM, PNG), (f"{MODEL}:predict", JSON), ("/v1/models", {"Content-Type": "multipart/form-data"})):
        headers = sent | {"Content-Encoding": coding}
        answer = service.client.post(path, content=gzip.compress(PICTURE), headers=headers)
        named = coding.replace("identity, ", "")
        problem(answer, 415, "unsupported-media-type", f"Content-Encoding '{named}'", "without that header")
        assert answer.headers["accept-encoding"] == "identity"


def test_c5_a_body_that_is_sent_as_it_is(service: Service) -> None:
    for coding in ("identity", "Identity", ""):
        answer = service.client.post(CAM, content=PICTURE, headers=PNG | {"Content-Encoding": coding})
        assert answer.status_code == 200
    assert service.client.get("/v1/models", headers={"Content-Encoding": "gzip"}).status_code == 200


def test_c5_what_is_refused_is_documented() -> None:
    for path, operations in openapi()["paths"].items():
        for operation in operations.values():
            if "requestBody" in operation:
                assert {"400", "413", "415"} <= set(operation["responses"]), path
