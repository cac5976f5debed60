"""The parts of the harness that need no service: turns, rows, photographs."""

from __future__ import annotations

import io
import os
import signal
import subprocess

import numpy as np
import pytest
from PIL import Image

from tests.benchmarks.measures.processes import child_of, resident_bytes
from tests.benchmarks.pictures import PHOTOGRAPH, Pictures
from tests.benchmarks.rows import Row, at_least, at_most, seconds
from tests.benchmarks.timing import medians


def test_medians_take_turns_and_leave_out_what_comes_first() -> None:
    calls: list[str] = []
    answers = {"a": iter([9, 90, 9, 5, 9, 1, 9, 3]), "b": iter([9, 90, 9, 2, 9, 2, 9, 8])}

    def thing(name: str) -> float:
        calls.append(name)
        return next(answers[name])

    found = medians({name: lambda name=name: thing(name) for name in answers}, rounds=3, warm_up=1)
    assert found == {"a": 3, "b": 2}
    assert "".join(calls) == "aabb" * 4


@pytest.mark.parametrize(
    ("figure", "target", "met"),
    [
        (1.0, at_most(1.0), "yes"),
        (1.01, at_most(1.0), "**no**"),
        (4.0, at_least(4), "yes"),
        (3.99, at_least(4), "**no**"),
        (None, at_least(4), "–"),
        (3.0, None, "–"),
    ],
)
def test_targets(figure: float | None, target: object, met: str) -> None:
    assert Row("key", "what", figure, target).met == met


def test_how_figures_are_shown() -> None:
    assert Row("", "", 1.234).shown == "1.23 ×"
    assert Row("", "", 127.4, unit="MB").shown == "127 MB"
    assert Row("", "", 2.1e-6, unit="").shown == "2.1e-06"
    assert Row("", "", 0, unit="traces").shown == "0 traces"
    assert Row("", "", None, note="not installed: no network").shown == "not installed"
    assert str(at_most(1.2)) == "≤ 1.2"
    assert [seconds(value) for value in (12.34, 0.314, 0.0314)] == ["12.3 s", "0.31 s", "31.4 ms"]


def test_no_two_photographs_are_the_same_and_all_look_like_the_one() -> None:
    pictures = Pictures()
    several = [pictures.png() for _ in range(300)]
    assert len(set(several)) == 300
    with Image.open(io.BytesIO(several[-1])) as given, Image.open(PHOTOGRAPH) as wanted:
        differ = (np.asarray(given) != np.asarray(wanted.convert("RGB"))).any(axis=-1)
    assert differ[0, 0]
    assert differ.sum() == 1
    assert pictures.pixels((50, 70)).shape == (50, 70, 3)


def test_memory_and_child_of_a_process() -> None:
    before = resident_bytes(os.getpid())
    held = np.ones(64 * 2**20, np.uint8)
    assert 60 * 2**20 < resident_bytes(os.getpid()) - before < 80 * 2**20
    assert held.all()
    with subprocess.Popen(["sh", "-c", "sleep 30 & echo $!; wait"], stdout=subprocess.PIPE, text=True) as parent:
        sleeping = int(parent.stdout.readline())
        try:
            assert child_of(parent.pid) == sleeping
        finally:
            os.kill(sleeping, signal.SIGTERM)
