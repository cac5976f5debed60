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


ARENAS = """
import ctypes, threading
from service.process import giving_back, reusing
reusing()
libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes, libc.memset.argtypes = [ctypes.c_void_p], [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
MB = 1024**2
resident = lambda: int(open("/proc/self/statm").read().split()[1]) * 4096 / MB
kept, ready, done = [], threading.Barrier(4), threading.Event()

def work():
    taken = [libc.malloc(MB) for _ in range(50)]
    for place in taken:
        libc.memset(place, 1, MB)
    ready.wait()
    for place in taken:
        libc.free(place)
    kept.append(libc.malloc(300_000))
    ready.wait()
    done.wait()

before = resident()
for _ in range(3):
    threading.Thread(target=work).start()
ready.wait()
ready.wait()
print(resident() - before)
with giving_back():
    for place in kept:
        libc.free(place)
print(resident() - before)
done.set()
"""


def test_what_other_threads_have_freed_goes_back_to_the_system() -> None:
    """Three threads free 50 MB each, which glibc keeps; `malloc_trim` alone gives back the end of one arena."""
    found = subprocess.run([sys.executable, "-c", ARENAS], capture_output=True, text=True, check=True)
    held, given_back = map(float, found.stdout.split())
    assert held > 140
    assert given_back < 5
