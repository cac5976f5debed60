"""RESULTS.md: a section for each measure, with its own date; a run replaces those that it measured."""

from __future__ import annotations

import datetime
import os
import platform
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.rows import Row

RESULTS = Path(__file__).parent / "RESULTS.md"
HEAD = """\
# What it withstands

Written by `make overload`, `make kills`, `make soak` and `make fuzz`, which run the real service in its own process.
Ratios and counts are what matters; times depend on the machine.
"""


def section(title: str, command: str, rows: Sequence[Row]) -> str:
    """One measure's rows as a table, with when, where and how."""
    ours = f"TensorFlow {version('tensorflow')}, Python {platform.python_version()}"
    lines = [
        f"## {title}",
        "",
        f"`{command}` on {datetime.date.today():%d %B %Y}: {os.cpu_count()} cores, {platform.machine()}, {ours}.",
        "",
        "| what | figure | target | met | measured | notes |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        against = f"{row.measured} against {row.against}" if row.against else row.measured
        lines.append(f"| {row.what} | {row.shown} | {row.target or ''} | {row.met} | {against} | {row.note} |")
    return "\n".join(lines) + "\n"


def merged(text: str, new: str) -> str:
    """`text` with the section of the same title replaced, or with the new one at its end."""
    parts = re.split(r"(?m)^(?=## )", text or HEAD)
    title = new.splitlines()[0]
    kept = [part.rstrip() + "\n" for part in parts]
    places = [place for place, part in enumerate(kept) if part.splitlines()[0] == title]
    if places:
        kept[places[0]] = new
    else:
        kept.append(new)
    return "\n".join(kept)
