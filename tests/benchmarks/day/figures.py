"""What the samples of the day come to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tests.benchmarks.day.day import Day
from tests.benchmarks.day.samples import Sample
from tests.benchmarks.rows import Row, at_most

MOMENTS = (0.1, 0.25, 0.5, 0.75, 1.0)
KIB = 1024


def rows(day: Day) -> list[Row]:
    """The figures with their targets."""
    samples, callers = day.samples, day.callers
    second = [sample for sample in samples if sample.calls >= samples[-1].calls / 2]
    retried = ", ".join(f"{count} × {status}" for status, count in sorted(callers.retried.items()))
    jobs = ", ".join(f"{count} {state}" for state, count in sorted(callers.jobs.items()))
    beyond = np.array([sample.engine - sample.most for sample in samples]) / 1e6
    warm = np.array([sample.warm > sample.budget for sample in samples])
    highest = max(samples, key=lambda sample: sample.engine)
    return [
        Row(
            "day/refused",
            f"of {samples[-1].calls} calls: neither answered nor told to come again",
            len(callers.refused),
            at_most(0),
            "calls",
            note=f"told to come again: {retried or 'none'}; {callers.jobs.total()} jobs: {jobs}",
        ),
        Row("day/restarts", "engines that ended", samples[-1].restarts, at_most(0), "engines"),
        _growth(second, "engine", lambda sample: sample.engine),
        _growth(second, "api", lambda sample: sample.api),
        Row(
            "day/highest",
            "the engine at its highest beyond the bare one ÷ budget",
            (highest.engine - highest.bare) / highest.budget,
            at_most(1.0),
            measured=f"{(highest.engine - highest.bare) / 1e6:.0f} MB",
            against=f"{highest.budget / 1e6:.0f} MB",
            note=f"bare {highest.bare / 1e6:.0f} MB; beyond both in {100 * (beyond > 0).mean():.1f} % of the samples",
        ),
        Row(
            "day/warm",
            "samples in which the warm models and their plans take more than the budget",
            100 * float(warm.mean()),
            at_most(1.0),
            "%",
            note=f"of {len(samples)} samples, at most {max(sample.warm for sample in samples) / 1e6:.0f} MB; "
            f"{day.missed} times the engine was too busy to tell",
        ),
        Row(
            "day/untold",
            "median of what the engine takes and the service does not tell",
            float(np.median([sample.engine - sample.told for sample in samples])) / 1e6,
            unit="MB",
            note="steps of calls that run, and what libraries kept since that was last counted",
        ),
    ]


def _growth(samples: Sequence[Sample], name: str, value: Callable[[Sample], int]) -> Row:
    """Fits a line by least squares."""
    calls = np.array([sample.calls for sample in samples], np.float64)
    sizes = np.array([value(sample) for sample in samples], np.float64)
    slope = float(np.polyfit(calls, sizes, 1)[0]) / KIB if np.ptp(calls) else 0.0
    ends = f"from {sizes[0] / 1e6:.0f} to {sizes[-1] / 1e6:.0f} MB"
    note = f"over the second half of the calls, {ends}"
    return Row(f"day/{name}", f"growth of the {name} a call", slope, at_most(2), "KiB", note=note)


def moments(day: Day) -> list[Sample]:
    """The samples when so many parts of the calls had been answered."""
    total = day.samples[-1].calls
    return [next(sample for sample in day.samples if sample.calls >= share * total) for share in MOMENTS]
