"""The memory of the day as a drawing in SVG, which needs nothing to be shown but a browser."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from tests.benchmarks.day.samples import Sample

WIDTH, HEIGHT = 960, 460
LEFT, RIGHT, TOP, BOTTOM = 72, 24, 112, 60
GB = 1e9
# Steps of an axis, times a power of ten.
STEPS = (1, 2, 2.5, 5, 10)
STYLE = """\
text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #57606a }
.title { font-size: 17px; font-weight: 600; fill: #1f2328 }
.card { fill: #ffffff; stroke: #d0d7de }
.grid { stroke: #d8dee4; stroke-width: 1 }
.axis { stroke: #8c959f; stroke-width: 1 }
polyline, .key { fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round }
.engine { stroke: #0969da }
.told { stroke: #d4741a }
.api { stroke: #1a7f52 }
.budget { stroke: #b3261e; stroke-width: 1.6; stroke-dasharray: 7 5; fill: none }
@media (prefers-color-scheme: dark) {
  text { fill: #9198a1 }
  .title { fill: #f0f6fc }
  .card { fill: #0d1117; stroke: #3d444d }
  .grid { stroke: #262c36 }
  .axis { stroke: #656c76 }
  .engine { stroke: #58a6ff }
  .told { stroke: #f0a05a }
  .api { stroke: #4cc38a }
  .budget { stroke: #ff7b72 }
}"""


@dataclass(frozen=True)
class Axis:
    """Values from 0 to `most` on the pixels from `first` to `last`, with a tick every `step`."""

    most: float
    first: float
    last: float
    step: float

    @classmethod
    def over(cls, most: float, first: float, last: float, ticks: int) -> Axis:
        """An axis with about so many ticks at round values."""
        rough = most / ticks
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * each for each in STEPS if power * each >= rough * 0.999)
        return cls(most, first, last, step)

    def at(self, value: float) -> float:
        return round(self.first + (self.last - self.first) * value / self.most, 1)

    @property
    def ticks(self) -> list[float]:
        return [number * self.step for number in range(math.floor(self.most / self.step + 1e-9) + 1)]


@dataclass(frozen=True)
class Line:
    """`kind` is its class in the style sheet."""

    kind: str
    label: str
    value: Callable[[Sample], float]


LINES = (
    Line("engine", "engine, resident", lambda sample: sample.engine),
    Line("told", "what the service tells of the engine", lambda sample: sample.told),
    Line("api", "api, resident", lambda sample: sample.api),
)
BUDGET = Line("budget", "bare engine + budget", lambda sample: sample.most)


def drawn(samples: Sequence[Sample], title: str) -> str:
    """The drawing: a line each, minutes to the right and gigabytes upwards, and above how many calls were answered."""
    highest = max(line.value(sample) for line in (*LINES, BUDGET) for sample in samples) / GB
    minutes = Axis.over(samples[-1].seconds / 60, LEFT, WIDTH - RIGHT, 8)
    gigabytes = Axis.over(highest * 1.06, HEIGHT - BOTTOM, TOP, 7)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'width="{WIDTH}" height="{HEIGHT}">',
        f"<title>{escape(title)}</title>",
        f"<style>\n{STYLE}\n</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="8"/>',
        f'<text class="title" x="{LEFT}" y="32">{escape(title)}</text>',
        *_legend(),
        *_axes(minutes, gigabytes),
        *_calls(samples, minutes),
    ]
    for line in (*LINES, BUDGET):
        points = " ".join(f"{minutes.at(each.seconds / 60)},{gigabytes.at(line.value(each) / GB)}" for each in samples)
        parts.append(f'<polyline class="{line.kind}" points="{points}"/>')
    return "\n".join([*parts, "</svg>", ""])


def _legend() -> list[str]:
    parts, left = [], float(LEFT)
    for line in (*LINES, BUDGET):
        parts.append(f'<line class="key {line.kind}" x1="{left:g}" y1="56" x2="{left + 26:g}" y2="56"/>')
        parts.append(f'<text x="{left + 34:g}" y="60">{escape(line.label)}</text>')
        # As wide as the letters are about.
        left += 34 + 6.6 * len(line.label) + 26
    return parts


def _axes(minutes: Axis, gigabytes: Axis) -> list[str]:
    floor = HEIGHT - BOTTOM
    parts = []
    for value in gigabytes.ticks:
        height = gigabytes.at(value)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{height}" x2="{WIDTH - RIGHT}" y2="{height}"/>')
        parts.append(f'<text x="{LEFT - 10}" y="{height + 4:g}" text-anchor="end">{value:g}</text>')
    for value in minutes.ticks:
        place = minutes.at(value)
        parts.append(f'<line class="axis" x1="{place}" y1="{floor}" x2="{place}" y2="{floor + 5}"/>')
        parts.append(f'<text x="{place}" y="{floor + 20}" text-anchor="middle">{value:g}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" y1="{floor}" x2="{WIDTH - RIGHT}" y2="{floor}"/>')
    middle = (TOP + floor) / 2
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2:g}" y="{HEIGHT - 16}" text-anchor="middle">time, min</text>')
    parts.append(f'<text transform="translate(22 {middle:g}) rotate(-90)" text-anchor="middle">memory, GB</text>')
    return parts


def _calls(samples: Sequence[Sample], minutes: Axis) -> list[str]:
    """Marks where a quarter, a half and three quarters of the calls were answered."""
    total = samples[-1].calls
    parts = []
    for share in (0.25, 0.5, 0.75):
        first = next(sample for sample in samples if sample.calls >= share * total)
        place = minutes.at(first.seconds / 60)
        parts.append(f'<line class="grid" x1="{place}" y1="{TOP}" x2="{place}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{place}" y="{TOP - 10}" text-anchor="middle">{share * total:,.0f} calls</text>')
    return parts
