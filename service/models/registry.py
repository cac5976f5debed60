"""The warm models: loaded once, kept by least recent use within a byte budget, never dropped while in use."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from operator import itemgetter
from typing import Generic

import structlog

from service.errors import KerascopeError, ModelNotLoadable, WeightsUnavailable
from service.models.backends.plans import PlanCache
from service.models.files.library import Library
from service.models.files.spec import ModelSpec, Stamp
from service.models.graph.preprocess import Fitting
from service.models.loaded import LoadedModel
from service.models.memory import release_memory
from service.models.slot import Found, Known, LoadFailure, Slot, SlotStatus, State

log = structlog.get_logger(__name__)

# Weights that could not be downloaded are not asked for again so soon.
REMEMBERED_S = 60.0


class Registry(Generic[Found]):
    """Thread-safe. `budget_bytes` bounds what all warm models take together, with what is compiled for them; pinned
    ones are never evicted."""

    def __init__(
        self,
        library: Library,
        load: Callable[[ModelSpec], LoadedModel],
        *,
        budget_bytes: int,
        pinned: frozenset[str] = frozenset(),
        describe: Callable[[LoadedModel], Found],
    ) -> None:
        self._library = library
        self._load = load
        self._budget = budget_bytes
        self._pinned = pinned
        self._describe_model = describe
        self.beside_bytes = 0
        """What the process is known to hold beside the models, which takes of their room, of half of it at most: else
        nothing would stay warm."""
        self._told = False
        self._slots: dict[str, Slot[Found]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def use(self, model_id: str, *, again: bool = False) -> Iterator[LoadedModel]:
        """The warm model, loaded first if need be; it stays while the block runs.

        One attempt to load it serves all who wait for it. Weights that could not be downloaded are not tried for a
        minute, unless `again` says so. Raises UnknownModel, ModelNotLoadable or WeightsUnavailable.
        """
        slot = self._slot(model_id)
        model = self._acquire(model_id, slot, again)
        try:
            yield model
        finally:
            with self._lock:
                slot.users -= 1
                slot.last_used = time.monotonic()
            self.fit(keep=model_id)

    def details(self, model_id: str) -> Found | None:
        """What loading the model finds. A cold one stays cold: its files are opened once and let go, and what was found
        is kept until they change. None for one whose weights would have to be downloaded. Raises as `use`.
        """
        slot, asked_at = self._slot(model_id), time.monotonic()
        with slot.lock:
            spec = self._library.get(model_id)
            stamp = spec.stamp()
            with self._lock:
                if slot.model is not None and slot.state is State.WARM:
                    return self._describe_model(slot.model)
                if slot.known and (slot.known.spec, slot.known.stamp) == (spec, stamp):
                    return slot.known.details
                if not spec.local:
                    return None
                if slot.failure and slot.failure.holds(spec, asked_at, again=False):
                    raise slot.failure.told()
                slot.state, slot.failure = State.LOADING, None
            model = self._load_or_fail(slot, spec, self._require_fits)
            slot.known = Known(spec, stamp, self._describe_model(model))
            del model
            release_memory()
            with self._lock:
                slot.state = State.COLD
            return slot.known.details

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
        """Gives the warm model's fingerprint; None when it is not warm."""
        model = self.peek(model_id)
        return model.fingerprint if model else None

    def fitting(self, model_id: str) -> Fitting | None:
        """How the warm model takes a photograph; None when it is not warm, or takes none."""
        model = self.peek(model_id)
        if model is None or model.obstacle:
            return None
        return Fitting(model.fingerprint, model.input_shape, model.spec.input)

    def peek(self, model_id: str) -> LoadedModel | None:
        """The warm model, for what nobody waits for: that is no use of it, and it may be unloaded meanwhile."""
        with self._lock:
            slot = self._slots.get(model_id)
            return slot.model if slot and slot.state is State.WARM else None

    def warm_models(self) -> list[LoadedModel]:
        """Every warm model, the one that was used last first."""
        with self._lock:
            slots = [slot for slot in self._slots.values() if slot.model and slot.state is State.WARM]
            slots.sort(key=lambda slot: -slot.last_used)
            return [slot.model for slot in slots if slot.model]

    def status(self) -> dict[str, SlotStatus]:
        """State, bytes, users and last error of every model that was ever asked for."""
        with self._lock:
            rows = {model_id: self._status_of(model_id, slot) for model_id, slot in self._slots.items()}
            failures = {model_id: slot.failure for model_id, slot in self._slots.items() if slot.failure}
        for model_id, failure in failures.items():
            # What is there now was not tried yet.
            if not failure.is_of(self._library.find(model_id)):
                rows[model_id] = replace(rows[model_id], state=State.COLD, last_error=None)
        return rows

    @property
    def idle(self) -> bool:
        """Whether nobody uses a model or waits for one."""
        with self._lock:
            return not any(slot.users or slot.state is State.LOADING for slot in self._slots.values())

    @property
    def loading(self) -> bool:
        """Whether a model is being loaded: then the process holds more than what is warm tells."""
        with self._lock:
            return any(slot.state is State.LOADING for slot in self._slots.values())

    @property
    def warm_bytes(self) -> int:
        """Counts what the warm models take, with what is compiled for them."""
        with self._lock:
            return sum(slot.model.bytes for slot in self._slots.values() if slot.model)

    def fit(self, coming: int = 0, keep: str = "") -> None:
        """Drops what has not been used the longest until the rest, and `coming` bytes more, fit into the budget beside
        what else there is: plans, and idle models with all that is theirs. The last plan of a model in use stays, and
        so do pinned models and the one to `keep`, so that they may exceed it for a while.
        """
        dropped, room = False, self._budget - min(self.beside_bytes, self._budget // 2)
        while self.warm_bytes + coming > room:
            plan, model = self._oldest_plan(), self._oldest_model(keep)
            if plan is not None and (model is None or plan[0] <= model[0]):
                plan[1].drop_oldest()
                dropped = True
            elif model is None or not self._evict(model[1]):
                break
        if dropped:
            release_memory()
        if self.warm_bytes + coming > room and not self._told:
            # Once: it is then so with each call, and plans are compiled again and again.
            self._told = True
            log.warning("too little room for what is in use", room_bytes=room, warm_bytes=self.warm_bytes)

    def _oldest_plan(self) -> tuple[float, PlanCache] | None:
        """Since when it has not been asked for, and whose it is. That of an idle model counts as no younger than the
        model, though it may have been compiled since, so that it goes first."""
        found = []
        with self._lock:
            for slot in self._slots.values():
                if slot.model and len(plans := slot.model.backend.plans) > (1 if slot.users else 0):
                    youngest = math.inf if slot.users else slot.last_used
                    found.append((min(plans.oldest or 0.0, youngest), plans))
        return min(found, key=itemgetter(0), default=None)

    def _oldest_model(self, keep: str) -> tuple[float, str] | None:
        """Since when it has not been used, and its ID, of those that may go."""
        with self._lock:
            idle = [
                (slot.last_used, model_id)
                for model_id, slot in self._slots.items()
                if slot.state is State.WARM and not slot.users and model_id not in self._pinned and model_id != keep
            ]
        return min(idle, default=None)

    def _slot(self, model_id: str) -> Slot[Found]:
        self._library.get(model_id)
        with self._lock:
            return self._slots.setdefault(model_id, Slot())

    def _acquire(self, model_id: str, slot: Slot[Found], again: bool) -> LoadedModel:
        asked_at = time.monotonic()
        with slot.lock:
            spec = self._library.get(model_id)
            with self._lock:
                if slot.model is not None and slot.state is State.WARM:
                    slot.users += 1
                    return slot.model
                if slot.failure and slot.failure.holds(spec, asked_at, again):
                    raise slot.failure.told()
                slot.state, slot.failure = State.LOADING, None
            started, stamp = time.monotonic(), spec.stamp()
            model = self._load_or_fail(slot, spec, self._make_room)
            known = Known(spec, stamp, self._describe_model(model))
            with self._lock:
                slot.model, slot.state, slot.users, slot.known = model, State.WARM, slot.users + 1, known
            seconds = round(time.monotonic() - started, 2)
            log.info("model warm", model=model_id, seconds=seconds, weight_bytes=model.weight_bytes)
            return model

    def _load_or_fail(self, slot: Slot[Found], spec: ModelSpec, admit: Callable[[LoadedModel], None]) -> LoadedModel:
        """The model; a failure is kept in the slot, and what had been built by then is freed."""
        stamp = spec.stamp()
        found = self._loaded(spec, admit)
        if isinstance(found, KerascopeError):
            self._fail(slot, spec, stamp, found)
            # Only here: until now, the error that was caught held what had been built.
            release_memory()
            raise found
        return found

    def _loaded(self, spec: ModelSpec, admit: Callable[[LoadedModel], None]) -> LoadedModel | KerascopeError:
        """The model, or an error that holds nothing of it."""
        try:
            model = self._load(spec)
            admit(model)
        except KerascopeError as error:
            return error.again()
        except Exception:
            log.exception("model load failed", model=spec.id)
            return ModelNotLoadable(f"model {spec.id!r} could not be loaded; the log of the service says why")
        return model

    def _fail(self, slot: Slot[Found], spec: ModelSpec, stamp: Stamp, error: KerascopeError) -> None:
        now = time.monotonic()
        retry_at = now + REMEMBERED_S if isinstance(error, WeightsUnavailable) else now
        error.retry_after_s = math.ceil(retry_at - now) or error.retry_after_s
        with self._lock:
            slot.state, slot.failure = State.FAILED, LoadFailure(error.again(), spec, stamp, now, retry_at)

    def _make_room(self, model: LoadedModel) -> None:
        self._require_fits(model)
        self.fit(coming=model.bytes)

    def _require_fits(self, model: LoadedModel) -> None:
        if model.weight_bytes > self._budget:
            raise ModelNotLoadable(
                f"model {model.spec.id!r} needs {model.weight_bytes} bytes for its weights, more than the registry may "
                f"hold in all ({self._budget}; setting KERASCOPE_REGISTRY_BYTES)"
            )

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
                model.backend.release()
            del model
            release_memory()
            with self._lock:
                slot.state = State.COLD
        finally:
            slot.lock.release()
        log.info("model evicted", model=model_id)
        return True

    def _status_of(self, model_id: str, slot: Slot[Found]) -> SlotStatus:
        model = slot.model
        return SlotStatus(
            state=slot.state,
            pinned=model_id in self._pinned,
            users=slot.users,
            weight_bytes=model.weight_bytes if model else None,
            folded_bytes=model.graph.folds.bytes if model else None,
            layer_bytes=model.layer_bytes if model else None,
            plan_bytes=model.backend.plans.bytes if model else None,
            plans=len(model.backend.plans) if model else None,
            traces=model.backend.traces if model else None,
            last_error=slot.failure.error.detail if slot.failure else None,
        )
