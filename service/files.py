"""Files that are there at once and whole, also when the power goes."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# The names of files that are not whole yet begin so; a process that is killed leaves one.
FRESH = ".new-"


@contextmanager
def replacing(path: Path, mode: int = 0o666) -> Iterator[Path]:
    """Gives a new and empty file beside `path` to be written, which then takes the place of `path`.

    `mode` is the new file's, less what the process's umask takes away. Where the body raises, nothing has changed and
    the new file is gone. Raises OSError.
    """
    fresh = path.with_name(f"{FRESH}{uuid.uuid4().hex}-{path.name}")
    os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
    try:
        yield fresh
        sync(fresh)
        os.replace(fresh, path)
    except BaseException:
        with suppress(OSError):
            fresh.unlink()
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Makes what was written to a file, or renamed in a folder, stay so when the power goes."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
