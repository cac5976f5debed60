"""The engine: owns the device and the warm models, answers calls in turn, computes jobs between them."""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import structlog
import zmq
import zmq.asyncio

from service.engine.around import BetweenCalls, Smaller
from service.engine.batching import LARGEST, Batched, Batches, Caller
from service.engine.faults import fault_for
from service.engine.preload import Preload
from service.engine.protocol import Arrays, Call, EngineConfig, Reply, pack, unpack
from service.engine.turns import Turns
from service.errors import DeadlineExceeded, KerascopeError, OutOfMemory
from service.explainers.base import Progress
from service.models.device import DeviceSettings, configure
from service.telemetry import in_thread

if TYPE_CHECKING:
    from service.models.loaded import LoadedModel
    from service.models.spec import ModelSpec

log = structlog.get_logger(__name__)

CALLS_AT_A_TIME = LARGEST
# The part of the registry's bytes that plans may take for constants.
FROZEN_SHARE = 2


class UntilDeadline(Progress):
    """Ends a call between two chunks once its caller no longer waits. `at` is of the monotonic clock."""

    def __init__(self, caller: Caller, at: float) -> None:
        self._caller = caller
        self._at = at

    def __call__(self, done: int, total: int, *_: Any, **__: Any) -> None:
        self._caller.require_wanted()
        if time.monotonic() > self._at:
            raise DeadlineExceeded(f"the call passed its deadline at step {done} of {total}")


