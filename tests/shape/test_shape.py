"""The form of the code stays as it is: `make shape` measures the same, and one figure more, which takes a service."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT
from tests.shape import source

VARIANTS = ("gradcam", "hirescam", "layercam", "eigencam", "gradient", "smoothgrad", "integrated_gradients", "lucid")


@pytest.mark.parametrize(("pattern", "most"), [(r"\bAny\b", 120), (r"\bdict\[str, Any\]", 5)])
def test_what_has_a_name_is_called_by_it(pattern: str, most: int) -> None:
    assert source.occurrences(ROOT, pattern) <= most


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_is_written_in_one_place(variant: str) -> None:
    assert len(source.variant_places(ROOT, variant)) == 1


def test_no_key_of_what_another_process_says_is_read_by_its_text() -> None:
    assert source.string_keys(ROOT) == []


def test_small_files_have_nouns_of_their_own() -> None:
    assert len(source.crumbs(ROOT)) <= 8, source.crumbs(ROOT)


def test_the_api_has_rooms() -> None:
    on_floor, rooms = source.floor(ROOT)
    assert on_floor == 1, "the table of problems"
    assert rooms == ["answering", "document", "guarding", "reading", "routes", "server"]


def test_docstrings_have_a_subject() -> None:
    assert source.bare_docstrings(ROOT) == []


def test_the_measures_find_what_they_look_for() -> None:
    assert source.BARE.match("Whose key it is.")
    assert not source.BARE.match("Gives the key.")
    assert source.occurrences(ROOT, r"\bclass KerascopeError\b") == 1
    assert "service.errors" in source.files(ROOT)
    assert source.lengths(ROOT)[3] <= 350
