"""Text in pictures."""

from __future__ import annotations

from collections.abc import Callable

MORE = "…"
Width = Callable[[str], float]


def printable(text: str) -> str:
    """One line that Pillow's built-in font can draw, which has no ×."""
    return " ".join(text.replace("×", "x").split())


def shortened(text: str, room: float, width: Width) -> str:
    """The text, or as much of its beginning as fits into `room` with … behind it; `width` measures a text, in the same
    unit.
    """
    if width(text) <= room:
        return text
    # No character is narrower than a unit, so that a text of any length is measured a few times only.
    text = text[: max(0, int(room))]
    while text and width(text + MORE) > room:
        text = text[:-1]
    return text.rstrip() + MORE


def wrapped(text: str, room: float, width: Width, most: int) -> list[str]:
    """The text in at most `most` lines, none wider than `room`: broken between words, the last shortened with …"""
    lines = [""]
    words = text.split()
    for place, word in enumerate(words):
        longer = f"{lines[-1]} {word}".strip()
        if not lines[-1] or width(longer) <= room:
            lines[-1] = longer
        elif len(lines) < most:
            lines.append(word)
        else:
            lines[-1] = " ".join([lines[-1], *words[place:]])
            break
    return [shortened(line, room, width) for line in lines]
