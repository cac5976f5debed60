"""The models an engine warms at its start, and which of them could not be loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from service.engine.pool import engine_of
from service.errors import KerascopeError
from service.models.library import Library


class Preload:
    """`ids` are those of `names` whose calls the engine of that `number` gets; the plain name of an upload stands for
    its default version."""

    def __init__(self, names: Iterable[str], library: Library, *, number: int, engines: int) -> None:
        found = dict.fromkeys(_with_version(name, library) for name in names)
        self.ids = tuple(model_id for model_id in found if engine_of(model_id, engines) == number)
        self._waiting = set(self.ids)
        self._failed: set[str] = set()

    def ended(self, model_id: str, *, warm: bool) -> None:
        """Whether it is warm or could not be loaded, it is no longer waited for."""
        self._waiting.discard(model_id)
        if not warm:
            self._failed.add(model_id)

    def waiting(self) -> list[str]:
        return sorted(self._waiting)

    def failed(self, is_warm: Callable[[str], bool]) -> list[str]:
        """Those that could not be loaded, and have not been since either."""
        return sorted(model_id for model_id in self._failed if not is_warm(model_id))


def _with_version(name: str, library: Library) -> str:
    # What cannot be found now fails when it is loaded, and that is told then.
    with suppress(KerascopeError):
        return library.get(name).id
    return name