class Engine:
    """Answers calls. Each has a thread of its own, and one of them the device at a time."""

    def __init__(self, config: EngineConfig) -> None:
        import tensorflow as tf

        device = configure(DeviceSettings(config.device, config.threads, config.engines), tf)

        from service.engine.operations import Operations
        from service.ingest.trusted import Trust, require_allowed, trust_in
        from service.models.freezing import Room
        from service.models.library import Library
        from service.models.loaded import load_model
        from service.models.registry import Registry
        from service.models.uploads.store import UPLOADS, UploadStore

        self._config = config
        self._device = device
        self._operations = Operations(device, config.max_passes, config.max_job_passes)
        room = Room(config.registry_bytes // FROZEN_SHARE)

        def load(spec: ModelSpec) -> LoadedModel:
            # What was uploaded has been read and rewritten, and is looked at again; what is shipped is ours.
            trust = trust_in(spec, config.models_dir, config.data_dir / UPLOADS, all_of_folder=config.trust_models_dir)
            require_allowed(spec, trust, config.allowed_layers)
            return load_model(spec, config.data_dir / "cache", config.call_bytes, room, trusted=trust is Trust.WHOLE)

        library = Library(config.models_dir, UploadStore(config.data_dir / UPLOADS))
        self._preloads = Preload(config.preload, library, number=config.number, engines=config.engines)
        self._registry = Registry(
            library,
            load,
            budget_bytes=config.registry_bytes,
            pinned=frozenset(self._preloads.ids),
            room=room,
        )
        self._loads = ThreadPoolExecutor(2, thread_name_prefix="load")
        self._calls = ThreadPoolExecutor(CALLS_AT_A_TIME, thread_name_prefix="call")
        self._turns = Turns()
        self._batches = Batches(self._turns)
        self._callers: dict[str, Caller] = {}

    async def serve(self) -> None:
        """Answers until the process ends."""
        router = zmq.asyncio.Context.instance().socket(zmq.ROUTER)
        router.setsockopt(zmq.LINGER, 0)
        router.bind(f"ipc://{self._config.socket}")
        tasks = {asyncio.create_task(self._preload(model_id)) for model_id in self._preloads.ids}
        log.info("engine up", device=self._device, pid=os.getpid())
        while True:
            sender, *frames = await router.recv_multipart(copy=False)
            task = asyncio.create_task(self._handle(router, sender.bytes, [frame.buffer for frame in frames]))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _handle(self, router: zmq.asyncio.Socket, sender: bytes, frames: list[memoryview]) -> None:
        received = time.monotonic()
        try:
            call, arrays = unpack(Call, frames)
        except ValueError:
            log.exception("unreadable call")
            return
        if call.request_id:
            # Of this task alone, and of the threads it has work done in.
            structlog.contextvars.bind_contextvars(request_id=call.request_id, model=call.payload.get("model"))
        timing: dict[str, float] = {}
        try:
            payload, out = await self._answer(call, arrays, received + call.deadline_s, timing)
            reply = pack(Reply(id=call.id, payload=payload, timing_ms=timing), out)
        except Exception as error:
            reply = pack(Reply(id=call.id, fault=fault_for(error, call), timing_ms=timing), {})
        if call.request_id:
            log.debug("call answered", op=call.op, **{f"{name}_ms": round(ms, 1) for name, ms in timing.items()})
        await router.send_multipart([sender, *reply], copy=False)

    async def _answer(
        self, call: Call, arrays: dict[str, Any], deadline: float, timing: dict[str, float]
    ) -> tuple[dict[str, Any], Any]:
        if call.op == "status":
            return self._status(), {}
        if call.op == "give_up":
            if caller := self._callers.get(call.id):
                caller.gone = True
            return {}, {}
        model_id = str(call.payload["model"])
        if call.op == "unload":
            return {"unloaded": await in_thread(self._loads, self._registry.unload, model_id)}, {}
        if call.op == "fingerprint":
            return {"fingerprint": self._registry.fingerprint(model_id)}, {}
        caller = self._callers[call.id] = Caller(call.id, computing=False)
        started = time.monotonic()
        try:
            if not self._registry.is_warm(model_id):
                await in_thread(self._loads, self._warm, model_id)
            timing["load"] = (time.monotonic() - started) * 1e3
            if call.op == "load":
                return {}, {}
            queued = time.monotonic()
            return await in_thread(self._calls, self._compute_call, call, caller, arrays, deadline, queued, timing)
        finally:
            del self._callers[call.id]

    def _compute_call(
        self,
        call: Call,
        caller: Caller,
        arrays: dict[str, Any],
        deadline: float,
        queued: float,
        timing: dict[str, float],
    ) -> tuple[dict[str, Any], Any]:
        """In a thread of its own: what it asks of the device waits its turn, all else goes on beside other calls."""
        started = time.monotonic()
        timing["queue"] = (started - queued) * 1e3
        caller.require_wanted()
        if started > deadline:
            raise DeadlineExceeded(f"the call waited {started - queued:.1f} s for its turn, longer than its deadline")
        caller.computing = True
        try:
            with self._registry.use(str(call.payload["model"])) as model:
                if call.op == "check":
                    backend = Batched(model.backend, self._batches, caller)
                    return self._operations.check(model, call.payload, arrays, backend)
                if call.op != "explain":
                    return self._operations.by_name[call.op](model, call.payload, arrays)
                return self._explain(model, call, arrays, caller, UntilDeadline(caller, deadline))
        finally:
            caller.computing = False
            timing["queue"] += caller.waited_s * 1e3
            timing["engine"] = (time.monotonic() - started - caller.waited_s) * 1e3

    def _explain(
        self, model: LoadedModel, call: Call, arrays: dict[str, Any], caller: Caller, progress: Progress
    ) -> tuple[dict[str, Any], Any]:
        """A call that the device has not enough memory for is tried once more, in smaller steps, with room made."""
        backend = Batched(model.backend, self._batches, caller)
        try:
            return self._operations.explain(model, call.payload, arrays, progress, backend)
        except OutOfMemory:
            log.warning("out of memory, trying again with less", model=model.spec.id)
        self._registry.evict_idle()
        model.backend.plans.release()
        return self._operations.explain(model, call.payload, arrays, progress, Smaller(backend))

    def compute_job(
        self, payload: dict[str, Any], arrays: dict[str, Any], progress: Progress
    ) -> tuple[dict[str, Any], Arrays]:
        """What a background job asks for, in the thread of the caller; between its chunks callers go first."""
        with self._registry.use(str(payload["model"])) as model:
            backend = BetweenCalls(model.backend, self._turns)
            return self._operations.explain(model, payload, arrays, progress, backend)

    def _warm(self, model_id: str) -> None:
        with self._registry.use(model_id):
            pass

    async def _preload(self, model_id: str) -> None:
        try:
            await in_thread(self._loads, self._warm, model_id)
        except KerascopeError as error:
            log.error("preload failed", model=model_id, reason=error.detail)
            self._preloads.ended(model_id, warm=False)
            return
        self._preloads.ended(model_id, warm=True)
        await in_thread(self._calls, self._warm_up, model_id)

    def _warm_up(self, model_id: str) -> None:
        """In the background: calls are answered meanwhile."""
        started = time.monotonic()
        try:
            with self._registry.use(model_id) as model:
                self._operations.warm_up(model, Batched(model.backend, self._batches, Caller("warm-up")))
        except KerascopeError as error:
            log.warning("warm-up failed", model=model_id, reason=error.detail)
        else:
            log.info("model ready", model=model_id, seconds=round(time.monotonic() - started, 2))

    def _status(self) -> dict[str, Any]:
        return {
            "device": self._device,
            "pid": os.getpid(),
            "models": self._registry.status(),
            "warm_bytes": self._registry.warm_bytes,
            "budget_bytes": self._config.registry_bytes,
            "preloading": self._preloads.waiting(),
            "not_loaded": self._preloads.failed(self._registry.is_warm),
            "waiting": len(self._callers),
            "computing": [caller.id for caller in list(self._callers.values()) if caller.computing],
        }
