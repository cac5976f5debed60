"""One thing that was looked at."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

WIDTH = 16


class Level(StrEnum):
    """`warning`: the service runs, with less than one might expect. `failed`: it does not, or not for long."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Check:
    """What was found, and what to do about it: empty where nothing is to be done."""

    name: str
    level: Level
    found: str
    advice: str = ""

    @property
    def line(self) -> str:
        return f"{self.level.value:<8} {self.name:<{WIDTH}} {self.found}" + (f" → {self.advice}" if self.advice else "")

    @property
    def values(self) -> dict[str, str]:
        return {name: str(value) for name, value in asdict(self).items()}


def ok(name: str, found: str) -> Check:
    return Check(name, Level.OK, found)


def warning(name: str, found: str, advice: str) -> Check:
    return Check(name, Level.WARNING, found, advice)


def failed(name: str, found: str, advice: str) -> Check:
    return Check(name, Level.FAILED, found, advice)
