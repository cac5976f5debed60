"""One line of the table: a ratio or a figure, and the target it has to meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Target:
    """The figure must be at least, or at most, `limit`; `former` is what it had to be in the round before."""

    kind: Literal["at least", "at most"]
    limit: float
    former: float | None = None

    def met(self, figure: float) -> bool:
        return figure >= self.limit if self.kind == "at least" else figure <= self.limit

    def __str__(self) -> str:
        sign = "≥" if self.kind == "at least" else "≤"
        before = f" (before: {sign} {self.former:g})" if self.former is not None else ""
        return f"{sign} {self.limit:g}{before}"


@dataclass(frozen=True)
class Row:
    """`key` names the row for tests; `figure` is in `unit`, × for ratios, and None where it could not be had, with
    the reason in `note`. `measured` and `against` say what was divided."""

    key: str
    what: str
    figure: float | None
    target: Target | None = None
    unit: str = "×"
    measured: str = ""
    against: str = ""
    note: str = ""

    @property
    def shown(self) -> str:
        """The figure with its unit, or in a few words why there is none: what the note says before its colon."""
        if self.figure is None:
            return self.note.split(":")[0]
        if self.unit == "×":
            return f"{self.figure:.2f} ×"
        text = f"{self.figure:.1e}" if 0 < abs(self.figure) < 1e-3 else f"{self.figure:.3g}"
        return f"{text} {self.unit}".strip()

    @property
    def met(self) -> str:
        if self.target is None or self.figure is None:
            return "–"
        return "yes" if self.target.met(self.figure) else "**no**"


def at_least(limit: float, former: float | None = None) -> Target:
    return Target("at least", limit, former)


def at_most(limit: float, former: float | None = None) -> Target:
    return Target("at most", limit, former)


def seconds(value: float) -> str:
    """2.31 s, 0.31 s or 31 ms."""
    return f"{value:.1f} s" if value >= 10 else f"{value:.2f} s" if value >= 0.1 else f"{value * 1e3:.1f} ms"
