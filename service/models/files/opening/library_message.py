"""What an exception of a library says, as half a sentence of ours."""

from __future__ import annotations

import re


def short_sentence(error: Exception) -> str:
    """The message's first line, at most 300 characters: long dumps of configs and folders stay out of answers."""
    innermost = str(error).rsplit("Exception encountered: ", 1)[-1]
    lines = [line.strip() for line in innermost.splitlines() if line.strip()] or [type(error).__name__]
    said = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return re.sub(r"(?<![\w.])/(?:[^\s'\"/]+/)+", "", said)[:300]
