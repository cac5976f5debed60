"""What the processes set for themselves before anything heavy is imported."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from pathlib import Path

from service.models.device import ONE_BLAS_THREAD

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -2, -3, -8
ARENAS = 2
# How long a thread that draws may keep the interpreter while the event loop wants it.
SWITCH_S = 0.001
ENGINE_NICENESS = 5
MAPPED_BYTES = 256 * 1024
# The most that glibc takes for it.
LARGEST_REUSED_BYTES = 32 * 1024**2
KEPT_BYTES = 512 * 1024**2
PADDING_BYTES = 64 * 1024**2


def modest() -> None:
    """One thread for products of small matrices; and pictures, which come and go in many threads, are given back to
    the system one by one instead of leaving holes in an arena of each thread (glibc alone knows of these).
    """
    os.environ.update(ONE_BLAS_THREAD)
    sys.setswitchinterval(SWITCH_S)
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_ARENA_MAX, ARENAS)
        libc.mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)


def reusing() -> None:
    """What steps of a call take and free is kept for the next, as mapping it anew would cost more than computing in it;
    `release_memory` gives it back to the system when models and plans go (glibc alone knows of these)."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST_REUSED_BYTES)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        libc.mallopt(M_TOP_PAD, PADDING_BYTES)


def yielding() -> None:
    """Lets the api process go first where both want the processor: it needs little of it, and callers wait for that.

    Where the kernel groups processes by session, the group's own weight is what counts.
    """
    os.nice(ENGINE_NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(ENGINE_NICENESS))
