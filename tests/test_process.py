"""What a process is set to before NumPy is there."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
from service.process import modest
modest()
import numpy
numpy.ones((300, 300)) @ numpy.ones((300, 300))
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("Threads")))
"""


@pytest.mark.parametrize(("given", "threads"), [(SCRIPT, 1), (SCRIPT.replace("modest()\n", ""), os.cpu_count())])
def test_openblas_has_no_threads_that_spin(given: str, threads: int) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OPENBLAS_NUM", "OMP_"))}
    found = subprocess.run([sys.executable, "-c", given], capture_output=True, text=True, check=True, env=environment)
    assert int(found.stdout) == min(threads, 64)
