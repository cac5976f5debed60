"""One process a worker's name: a lock file that the kernel frees when its holder ends, however it ends."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO


def acquire(folder: Path, name: str) -> IO[bytes] | None:
    """The file that holds the worker's `name` until it is closed; None while another process holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / f"{name}.lock").open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def is_held(folder: Path, name: str) -> bool:
    """Whether a live process holds the worker's `name`."""
    file = acquire(folder, name)
    if file is None:
        return True
    file.close()
    return False
