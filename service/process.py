"""What the processes set for themselves before anything heavy is imported."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

# NumPy's products are small here, and threads of OpenBLAS go on spinning for tens of ms after each of them: they would
# take the cores from TensorFlow, in this process or in the one beside it.
ONE_BLAS_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -2, -3, -8
ARENAS = 2
# Each keeps what it has no use for until something beside it is freed, so the engine has few, and more than one: with
# one, the threads of a step wait for each other (cam of ResNet50 on 2 cores takes 4 % longer).
ENGINE_ARENAS = 3
# How long a thread that draws may keep the interpreter while the event loop wants it.
SWITCH_S = 0.001
ENGINE_NICENESS = 5
DESCRIPTORS = 65536
MAPPED_BYTES = 256 * 1024
# The most that glibc takes for it.
LARGEST_REUSED_BYTES = 32 * 1024**2
KEPT_BYTES = 512 * 1024**2
PADDING_BYTES = 64 * 1024**2
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_reuses = False


def modest() -> None:
    """One thread for products of small matrices; and pictures, which come and go in many threads, are given back to
    the system one by one instead of leaving holes in an arena of each thread (glibc alone knows of these). As many
    descriptors as the system allows, within reason: each connection takes one, and each large answer two more.
    """
    os.environ.update(ONE_BLAS_THREAD)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    sys.setswitchinterval(SWITCH_S)
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_ARENA_MAX, ARENAS)
        libc.mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)


def reusing() -> None:
    """What steps of a call take and free is kept for the next, as mapping it anew would cost more than computing in it
    (glibc alone knows of these). `giving_back` returns it to the system when models and plans go."""
    global _reuses
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_ARENA_MAX, ENGINE_ARENAS)
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST_REUSED_BYTES)
        _keep(libc, KEPT_BYTES, PADDING_BYTES)
        _reuses = True


@contextlib.contextmanager
def giving_back() -> Iterator[None]:
    """What was freed before and in the block is given back to the system.

    `malloc_trim` returns free pages within all arenas, but the free end of the first arena alone; that of any other
    goes when something beside it is freed and the thresholds are low (20 times ResNet50 with nine calls: the engine
    grew by 15 to 20 MB each, now by none).
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        trim = libc.malloc_trim
    except (OSError, AttributeError):
        yield
        return
    if _reuses:
        _keep(libc, 0, 0)
    try:
        yield
    finally:
        trim(0)
        if _reuses:
            _keep(libc, KEPT_BYTES, PADDING_BYTES)


def _keep(libc: ctypes.CDLL, kept_bytes: int, padding_bytes: int) -> None:
    libc.mallopt(M_TRIM_THRESHOLD, kept_bytes)
    libc.mallopt(M_TOP_PAD, padding_bytes)


def resident_bytes(pid: int | str | None = "self") -> int | None:
    """What a process holds in memory; None where it has ended or the system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    except (OSError, IndexError):
        return None


def yielding() -> None:
    """Lets the api process go first where both want the processor: it needs little of it, and callers wait for that.

    Where the kernel groups processes by session, the group's own weight is what counts.
    """
    os.nice(ENGINE_NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(ENGINE_NICENESS))
