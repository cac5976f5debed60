"""Segments: files in shared memory by which large arrays come to the api, instead of through the socket."""

from __future__ import annotations

import os
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from service.arrays import Arrays
from service.engine.protocol import ArrayPlace, Places, as_sent, bytes_of

log = structlog.get_logger(__name__)

# Smaller arrays are sent beside the header: a file costs more than their copy.
LEAST_BYTES = 1_000_000
# What may lie there that the api has not taken yet; more goes through the socket.
MOST_BYTES = 512 * 1024**2
# Two threads fill two files in half the time; one file takes one thread at a time.
WRITERS = 2
# Where arrays begin within a file, as processors like it.
ALIGNED = 64
NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Segments:
    """The engine's side. Their paths begin with `prefix`; with an empty one there are none.

    The api unlinks a segment when it takes it, and removes those that nobody took once this process has ended.
    """

    def __init__(self, prefix: str, most_bytes: int = MOST_BYTES) -> None:
        self._prefix = prefix
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._sizes: dict[Path, int] = {}
        self._writers = ThreadPoolExecutor(WRITERS, thread_name_prefix="segment")

    def share(self, arrays: Arrays) -> Places:
        """Writes the large arrays and tells where each is. Those for which there is no room are left out."""
        large = {name: as_sent(array) for name, array in arrays.items() if array.nbytes >= LEAST_BYTES}
        if not self._prefix or not large:
            return {}
        groups: list[list[str]] = [[] for _ in range(min(WRITERS, len(large)))]
        for name in sorted(large, key=lambda name: -large[name].nbytes):
            min(groups, key=lambda group: sum(large[each].nbytes for each in group)).append(name)
        written = self._writers.map(self._write, [{name: large[name] for name in group} for group in groups])
        return {name: place for places in written for name, place in places.items()}

    def remove(self, places: Places) -> None:
        """Removes the segments of arrays that are not sent after all."""
        for name in {place.segment for place in places.values()}:
            self._path(name).unlink(missing_ok=True)

    def _write(self, arrays: Arrays) -> Places:
        """Writes one segment; none where there is no room."""
        segment, places, size = uuid.uuid4().hex, {}, 0
        for name, array in arrays.items():
            offset = -(-size // ALIGNED) * ALIGNED
            places[name] = ArrayPlace(segment=segment, offset=offset)
            size = offset + array.nbytes
        path = self._path(segment)
        try:
            file = self._opened(path, size)
        except OSError as error:
            log.debug("no shared memory", reason=error.strerror)
            return {}
        try:
            # Written, not mapped: where memory runs out that is an error here, and no SIGBUS for whoever touches it.
            for name, array in arrays.items():
                _write_at(file, bytes_of(array), places[name].offset)
        except OSError as error:
            log.debug("shared memory is full", reason=error.strerror, bytes=size)
            path.unlink(missing_ok=True)
            return {}
        finally:
            os.close(file)
        return places

    def _opened(self, path: Path, size: int) -> int:
        """Makes the file, as long as there is no more that waits to be taken than there may be. Raises OSError."""
        with self._lock:
            self._sizes = {each: size for each, size in self._sizes.items() if each.exists()}
            if sum(self._sizes.values()) + size > self._most_bytes:
                raise OSError(0, "too much waits to be taken")
            file = os.open(path, NEW, 0o600)
            self._sizes[path] = size
            return file

    def _path(self, segment: str) -> Path:
        return Path(self._prefix + segment)


def _write_at(file: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written
