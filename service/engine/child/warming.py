"""What is warm before anybody asks: the models that are loaded at the start, and the methods that are compiled."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import structlog

from service.engine.child.batching import Batched, Batches
from service.engine.child.caller import OpenCall
from service.engine.protocol import engine_of
from service.errors import KerascopeError, UnknownModel
from service.models.backends.work import Work, part_of
from service.models.files.library import Library

if TYPE_CHECKING:
    from service.contract.models import ModelFound
    from service.engine.child.memory import Memory
    from service.engine.child.operations import Operations
    from service.models.loaded import LoadedModel
    from service.models.registry import Registry

log = structlog.get_logger(__name__)

# What there must be room for before plans are compiled that nobody asked for yet.
WARM_UP_ROOM = 100_000_000


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


class Warming:
    """Compiles the usual methods for warm models in the background, so that a first call need not wait for it."""

    def __init__(
        self,
        operations: Operations,
        registry: Registry[ModelFound],
        memory: Memory,
        batches: Batches,
        work: Work,
        budget_bytes: int,
    ) -> None:
        self._operations = operations
        self._registry = registry
        self._memory = memory
        self._batches = batches
        self._work = work
        self._budget_bytes = budget_bytes
        # The usual methods that were compiled for each warm model.
        self._compiled: WeakKeyDictionary[LoadedModel, set[str]] = WeakKeyDictionary()

    def next(self) -> tuple[str, str] | None:
        """The ID of the model used last that lacks a usual method, and the method; None where none does, or there is no
        room."""
        if self._registry.warm_bytes + self._memory.library_bytes + WARM_UP_ROOM > self._budget_bytes:
            return None
        for model in self._registry.warm_models():
            for name in self._operations.usual():
                if not model.obstacle and name not in self._compiled.get(model, ()):
                    return model.spec.id, name
        return None

    def compile(self, model_id: str, name: str) -> None:
        """Compiles a usual method: calls are answered meanwhile. A model that is cold stays so."""
        started, model = time.monotonic(), self._registry.peek(model_id)
        if model is None:
            return
        # Whatever comes of it, it is not tried again.
        self._compiled.setdefault(model, set()).add(name)
        try:
            with part_of(self._work, model_id, "warm-up"):
                # Nobody's answer is to round otherwise for having met it.
                backend = Batched(model.backend, self._batches, OpenCall("warm-up"), joins=False)
                self._operations.warm_up(model, backend, name)
        except KerascopeError as error:
            log.warning("warm-up failed", model=model_id, method=name, reason=error.detail)
        except Exception:
            log.exception("warm-up failed", model=model_id, method=name)
        else:
            log.info("method ready", model=model_id, method=name, seconds=round(time.monotonic() - started, 2))
        finally:
            del model
            if not self._registry.is_warm(model_id):
                from service.models.memory import release_memory

                # It was unloaded meanwhile, and is held by nobody any longer.
                release_memory()
            self._memory.ended += 1
