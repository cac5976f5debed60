"""Where blobs go that are too large for the database: a folder, or whatever else an fsspec URL names."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import fsspec.core
from fsspec.implementations.local import LocalFileSystem

from service.errors import ConfigurationError, JobsUnavailable
from service.jobs.room import is_full, no_room_left, require_room


class Store:
    """A file is written once, under a name of its own, and never changed: `<job>/<name>.<s since 1970>.<random>`.

    Methods raise StorageFull, and JobsUnavailable when the store cannot be reached.
    """

    def __init__(self, url: str) -> None:
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise ConfigurationError(f"result_store: {url!r} cannot be used: {error}") from None
        self._root = str(root).rstrip("/")
        self._local = isinstance(self._files, LocalFileSystem)

    def put(self, job: str, name: str, data: bytes) -> str:
        """The location of the new file."""
        location = f"{job}/{name}.{int(time.time())}.{uuid4().hex[:8]}"
        path = self._path(location)
        with _reachable():
            if self._local:
                Path(self._root).mkdir(mode=0o700, parents=True, exist_ok=True)
                require_room(Path(self._root), len(data))
            try:
                self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
                self._files.pipe_file(path, data)
            except BaseException:
                with contextlib.suppress(OSError):
                    self._files.rm_file(path)
                raise
        return location

    def get(self, location: str) -> bytes | None:
        """None when it is gone."""
        with _reachable():
            try:
                return bytes(self._files.cat_file(self._path(location)))
            except FileNotFoundError:
                return None

    def delete(self, location: str) -> None:
        """A file that cannot be removed now is left to a sweep."""
        path = self._path(location)
        with contextlib.suppress(OSError):
            self._files.rm_file(path)
        if self._local:
            with contextlib.suppress(OSError):
                Path(path).parent.rmdir()

    def older_than(self, age_s: float) -> list[str]:
        """Locations of all files that are at least so old."""
        with _reachable():
            self._files.invalidate_cache()
            paths = [str(path) for path in self._files.find(self._root)]
        locations = [path.removeprefix(f"{self._root}/") for path in paths]
        return [location for location in locations if time.time() - _written_at(location) >= age_s]

    def _path(self, location: str) -> str:
        return f"{self._root}/{location}"


def _written_at(location: str) -> float:
    """In s since 1970; a file not named by us counts as new, and is thus left alone."""
    parts = location.rsplit(".", 2)
    return float(parts[1]) if len(parts) == 3 and parts[1].isdigit() else time.time()


@contextlib.contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise no_room_left() from error
        raise JobsUnavailable("the store of the jobs' results cannot be reached right now", retry_after_s=5) from error
