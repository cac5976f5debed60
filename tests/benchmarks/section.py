"""Sections of RESULTS.md that a command of its own writes: they stand between marks, and others leave them there."""

from __future__ import annotations

import re


def section_of(text: str, name: str) -> str:
    """The section of that name with its marks; empty where there is none."""
    found = _pattern(name).search(text)
    return found[0] if found else ""


def with_section(text: str, name: str, body: str) -> str:
    """The text with `body` as its section of that name, in place of the one before or at the end."""
    new = f"{_first(name)}\n{body.strip()}\n{_last(name)}\n"
    if section_of(text, name):
        return _pattern(name).sub(lambda _: new, text)
    return f"{text.rstrip()}\n\n{new}"


def keeping(text: str, before: str, name: str) -> str:
    """The text with the section of that name as it stood in the text before, at the end."""
    section = section_of(before, name)
    return f"{text.rstrip()}\n\n{section}" if section else text


def _first(name: str) -> str:
    return f"<!-- {name}: made by `make {name}` -->"


def _last(name: str) -> str:
    return f"<!-- end of {name} -->"


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(f"{re.escape(_first(name))}\n.*?{re.escape(_last(name))}\n", re.DOTALL)
