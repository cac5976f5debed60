"""Shared memory of one engine as the api has it: what is taken from it, and what is swept when somebody died."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import re
import uuid
from pathlib import Path

import structlog
from filelock import lock_descriptor

log = structlog.get_logger(__name__)

FOLDER = Path("/dev/shm")
# The lock of an owner, or one of its segments.
_NAME = re.compile(r"(kerascope-[0-9a-f]{32})(-[0-9a-f]{32})?")
_OURS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
TRIES = 5
# What is no fault of the engine's.
_LACKS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class SharedMemory:
    """The api's side. While it is open it holds a lock, by which other services know that its segments are in use:
    process IDs would not tell, as containers may share the memory and not the IDs.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._lock: int | None = None
        self._name = ""

    def open(self) -> str:
        """What the paths of segments begin with; empty where there is no shared memory. What services that no longer
        live have left is removed."""
        try:
            sweep_ended(self._folder)
            for _ in range(TRIES):
                if self._claimed(f"kerascope-{uuid.uuid4().hex}"):
                    return f"{self._folder / self._name}-"
        except OSError as error:
            log.info("no shared memory, arrays go through the socket", reason=error.strerror)
        return ""

    def take(self, segment: str) -> memoryview:
        """What the engine has written, to be read only; it is gone when nobody holds it any more.

        Raises ValueError where there is no such segment, OSError where this process has no descriptor or address left.
        """
        if self._lock is None:
            raise ValueError("a segment without shared memory")
        path = self._folder / f"{self._name}-{segment}"
        try:
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                path.unlink()
                return memoryview(mmap.mmap(file, 0, prot=mmap.PROT_READ))
            finally:
                os.close(file)
        except OSError as error:
            if error.errno in _LACKS:
                with contextlib.suppress(OSError):
                    path.unlink()
                raise
            raise ValueError(f"the segment {segment!r} cannot be taken: {error.strerror}") from error

    def sweep(self) -> None:
        """Removes what the engine, which has ended, wrote and nobody took."""
        if self._lock is not None:
            _remove_segments(self._folder, self._name)

    def close(self) -> None:
        """After the engine has ended."""
        if self._lock is None:
            return
        self.sweep()
        with contextlib.suppress(OSError):
            (self._folder / self._name).unlink()
        os.close(self._lock)
        self._lock = None

    def _claimed(self, name: str) -> bool:
        """Makes the lock; False where another service, which starts too, took it for one that was left."""
        lock = os.open(self._folder / name, _OURS | os.O_CREAT | os.O_EXCL, 0o600)
        if lock_descriptor(lock, blocking=False) and os.fstat(lock).st_nlink:
            self._lock, self._name = lock, name
            return True
        os.close(lock)
        return False


def sweep_ended(folder: Path) -> None:
    """Removes what services of this user have left that hold their lock no longer. Raises OSError without the folder.

    A service has its lock before its first segment and until after its last, so segments without one are nobody's.
    """
    found = [match[1] for name in os.listdir(folder) if (match := _NAME.fullmatch(name))]
    for owner in dict.fromkeys(found):
        # Another user's lock cannot be opened, that of a service that lives is taken, and a link is none of ours.
        with contextlib.suppress(OSError), contextlib.ExitStack() as held:
            with contextlib.suppress(FileNotFoundError):
                lock = os.open(folder / owner, _OURS)
                held.callback(os.close, lock)
                if not lock_descriptor(lock, blocking=False):
                    continue
            _remove_segments(folder, owner)
            (folder / owner).unlink(missing_ok=True)


def _remove_segments(folder: Path, owner: str) -> None:
    for path in folder.glob(f"{owner}-*"):
        with contextlib.suppress(OSError):
            path.unlink()
