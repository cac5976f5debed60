"""Writes RESULTS.md: how far our maps are from those of the peers."""

from __future__ import annotations

import json
from pathlib import Path

from tests.oracles.network import FIXTURES
from tests.oracles.row import TOLERANCE, Row
from tests.oracles.table import ROWS

RESULTS = Path(__file__).parent / "RESULTS.md"
HEAD = f"""# Our methods against the peers' own code

Written by `make oracles`. One small network with weights from a seed exists in Keras, in torch and in the peers'
TensorFlow; all explain the same logit of the same image. What the peers gave stands in `fixtures`, and
`test_oracles.py` compares it with ours in every run of the tests.

Figures are the largest difference of the two maps, relative to the peer's largest value. CAMs of grad-cam are those
before it clips, scales and enlarges them. Of estimates the figure is the root mean square of the differences, in
standard errors: 1 is what chance alone makes; in brackets the share of values beyond three of them. A row that
differs by more than {TOLERANCE:g} has a note that says why, and mostly a row below it that shows what is left without
that.

The metrics of an evaluation have values of Quantus, captum, grad-cam and xplique in `fixtures/metrics_*.npz`, each with
a note of what was asked and of the formula. `test_metrics.py` works each out again from its formula, and
`test_our_metrics.py` compares ours with them: deletion and insertion, pointing, energy, complexity, ROAD's imputation,
MuFidelity, the faithfulness correlation, scaled infidelity and ranks of randomised maps, all to 0.0001 of the largest.
"""


def figure(row: Row) -> str:
    """The cell of a row."""
    if not row.available:
        return "not there yet"
    if row.estimate:
        errors, beyond = row.in_standard_errors()
        return f"{errors:.2f} s.e. ({beyond:.1%})"
    difference = row.difference()
    return f"{difference:.1e}" if difference else "0"


def report() -> str:
    """The whole file."""
    versions = [json.loads((FIXTURES / f"{of}.json").read_text(encoding="utf-8")) for of in ("torch", "tensorflow")]
    numbers = "; ".join(", ".join(f"{name} {number}" for name, number in each.items()) for each in versions)
    lines = [HEAD, f"Versions: {numbers}.", "", "| ours | peer | difference | note |", "|---|---|---|---|"]
    notes: list[str] = []
    for row in ROWS:
        said = row.why or row.note
        if said:
            notes.append(f"{len(notes) + 1}. **{row.name}, {row.peer}.** {said}")
        lines.append(f"| {row.name} | {row.peer} | {figure(row)} | {len(notes) if said else ''} |")
    return "\n".join([*lines, "", "## Why some differ", "", *notes]) + "\n"


if __name__ == "__main__":
    RESULTS.write_text(report(), encoding="utf-8")
