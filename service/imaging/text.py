"""Text in pictures."""

from __future__ import annotations


def printable(text: str) -> str:
    """One line that Pillow's built-in font can draw, which has no ×."""
    return " ".join(text.replace("×", "x").split())
