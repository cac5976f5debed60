"""The table: RESULTS.md, whose first part `docs/measured.md` quotes."""

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

## What profiles showed

On the same machine, otherwise idle, November 2026.

- *Feature maps of 50 MB as npz*, 2.3 times the bare pass (52 ms): eight outputs instead of one take 57 ms, writing
  the segments 10, mapping and checksums 13, sending 26 (a bare uvicorn sends the same bytes to the same client in
  24 to 28), the way through queue and processes the rest. Before, statistics that an npz cannot hold took 43 ms,
  copies and checksums 93. Tried and left: mapping with all pages at once (as long), checksums by two threads (as
  long), one write by one thread (17 ms). The pass with eight outputs and the bare transfer alone are 1.6.
- *A photograph of 12 megapixels as JPEG*, 182 ms: decoding 41, resizing 33, the network 20, colouring 31, encoding
  32, upload, checksum and answer 25. Decoding and encoding by libjpeg-turbo take one thread each and are 40 % of
  it. Tried: buffers kept instead of given back to the system take 14 ms less, and would let the api grow with its
  largest picture; smaller strips take longer.
- *Predictions beside others*: they waited for the step that ran, 150 to 300 ms of a gradient of ResNet50. One
  image's pass now runs beside it after 20 ms (7.25 before, 2.8 now); cutting steps further would have left the 150
  ms of one image's gradient.
- *The api at rest*, 151 MB: the interpreter 13, DBOS with SQLAlchemy and psycopg 36, FastAPI with pydantic 19,
  OpenCV 17, its own modules 16, NumPy 12, routes and the connection of the job queue 12, and smaller libraries.
  Tried: rich kept out (5 MB less); watchfiles kept out (1); collecting and trimming (1). Loading OpenCV with the
  first picture would move 17 MB to a moment later. DBOS loads the drivers of both databases whatever it is told.
- *The api after the mix*: 17 MB of kept answers, at their size (37 before), and 15 of libraries that pictures need.
- *The first plan of ResNet50*: 94 MB of folded weights, 5 of the plan, 17 that libraries keep from the first run
  on.
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
