"""The operator's model folder: each entry is read once, and again when it has changed."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Collection, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from service.models.files.entries import Broken, entry_at
from service.models.files.opening.first_look import first_problem
from service.models.files.spec import ModelSpec, Stamp

log = structlog.get_logger(__name__)

# The files of one folder that are looked at to see whether it has changed.
MOST_FILES = 1000
# A spec that is asked for by its ID is looked for among all entries at most so often, and for at most one part in so
# many of the time.
FRESH_S = 1.0
LOOKING_SHARE = 20


@dataclass(frozen=True)
class Seen:
    """What the folder held: specs by ID, the reason of each entry that is none, and of each spec whose files cannot be
    opened as they are."""

    specs: dict[str, ModelSpec] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Entry:
    stamp: Hashable
    found: ModelSpec | Broken | None
    files: Stamp = ()
    problem: str | None = None

    @property
    def holds(self) -> bool:
        """Whether the files that it names, which may lie beside it, are as they were."""
        return not isinstance(self.found, ModelSpec) or self.found.stamp() == self.files

    @classmethod
    def at(cls, path: Path, stamp: Hashable) -> _Entry:
        found = entry_at(path)
        if not isinstance(found, ModelSpec):
            return cls(stamp, found)
        files, problem = found.stamp(), None
        try:
            problem = first_problem(found)
        except OSError as error:
            problem = f"a file of {path.name!r} cannot be read: {error.strerror}"
        except Exception:
            # One that nobody foresaw does not hide the others.
            log.exception("model files not readable", entry=path.name)
        return cls(stamp, found, files, problem)


@dataclass(frozen=True)
class _Look:
    """One look at the folder, replaced as a whole: who reads it needs no lock."""

    seen: Seen = field(default_factory=Seen)
    entries: dict[str, _Entry] = field(default_factory=dict)
    of_id: dict[str, str] = field(default_factory=dict)
    state: Hashable = None
    at: float = float("-inf")
    took_s: float = 0.0


class ModelFolder:
    """Thread-safe. One that is not there is empty; one that cannot be read says so as an entry of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._look = _Look()
        self._lock = threading.Lock()

    @property
    def last(self) -> Seen:
        """What it held when it was last looked at."""
        return self._look.seen

    def look(self) -> Seen:
        """What it holds now."""
        with self._lock:
            self._look = self._read(self._look.entries)
            return self._look.seen

    def get(self, model_id: str) -> ModelSpec | None:
        """The spec of that ID as it is now."""
        look = self._look
        spec, age_s = look.seen.specs.get(model_id), time.monotonic() - look.at
        if spec is not None and age_s < FRESH_S:
            name = look.of_id[model_id]
            if stamp_of(self.path / name) == look.entries[name].stamp:
                return spec
        elif spec is None and age_s < LOOKING_SHARE * look.took_s and _own_state(self.path) == look.state:
            return None
        return self.look().specs.get(model_id)

    def _read(self, before: Mapping[str, _Entry]) -> _Look:
        began, state = time.monotonic(), _own_state(self.path)
        found = Seen()
        broken = found.broken
        entries: dict[str, _Entry] = {}
        of_id: dict[str, str] = {}
        try:
            names = sorted(entry.name for entry in os.scandir(self.path) if not entry.name.startswith("."))
        except FileNotFoundError:
            names = []
        except OSError as error:
            names = []
            broken["model-folder"] = f"the model folder cannot be read: {error.strerror}"
        for name in names:
            stamp = stamp_of(self.path / name)
            known = before.get(name)
            entry = known if known and known.stamp == stamp and known.holds else _Entry.at(self.path / name, stamp)
            entries[name] = entry
            if isinstance(entry.found, ModelSpec):
                model_id = entry.found.id
                if other := of_id.get(model_id):
                    reason = f"{other!r} has the ID {model_id!r} as {name!r} has, which is taken; give it another"
                    broken[_free(model_id, broken.keys() | found.specs.keys())] = reason
                found.specs[model_id] = entry.found
                found.problems.pop(model_id, None)
                if entry.problem:
                    found.problems[model_id] = entry.problem
                of_id[model_id] = name
            elif entry.found is not None:
                broken[_free(entry.found.id, broken)] = entry.found.reason
        now = time.monotonic()
        return _Look(found, entries, of_id, state, now, now - began)


def stamp_of(path: Path) -> Hashable:
    """Changes when an entry of the folder does, or one of the files in it."""
    found: list[Hashable] = []
    try:
        found.append(_state(path.stat()))
        if path.is_dir():
            with os.scandir(path) as inside:
                for item in itertools.islice(inside, MOST_FILES):
                    with suppress(OSError):
                        found.append((item.name, _state(item.stat())))
    except OSError as error:
        found.append(error.errno)
    return tuple(found)


def _own_state(path: Path) -> Hashable:
    """Changes when an entry of the folder itself comes or goes."""
    try:
        return _state(path.stat())
    except OSError as error:
        return error.errno


def _state(found: os.stat_result) -> Hashable:
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_mode


def _free(model_id: str, taken: Collection[str]) -> str:
    """The ID, with a number where another entry has it already."""
    if model_id not in taken:
        return model_id
    return next(name for number in itertools.count(2) if (name := f"{model_id}-{number}") not in taken)
