"""Room on the disk, looked at before writing, so that what tells of a full disk can itself still be written."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from service.errors import StorageFull

MIB = 2**20
RESERVE = 16 * MIB


def require_room(folder: Path, size: int) -> None:
    """Raises StorageFull unless `size` bytes fit beside the reserve."""
    free = shutil.disk_usage(folder).free
    if free < size + RESERVE:
        raise StorageFull(
            f"there is no room for another {size / MIB:.1f} MB: {free / MIB:.1f} MB are free where jobs are stored, "
            f"and {RESERVE // MIB} MB of that are kept for the service itself"
        )


def no_room_left() -> StorageFull:
    return StorageFull("there is no room left where jobs are stored")


def is_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
