"""The tree of domain errors is drawn as it is, and its sentences help."""

from __future__ import annotations

import pytest

from service import errors
from service.errors import KerascopeError, nearest

CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, KerascopeError)]


def drawn(kind: type[KerascopeError], indent: str = "") -> list[str]:
    """The subclasses of `kind` in the order of their definition, with the lines of a tree."""
    lines = []
    children = [child for child in CLASSES if child.__bases__ == (kind,)]
    for child in children:
        last = child is children[-1]
        lines.append(f"{indent}{'└── ' if last else '├── '}{child.__name__}")
        lines += drawn(child, indent + ("    " if last else "│   "))
    return lines


def test_the_docstring_draws_the_tree() -> None:
    found = [line for line in (errors.__doc__ or "").splitlines() if "──" in line]
    assert sorted(found) == sorted(drawn(KerascopeError))


@pytest.mark.parametrize("kind", CLASSES)
def test_the_docstring_is_the_title(kind: type[KerascopeError]) -> None:
    assert kind.__doc__
    assert kind.title() == kind.__doc__.splitlines()[0].rstrip(".")
    assert len(kind.title().split()) > 2


def test_an_error_keeps_what_it_is_told() -> None:
    error = errors.QueueFull("full", errors=[errors.FieldError(("a",), "b")], retry_after_s=3)
    assert (str(error), error.detail, error.errors, error.retry_after_s) == (
        "full",
        "full",
        (errors.FieldError(("a",), "b"),),
        3,
    )


class TestNearest:
    @pytest.mark.parametrize(
        ("wrong", "valid", "sentence"),
        [
            ("alfa", ["layer", "alpha", "top"], "; the closest is 'alpha'"),
            ("nope", ["shapes"], ""),
            ("notes", ["text", "mine", "dogs"], ""),
            (
                "cat",
                ["crate", "catamaran", "tiger_cat", "Egyptian cat"],
                "; the closest are 'tiger_cat', 'Egyptian cat', 'catamaran'",
            ),
            ("egyptian cat", ["tiger_cat", "Egyptian_cat"], "; the closest is 'Egyptian_cat'"),
            ("at", ["cat", "pug"], "; the closest is 'cat'"),
            ("ab", ["about", "pug"], ""),
            ("_", ["conv_1"], ""),
            ("ALPHA", ["Alpha"], "; the closest is 'Alpha'"),
            ("conv2d_9", ["conv2d_1", "conv2d_2", "dense"], "; the closest are 'conv2d_2', 'conv2d_1'"),
            ("zzz", ["alpha"], ""),
            ("", ["alpha"], ""),
            ("a", [], ""),
        ],
    )
    def test_sentence(self, wrong: str, valid: list[str], sentence: str) -> None:
        assert nearest(wrong, valid) == sentence

    def test_no_more_than_asked_for(self) -> None:
        assert nearest("layer", [f"layer{n}" for n in range(9)], count=2).count("'layer") == 2

    def test_it_may_be_given_an_iterator(self) -> None:
        assert nearest("alfa", iter(["alpha"])) == "; the closest is 'alpha'"
