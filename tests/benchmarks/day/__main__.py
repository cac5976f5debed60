"""`make day`: lives a day's mix, prints its section and writes it to RESULTS.md, with the plot beside it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import report as bench_report
from tests.benchmarks.day.day import Day, lived
from tests.benchmarks.day.plot import drawn
from tests.benchmarks.day.report import NAME, PLOT, section, title
from tests.benchmarks.day.scale import FULL, DayScale
from tests.benchmarks.section import with_section


def main(scale: DayScale, results: Path, tell: Callable[[str], object]) -> Day:
    """Writes the section into `results`, and the plot into its folder."""
    day = lived(scale, tell)
    written = section(day)
    for refused in day.callers.refused:
        tell(f"{refused}\n")
    tell(f"{written}\n")
    before = results.read_text(encoding="utf-8") if results.is_file() else ""
    results.parent.mkdir(parents=True, exist_ok=True)
    results.with_name(PLOT).write_text(drawn(day.samples, title(day)), encoding="utf-8")
    results.write_text(with_section(before, NAME, written), encoding="utf-8")
    return day


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.day", description=__doc__)
    parser.add_argument("--calls", type=int, default=FULL.calls, help="of the day; all else in proportion")
    parser.add_argument("--results", type=Path, default=bench_report.RESULTS, help="file that gets the section")
    given = parser.parse_args()
    main(FULL.of(given.calls), given.results, sys.stderr.write)
