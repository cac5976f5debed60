"""The table: RESULTS.md, whose first part the README quotes."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.rows import Row

RESULTS = Path(__file__).parent / "RESULTS.md"
NOTES = """\
## How it was measured

- Everything in one run on one machine: what is compared is done in turns, and medians are taken. Ratios are what
  counts; times depend on the machine and on what else it does.
- *Over HTTP*: one caller of the real service in its own process, warm, JSON with its pictures unless said otherwise.
  Every call sends a photograph of which a pixel is another than in all calls before, so that no cache of results can
  answer.
- *Bare arithmetic*: TensorFlow functions compiled once in the harness's process, on the model's own variables, with
  the network's input as it is; no decoding, no drawing. Their raw arrays are compared with the service's.
- *Peers*: each library in process, in an environment of its own (`tests/benchmarks/peers/requirements.txt`), on the
  same model file; its explainer is made once. Calls before those that count warm it up, but for occlusion.
- *Tutorial*: the published loops, a `model.predict` a patch, a gradient function and an ascent a filter.
- Weights are random, but for those of EfficientNet-Lite0; the time does not depend on them.
"""


def machine(peers: Mapping[str, str]) -> str:
    """When, where and with which versions, as one paragraph."""
    ours = f"TensorFlow {version('tensorflow')}, Keras {version('keras')}, Python {platform.python_version()}"
    text = f"`make bench` on {datetime.date.today():%d %B %Y}: {os.cpu_count()} cores"
    text += f", {platform.machine()}, {platform.system()}; {ours}."
    if peers:
        text += f" The peers: {', '.join(f'{name} {number}' for name, number in peers.items())}."
    return text


def text(rows: Sequence[Row], peers: Mapping[str, str], took_s: float) -> str:
    """RESULTS.md."""
    targets = [row for row in rows if row.target]
    met = sum(row.met == "yes" for row in targets)
    had = sum(row.figure is not None for row in targets)
    lines = ["# Measured", "", machine(peers), "", "| what | figure | target | met |", "|---|---|---|---|"]
    lines += [f"| {row.what} | {row.shown} | {row.target} | {row.met} |" for row in targets]
    lines += ["", f"{met} of {len(targets)} targets met, {len(targets) - had} not available. "]
    lines[-1] += f"The run took {took_s / 60:.0f} min."
    lines += ["", "## Times", "", "| what | figure | time | against | notes |", "|---|---|---|---|---|"]
    lines += [f"| {row.what} | {row.shown} | {row.measured} | {row.against} | {row.note} |" for row in rows]
    return "\n".join([*lines, "", NOTES])
