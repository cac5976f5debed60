"""The table of what runs later names tests that there are."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT
from tests.later import beginnings, target_of


@pytest.mark.parametrize(("target", "begin"), list(beginnings()))
def test_it_names_a_test(target: str, begin: str) -> None:
    path, *names = begin.split("::")
    text = (ROOT / path).read_text(encoding="utf-8")
    assert target_of(begin) == target
    for name in names:
        assert re.search(rf"(?m)^ *(class|def|async def) {re.escape(name.partition('[')[0])}", text), name


@pytest.mark.parametrize("target", ["crashes", "kept", "page", "documents", "smoke", "soak"])
def test_make_runs_it_and_contributing_says_when(target: str) -> None:
    assert re.search(rf"(?m)^[\w ]*\b{target}\b[\w ]*:", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert f"| `make {target}` |" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
