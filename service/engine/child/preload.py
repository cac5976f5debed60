"""The models an engine warms at its start and keeps warm, and which of them it lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from service.engine.protocol import engine_of
from service.errors import KerascopeError, UnknownModel
from service.models.files.library import Library


class Preload:
    """`ids` are those of `names` whose calls the engine of that `number` gets; the plain name of an upload stands for
    its default version."""

    def __init__(self, names: Iterable[str], library: Library, *, number: int, engines: int) -> None:
        found = dict.fromkeys(_with_version(name, library) for name in names)
        self.ids = tuple(model_id for model_id in found if engine_of(model_id, engines) == number)
        self._library = library
        self._waiting = set(self.ids)
        self._was_warm: set[str] = set()

    def ended(self, model_id: str, *, warm: bool) -> None:
        """Whether it is warm or could not be loaded, it is no longer waited for."""
        self._waiting.discard(model_id)
        if warm:
            self._was_warm.add(model_id)

    def waiting(self) -> list[str]:
        return sorted(self._waiting)

    def missing(self, is_warm: Callable[[str], bool]) -> list[str]:
        """Lists those that are waited for no longer and are not warm: they could not be loaded, or were unloaded.

        One that was warm and has been deleted since is not missed.
        """
        ended = [model_id for model_id in self.ids if model_id not in self._waiting and not is_warm(model_id)]
        return sorted(model_id for model_id in ended if model_id not in self._was_warm or self._known(model_id))

    def _known(self, model_id: str) -> bool:
        try:
            self._library.get(model_id)
        except UnknownModel:
            return False
        except KerascopeError:
            return True
        return True


def _with_version(name: str, library: Library) -> str:
    # What cannot be found now fails when it is loaded, and that is told then.
    with suppress(KerascopeError):
        return library.get(name).id
    return name
