"""The peers' virtual environment and the process in it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.callers import NotAvailable
from tests.benchmarks.timing import Timed

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
FOLDER = HERE.parent / ".peers"
PYTHON = FOLDER / "bin" / "python"
INSTALLED = FOLDER / ".installed"
INSTALL_LIMIT_S = 1200


def install() -> str | None:
    """Makes the environment where it is not there or not current; gives why it could not be made."""
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if INSTALLED.is_file() and INSTALLED.read_text(encoding="utf-8") == wanted:
        return None
    # --no-deps: the file names every package there is to be.
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--no-deps", "--requirement", REQUIREMENTS]
    for command in ([sys.executable, "-m", "venv", "--clear", FOLDER], pip):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_LIMIT_S)
        except subprocess.TimeoutExpired:
            return f"not installed in {INSTALL_LIMIT_S} s"
        if done.returncode:
            return f"not installed: {(done.stderr.strip().splitlines() or ['no reason given'])[-1][:200]}"
    INSTALLED.write_text(wanted, encoding="utf-8")
    return None


@dataclass(frozen=True)
class Peers:
    """A process with a model, or the reason why there is none."""

    process: subprocess.Popen[str] | None
    versions: dict[str, str]
    missing: str = ""

    def seconds(self, peer: str, method: str, **query: Any) -> float:
        """How long one call took there. Raises NotAvailable where the peer cannot."""
        if self.process is None or self.process.stdin is None or self.process.stdout is None:
            raise NotAvailable(self.missing)
        self.process.stdin.write(json.dumps({"peer": peer, "method": method, **query}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": "the process ended"}
        if "error" in answer:
            raise NotAvailable(f"{peer}: {answer['error']}")
        return float(answer["seconds"])

    def timed(self, peer: str, method: str) -> Timed:
        return lambda: self.seconds(peer, method)


@contextmanager
def started(model: Path, images: NDArray[np.float32], class_index: int, layer: str, log: Path) -> Iterator[Peers]:
    """The process with the model of a file, told to explain one class on network inputs (n, h, w, c)."""
    if missing := install():
        yield Peers(None, {}, missing)
        return
    np.save(log.with_suffix(".npy"), images)
    arguments = [PYTHON, HERE / "child.py", model, log.with_suffix(".npy"), str(class_index), layer]
    with log.open("w") as errors:
        process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        line = process.stdout.readline() if process.stdout else ""
        if line:
            yield Peers(process, json.loads(line))
        else:
            last = (log.read_text().strip().splitlines() or ["no reason given"])[-1]
            yield Peers(None, {}, f"they do not start: {last[:200]}")
    finally:
        if process.stdin:
            process.stdin.close()
        process.wait(30)
        if process.stdout:
            process.stdout.close()
