"""The warm models: loaded once, kept by least recent use within a byte budget, never dropped while in use."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import structlog

from service.errors import KerascopeError, ModelNotLoadable
from service.models.freezing import Room
from service.models.library import Library
from service.models.loaded import LoadedModel
from service.models.spec import ModelSpec

log = structlog.get_logger(__name__)


class State(StrEnum):
    """cold → loading → warm → evicting → cold; loading → failed → loading when it is asked for again."""

    COLD = "cold"
    LOADING = "loading"
    WARM = "warm"
    EVICTING = "evicting"
    FAILED = "failed"


@dataclass
class _Slot:
    """One model's place. `lock` makes loading single-flight; the registry's own lock guards the rest."""

    state: State = State.COLD
    model: LoadedModel | None = None
    users: int = 0
    last_used: float = 0.0
    error: KerascopeError | None = None
    loaded_in_s: float | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Registry:
    """Thread-safe. `budget_bytes` bounds the weights of all warm models together, with what their plans hold of them
    in `room`; pinned ones are never evicted."""

    def __init__(
        self,
        library: Library,
        load: Callable[[ModelSpec], LoadedModel],
        *,
        budget_bytes: int,
        pinned: frozenset[str] = frozenset(),
        room: Room | None = None,
    ) -> None:
        self._library = library
        self._load = load
        self._budget = budget_bytes
        self._pinned = pinned
        self._room = room or Room(0)
        self._slots: dict[str, _Slot] = {}
        self._lock = threading.Lock()

    @contextmanager
    def use(self, model_id: str) -> Iterator[LoadedModel]:
        """The warm model, loaded first if need be; it stays while the block runs.

        Raises UnknownModel, ModelNotLoadable or WeightsUnavailable.
        """
        slot = self._slot(model_id)
        model = self._acquire(model_id, slot)
        try:
            yield model
        finally:
            with self._lock:
                slot.users -= 1
                slot.last_used = time.monotonic()
            self._evict_beyond_budget(keep=model_id)

    def unload(self, model_id: str) -> bool:
        """Makes a model cold, one too that was deleted. False when it is in use or not warm."""
        return self._evict(model_id)

    def evict_idle(self) -> None:
        """Makes every model cold that is neither pinned nor in use."""
        with self._lock:
            idle = [
                model_id
                for model_id, slot in self._slots.items()
                if slot.state is State.WARM and not slot.users and model_id not in self._pinned
            ]
        for model_id in idle:
            self._evict(model_id)

    def is_warm(self, model_id: str) -> bool:
        """Whether `use` would give the model at once."""
        return self.fingerprint(model_id) is not None

    def fingerprint(self, model_id: str) -> str | None:
        """That of the warm model; None when it is not warm."""
        with self._lock:
            slot = self._slots.get(model_id)
            return slot.model.fingerprint if slot and slot.model and slot.state is State.WARM else None

    def status(self) -> dict[str, dict[str, Any]]:
        """State, bytes, users, load time and last error of every model that was ever asked for."""
        with self._lock:
            return {model_id: self._describe(model_id, slot) for model_id, slot in self._slots.items()}

    @property
    def warm_bytes(self) -> int:
        with self._lock:
            weights = sum(slot.model.weight_bytes for slot in self._slots.values() if slot.model)
        return weights + self._room.taken

    def _slot(self, model_id: str) -> _Slot:
        self._library.get(model_id)
        with self._lock:
            return self._slots.setdefault(model_id, _Slot())

    def _acquire(self, model_id: str, slot: _Slot) -> LoadedModel:
        with slot.lock:
            with self._lock:
                if slot.model is not None and slot.state is State.WARM:
                    slot.users += 1
                    return slot.model
                slot.state, slot.error = State.LOADING, None
            try:
                started = time.monotonic()
                model = self._load(self._library.get(model_id))
                self._make_room(model)
            except KerascopeError as error:
                self._fail(slot, error)
                raise
            except Exception as error:
                log.exception("model load failed", model=model_id)
                failure = ModelNotLoadable(f"model {model_id!r} could not be loaded; the log of the service says why")
                self._fail(slot, failure)
                raise failure from error
            with self._lock:
                slot.model, slot.state, slot.users = model, State.WARM, slot.users + 1
                slot.loaded_in_s = time.monotonic() - started
            log.info("model warm", model=model_id, seconds=round(slot.loaded_in_s, 2), weight_bytes=model.weight_bytes)
            return model

    def _fail(self, slot: _Slot, error: KerascopeError) -> None:
        with self._lock:
            slot.state, slot.error = State.FAILED, error

    def _make_room(self, model: LoadedModel) -> None:
        if model.weight_bytes > self._budget:
            raise ModelNotLoadable(
                f"model {model.spec.id!r} needs {model.weight_bytes} bytes for its weights, more than the registry may "
                f"hold in all ({self._budget}; setting KERASCOPE_REGISTRY_BYTES)"
            )
        self._evict_beyond_budget(coming=model.weight_bytes)

    def _evict_beyond_budget(self, coming: int = 0, keep: str = "") -> None:
        """Drops the least recently used idle models until the rest fits; models in use may exceed it for a while."""
        while self.warm_bytes + coming > self._budget:
            with self._lock:
                idle = [
                    (slot.last_used, model_id)
                    for model_id, slot in self._slots.items()
                    if slot.state is State.WARM and not slot.users and model_id not in self._pinned and model_id != keep
                ]
            if not idle or not self._evict(min(idle)[1]):
                return

    def _evict(self, model_id: str) -> bool:
        slot = self._slots.get(model_id)
        if slot is None or not slot.lock.acquire(blocking=False):
            return False
        try:
            with self._lock:
                if slot.state is not State.WARM or slot.users:
                    return False
                slot.state, model, slot.model = State.EVICTING, slot.model, None
            if model is not None:
                model.backend.plans.release()
            del model
            release_memory()
            with self._lock:
                slot.state = State.COLD
        finally:
            slot.lock.release()
        log.info("model evicted", model=model_id)
        return True

    def _describe(self, model_id: str, slot: _Slot) -> dict[str, Any]:
        model = slot.model
        return {
            "state": slot.state.value,
            "pinned": model_id in self._pinned,
            "users": slot.users,
            "weight_bytes": model.weight_bytes if model else None,
            "plan_bytes": model.backend.plans.frozen_bytes if model else None,
            "traces": model.backend.traces if model else None,
            "loaded_in_s": round(slot.loaded_in_s, 3) if slot.loaded_in_s is not None and model else None,
            "last_error": slot.error.detail if slot.error else None,
        }


def release_memory() -> None:
    """Collects the cycles a Keras model is made of, and has glibc give freed pages back, which it keeps otherwise."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
