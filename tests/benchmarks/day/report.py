"""The section of the day in RESULTS.md."""

from __future__ import annotations

import datetime
import os
import platform
from importlib.metadata import version

from tests.benchmarks.day.day import Day
from tests.benchmarks.day.figures import MOMENTS, moments, rows

NAME = "day"
PLOT = "day.svg"
NOTES = """\
*Engine* and *api* are the resident memory of the two processes. *Told* is what the service says of the engine at
`/metrics`: the engine before its first model, the warm models with their compiled plans, and what libraries kept when
that was last counted. The budget, `KERASCOPE_REGISTRY_BYTES`, bounds the last two; the dashed line is the budget on top
of the engine before its first model. Calls that run take memory beside it until they end."""


def title(day: Day) -> str:
    return f"A day's mix: {day.samples[-1].calls:,} calls on {len(day.scale.networks)} networks"


def section(day: Day) -> str:
    """The section: what was asked, the plot, the figures, the memory at some moments, the calls by method."""
    scale = day.scale
    ours = f"TensorFlow {version('tensorflow')}, Python {platform.python_version()}"
    networks = ", ".join(f"{network.title} {100 * scale.shares[network.id]:.0f} %" for network in scale.networks)
    asked = (
        f"`make day` on {datetime.date.today():%d %B %Y}: {os.cpu_count()} cores, {platform.machine()}, {ours}. "
        f"{day.samples[-1].calls:,} calls by {scale.callers} callers took {day.seconds / 60:.0f} min. Most of them go "
        f"to what answers soon ({networks}); among them every method and variant on every network for which it is "
        f"valid, every variant that takes a layer at {scale.layers} layers, {scale.grids} grids of occlusion and "
        f"{scale.jobs} background jobs. Photographs are PNG and JPEG of five sizes, answers JSON, PNG, JPEG and NPZ."
    )
    lines = ["## A day's mix", "", asked, "", f"![Memory of the engine and the api over a day's mix]({PLOT})", ""]
    lines += ["| what | figure | target | met | notes |", "|---|---|---|---|---|"]
    for row in rows(day):
        measured = f"{row.measured} of {row.against}; " if row.against else ""
        lines.append(f"| {row.what} | {row.shown} | {row.target or ''} | {row.met} | {measured}{row.note} |")
    lines += ["", "| calls | time | engine | told | warm models | libraries | bare + budget | api |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for share, sample in zip(MOMENTS, moments(day), strict=True):
        sizes = (sample.engine, sample.told, sample.warm, sample.library, sample.most, sample.api)
        told = " | ".join(f"{size / 1e6:.0f} MB" for size in sizes)
        lines.append(f"| {100 * share:.0f} % | {sample.seconds / 60:.1f} min | {told} |")
    lines += ["", NOTES, "", _counts(day)]
    return "\n".join(lines)


def _counts(day: Day) -> str:
    counted = day.callers.answered.most_common()
    return f"Answered: {', '.join(f'{name} {count}' for name, count in counted)}."
