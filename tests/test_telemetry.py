"""Log lines of both formats, written by a process of its own: what a traceback shows, and how long a value may be."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from service.telemetry import LONGEST, LONGEST_TRACEBACK, bounded
from tests.conftest import ROOT

SCRIPT = """
import logging, sys, structlog
from service.telemetry import configure_logging

configure_logging("info", sys.argv[1], "test")

def fails(given):
    secret = f"ks_{given}"
    raise ValueError("a\\n2026-01-01T00:00:00Z [info     ] forged \\x1b[31m")

for log in (structlog.get_logger(), logging.getLogger("uvicorn")):
    try:
        fails("value")
    except ValueError:
        log.exception("it failed")
"""


def written(form: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, form], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stderr.removesuffix("\n").split("\n")


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_values_and_forges_no_line(form: str) -> None:
    lines = written(form)
    assert "ks_value" not in "".join(lines)
    events = [line for line in lines if not line.startswith("    ")]
    assert len(events) == 2
    assert all("it failed" in line for line in events)
    assert sum("ValueError: a" in line for line in lines) == 2, "it is still told what happened"
    if form == "json":
        assert [json.loads(line)["level"] for line in events] == ["error", "error"]


def test_bounds() -> None:
    said: Any = bounded(None, "", {"path": "x" * 2 * LONGEST, "short": "a", "number": 7, "exception": "y" * 20_000})
    assert said["path"] == "x" * LONGEST + f"… ({2 * LONGEST} characters)"
    assert (said["short"], said["number"]) == ("a", 7)
    assert said["exception"] == "…" + "y" * LONGEST_TRACEBACK
