"""The page on security names a test for every row of its checklists, and each of them is there."""

from __future__ import annotations

import ast
import re
from importlib.metadata import version

import pytest
from packaging.version import Version

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ROWS = re.findall(r"(?m)^\| ([MIH]\d+) \| [^|]+ \| ([^|]+) \|$", PAGE)
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


NAMED = set(re.findall(r"CVE-\d+-\d+", PAGE))
# The package, and the first release that is not affected.
FIXED_IN = {
    "CVE-2021-35958": ("tensorflow", "2.5.0"),
    "CVE-2024-55459": ("keras", "3.8.0"),
    "CVE-2025-9905": ("keras", "3.11.3"),
    "CVE-2025-12060": ("keras", "3.12.0"),
    "CVE-2025-12638": ("keras", "3.12.0"),
    "CVE-2026-12481": ("keras", "3.15.0"),
}
# What these are about: downloads that are unpacked, archives, and copies of models with code in them.
NEVER_CALLED = {"get_file", "extractall", "unpack_archive", "clone_model", "enable_unsafe_deserialization"}


def test_every_vulnerability_that_is_named_has_a_test() -> None:
    """By its number in a test of the reading of files, or below."""
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "ingest").glob("*.py"))
    tested = {text for text in NAMED if text in sources or text.lower().replace("-", "_") in sources}
    assert tested | set(FIXED_IN) == NAMED
    assert not tested & set(FIXED_IN)


@pytest.mark.parametrize("text", FIXED_IN)
def test_what_is_installed_is_not_affected(text: str) -> None:
    package, fixed = FIXED_IN[text]
    assert Version(version(package)) >= Version(fixed)
    locked = re.findall(rf"(?m)^{package}==(\S+)", (ROOT / "requirements.lock").read_text(encoding="utf-8"))
    assert locked
    assert all(Version(number) >= Version(fixed) for number in locked)


def test_what_they_are_about_is_never_called() -> None:
    """Also because `tf_keras`, the Keras 2 that goes on, has some of that code as it was."""
    called = {
        (path.name, name)
        for path in (ROOT / "service").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and (name := getattr(node.func, "attr", getattr(node.func, "id", ""))) in NEVER_CALLED
    }
    assert called == set()
