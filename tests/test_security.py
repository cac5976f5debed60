"""SECURITY.md names a test for every row of its checklists, and each of them is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

ROWS = re.findall(r"(?m)^\| ([MIH]\d+) \| [^|]+ \| ([^|]+) \|$", (ROOT / "SECURITY.md").read_text(encoding="utf-8"))
WANTED = [f"M{n}" for n in range(1, 13)] + [f"I{n}" for n in range(1, 10)] + [f"H{n}" for n in range(1, 20)]
# What no test proves; the document says why.
WITHOUT = {"I3", "H19"}


def test_every_row_is_there() -> None:
    assert [number for number, _ in ROWS] == WANTED


@pytest.mark.parametrize(("number", "proof"), ROWS)
def test_its_tests_are_there(number: str, proof: str) -> None:
    named = re.findall(r"`(tests/[^`]+)::(\w+)`", proof)
    assert bool(named) == (number not in WITHOUT)
    for path, name in named:
        assert re.search(rf"(?m)^ *(def|class) {name}\b", (ROOT / path).read_text(encoding="utf-8")), f"{path}::{name}"


@pytest.mark.parametrize("text", sorted(set(re.findall(r"(?:CVE-\d+-\d+)", Path(ROOT / "SECURITY.md").read_text()))))
def test_every_vulnerability_that_is_named_has_a_test(text: str) -> None:
    never_called = {"CVE-2021-35958", "CVE-2024-55459", "CVE-2025-12060", "CVE-2025-12638"}
    by_the_same_list = {"CVE-2025-9905", "CVE-2026-12481"}
    if text in never_called | by_the_same_list:
        return
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "ingest").glob("*.py"))
    assert text in sources or text.lower().replace("-", "_") in sources
