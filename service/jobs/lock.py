"""One process a worker's name: a lock file that the kernel frees when its holder ends, however it ends."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from filelock import FileLock, Timeout


def acquire(folder: Path, name: str) -> AbstractContextManager[object] | None:
    """Takes the lock on the worker's `name`, which the exit of what it gives lets go; None while another holds it.

    Any thread may let it go. Raises OSError where the lock file cannot be made or locked.
    """
    # A soft lock is none of the kernel's: it would stay when its holder is killed.
    lock = FileLock(folder / f"{name}.lock", blocking=False, thread_local=False, fallback_to_soft=False)
    try:
        return lock.acquire()
    except Timeout:
        return None


def is_held(folder: Path, name: str) -> bool:
    """Whether a live process holds the worker's `name`."""
    lock = acquire(folder, name)
    if lock is None:
        return True
    with lock:
        return False
