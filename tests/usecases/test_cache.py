"""Kept answers: bounded by bytes, the least recently used go first, and no two questions are taken for one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from service.contract.options import AnswerOptions
from service.explainers import BY_NAME
from service.usecases.cache import AnswerCache, question_of, tag_of
from service.usecases.request import ExplainRequest, MethodCall, SentImage


def keep(cache: AnswerCache, question: str, size: int, fingerprint: str = "f") -> None:
    cache.put(question, bytes(size), "image/png", fingerprint)


def test_the_least_recently_used_go_first() -> None:
    cache = AnswerCache(100)
    for name in "abcd":
        keep(cache, name, 25)
    assert cache.get("a", "f") is not None
    keep(cache, "e", 20)
    assert [name for name in "abcde" if cache.get(name, "f")] == ["a", "c", "d", "e"]
    assert cache.kept_bytes == 95
    assert (cache.hits, cache.misses) == (5, 1)


def test_the_same_again_counts_once() -> None:
    cache = AnswerCache(100)
    keep(cache, "a", 20)
    keep(cache, "a", 25)
    assert cache.kept_bytes == 25


def test_what_is_too_large_is_not_kept() -> None:
    cache = AnswerCache(100)
    keep(cache, "a", 26)
    assert (cache.get("a", "f"), cache.kept_bytes) == (None, 0)


def test_what_is_kept_holds_no_larger_buffer() -> None:
    cache, buffer = AnswerCache(100), bytearray(b"0123456789")
    cache.put("a", memoryview(buffer)[2:5], "image/png", "f")
    # A buffer of which somebody holds a view cannot be made smaller.
    del buffer[:]
    found = cache.get("a", "f")
    assert found is not None
    assert (found.content, cache.kept_bytes) == (b"234", 3)


def test_off() -> None:
    cache = AnswerCache(0)
    keep(cache, "a", 1)
    assert not cache.on
    assert cache.kept_bytes == 0


def cam(**params: Any) -> MethodCall:
    explainer = BY_NAME["cam"]
    return MethodCall("cam", explainer, explainer.Params.model_validate(params))


ASKED = ExplainRequest("shapes", (cam(),), SentImage(b"picture"))


@pytest.mark.parametrize(
    "other",
    [
        replace(ASKED, model_id="shapes2"),
        replace(ASKED, image=SentImage(b"picturf")),
        replace(ASKED, image=SentImage(b"picture", npy=True)),
        replace(ASKED, image=None),
        replace(ASKED, methods=(cam(method="layercam"),)),
        replace(ASKED, methods=(cam(target="1"),)),
        replace(ASKED, methods=(cam(alpha=0.5),)),
        replace(ASKED, methods=(cam(), cam())),
        replace(ASKED, options=AnswerOptions(format="png")),
        replace(ASKED, options=AnswerOptions(outputs=("overlay",))),
        replace(ASKED, options=AnswerOptions(arrays="list")),
        replace(ASKED, options=AnswerOptions(top=3)),
        replace(ASKED, preprocess=False),
        replace(ASKED, many=True),
    ],
)
def test_another_question_is_another(other: ExplainRequest) -> None:
    assert question_of(other) != question_of(ASKED)


def test_the_answer_of_another_model_is_none() -> None:
    cache = AnswerCache(100)
    keep(cache, "a", 20, "old")
    assert "a" in cache
    assert cache.get("a", "new") is None
    assert cache.get("a", None) is None
    keep(cache, "a", 25, "new")
    found = cache.get("a", "new")
    assert found is not None
    assert (found.content, found.fingerprint, cache.kept_bytes) == (bytes(25), "new", 25)
    assert tag_of("a", "old") != tag_of("a", "new")


def test_what_is_left_out_is_its_default() -> None:
    said = replace(ASKED, methods=(cam(method="gradcam", target="top1", alpha=0.4),))
    assert question_of(said) == question_of(ASKED)
