"""The engine's heartbeat: a small shared file in which it says that it lives and what it works on.

The supervisor reads it also when the engine has ended, however it ended: then it tells over whose call. A pipe would
hold only what was written in time, a message only what somebody still sends.
"""

from __future__ import annotations

import contextlib
import mmap
import struct
import threading
import time
from dataclasses import replace
from pathlib import Path

import orjson
from pydantic import TypeAdapter, ValidationError

from service.models.backends.work import Kind, Task, Work

SIZE = 64 * 1024
BEAT_S = 0.5
# What fits into the file.
MOST_TASKS = 64
LONGEST = 500
# Sequence number (odd while a beat is being written), moment of the beat, length of what follows.
_HEAD = struct.Struct("=QdI")
_TASKS = TypeAdapter(tuple[Task, ...])


class Pulse:
    """The engine's side: beats from a thread of its own, and at once whenever a task begins or ends."""

    def __init__(self, path: Path, bounds: dict[Kind, float]) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), SIZE)
        self._lock = threading.Lock()
        self._sequence = 0
        self.work = Work(bounds, self._beat)
        threading.Thread(target=self._keep_beating, daemon=True, name="pulse").start()

    def _keep_beating(self) -> None:
        while True:
            self._beat()
            time.sleep(BEAT_S)

    def _beat(self) -> None:
        with self._lock:
            tasks = sorted(self.work.tasks, key=lambda task: task.kind == "call")[:MOST_TASKS]
            said = orjson.dumps([replace(task, what=task.what[:LONGEST]) for task in tasks])
            self._sequence += 1
            _HEAD.pack_into(self._map, 0, self._sequence, time.monotonic(), len(said))
            self._map[_HEAD.size : _HEAD.size + len(said)] = said
            self._sequence += 1
            _HEAD.pack_into(self._map, 0, self._sequence, time.monotonic(), len(said))


class PulseReader:
    """The supervisor's side. Makes the file."""

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        with path.open("r+b") as file:
            file.truncate(SIZE)
            self._map = mmap.mmap(file.fileno(), SIZE)
        self.at = 0.0
        """The moment of the last beat, by the monotonic clock; 0 before the first."""
        self.tasks: tuple[Task, ...] = ()

    def look(self) -> None:
        """Reads the last beat; one that is just being written is left for the next look."""
        before, at, length = _HEAD.unpack_from(self._map, 0)
        said = bytes(self._map[_HEAD.size : _HEAD.size + min(length, SIZE - _HEAD.size)])
        if before % 2 or not before or _HEAD.unpack_from(self._map, 0)[0] != before:
            return
        with contextlib.suppress(ValidationError):
            self.tasks = _TASKS.validate_json(said)
            self.at = at
