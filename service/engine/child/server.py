"""The engine: owns the device and the warm models, answers calls in turn, computes jobs between them."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING

import structlog
import zmq
import zmq.asyncio

from service.arrays import Arrays
from service.contract.models import EngineStatus, ModelStatus, Unloaded
from service.contract.questions import (
    AnyMethods,
    AnyQuestion,
    AskFingerprint,
    AskFitting,
    AskStatus,
    CheckCall,
    Compute,
    ComputeFitted,
    Describe,
    GiveUp,
    Load,
    Unload,
)
from service.contract.results import Changed, Explained
from service.engine.child.around import BetweenCalls, Smaller
from service.engine.child.batching import LARGEST, Batched, Batches
from service.engine.child.caller import OpenCall, UntilDeadline, fault_for
from service.engine.child.memory import Memory
from service.engine.child.segments import Segments
from service.engine.child.turns import Turns
from service.engine.child.warming import Preload, Warming
from service.engine.protocol import Call, EngineConfig, Places, Reply, fault_of, id_of, pack, unpack
from service.errors import KerascopeError, OutOfMemory
from service.explainers.base import Progress
from service.models.backends.device import DeviceSettings, configure
from service.models.backends.work import Work, part_of
from service.process import resident_bytes
from service.telemetry import in_thread

if TYPE_CHECKING:
    from service.models.files.spec import ModelSpec
    from service.models.loaded import LoadedModel

log = structlog.get_logger(__name__)

# As many light ones as may run as one, and the few heavy ones beside them.
CALLS_AT_A_TIME = LARGEST + 8
# How long nobody computes before memory is given back; taking it again costs a call some ms.
IDLE_S = 1.0


class Engine:
    """Answers calls. Each has a thread of its own, and one of them the device at a time."""

    def __init__(self, config: EngineConfig, work: Work) -> None:
        import tensorflow as tf

        device = configure(DeviceSettings(config.device, config.threads, config.engines), tf)

        from service.engine.child.describe import model_found
        from service.engine.child.operations import Operations
        from service.ingest.trusted import Trust, require_allowed, trust_in
        from service.models.files.library import Library
        from service.models.files.uploads.store import UPLOADS, UploadStore
        from service.models.loaded import load_model
        from service.models.registry import Registry

        self._config = config
        self._work = work
        self._device = device
        self._operations = Operations(config.max_passes, config.max_job_passes)

        def load(spec: ModelSpec) -> LoadedModel:
            # What was uploaded has been read and rewritten, and is looked at again; what is shipped is ours.
            trust = trust_in(spec, config.models_dir, config.data_dir / UPLOADS, all_of_folder=config.trust_models_dir)
            require_allowed(spec, trust, config.allowed_layers)
            with work.task("load", spec.id, "load"):
                return load_model(
                    spec,
                    config.data_dir / "cache",
                    config.call_bytes,
                    config.registry_bytes,
                    grown=lambda: self._registry.fit(keep=spec.id),
                    trusted=trust is Trust.WHOLE,
                )

        library = Library(config.models_dir, UploadStore(config.data_dir / UPLOADS))
        self._preloads = Preload(config.preload, library, number=config.number, engines=config.engines)
        self._registry = Registry(
            library,
            load,
            budget_bytes=config.registry_bytes,
            pinned=frozenset(self._preloads.ids),
            describe=model_found,
        )
        self._loads = ThreadPoolExecutor(2, thread_name_prefix="load")
        self._calls = ThreadPoolExecutor(CALLS_AT_A_TIME, thread_name_prefix="call")
        self._segments = Segments(config.segments)
        self._turns = Turns()
        self._batches = Batches(self._turns)
        self._callers: dict[str, OpenCall] = {}
        self.jobs_problem: Callable[[], str | None] = lambda: None
        # What is there now stays: collecting what models and plans leave takes ms then, and not a third of a second.
        gc.collect()
        gc.freeze()
        self._memory = Memory(self._registry, resident_bytes() or 0, config.registry_bytes)
        self.warming = Warming(
            self._operations, self._registry, self._memory, self._batches, work, config.registry_bytes
        )

    async def serve(self) -> None:
        """Answers until the process ends."""
        router = zmq.asyncio.Context.instance().socket(zmq.ROUTER)
        router.setsockopt(zmq.LINGER, 0)
        router.bind(f"ipc://{self._config.socket}")
        tasks = {asyncio.create_task(self._preload(model_id)) for model_id in self._preloads.ids}
        tasks.add(asyncio.create_task(self._tidy()))
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
            if (call_id := id_of(frames)) is not None:
                fault = fault_of(KerascopeError("the engine could not read this call; its log says why"))
                await router.send_multipart([sender, *pack(Reply(id=call_id, fault=fault), {})], copy=False)
            return
        if call.request_id:
            # Of this task alone, and of the threads it has work done in.
            structlog.contextvars.bind_contextvars(request_id=call.request_id, model=call.question.model)
        timing: dict[str, float] = {}
        places: Places = {}
        try:
            answer, out = await self._answer(call, arrays, received + call.deadline_s, timing)
            if out:
                places = await in_thread(self._calls, self._segments.share, out)
            reply = pack(Reply(id=call.id, answer=answer, timing_ms=timing), out, places)
        except Exception as error:
            self._segments.remove(places)
            reply = pack(Reply(id=call.id, fault=fault_for(error, call), timing_ms=timing), {})
        if call.request_id:
            log.debug(
                "call answered", op=call.question.op, **{f"{name}_ms": round(ms, 1) for name, ms in timing.items()}
            )
        await router.send_multipart([sender, *reply], copy=False)

    async def _answer(
        self, call: Call, arrays: Arrays, deadline: float, timing: dict[str, float]
    ) -> tuple[object, Arrays]:
        question = call.question
        model_id = question.model
        match question:
            case AskStatus():
                return self._status(), {}
            case GiveUp():
                if gone := self._callers.get(call.id):
                    gone.gone = True
                    self._turns.look_again()
                return None, {}
            case Unload():
                return Unloaded(unloaded=await in_thread(self._loads, self._registry.unload, model_id)), {}
            case AskFingerprint():
                return self._registry.fingerprint(model_id), {}
            case AskFitting():
                return self._registry.fitting(model_id), {}
            case Describe() if not (question.load or self._registry.is_warm(model_id)):
                return await in_thread(self._loads, self._registry.details, model_id), {}
        caller = self._callers[call.id] = OpenCall(call.id)
        started = time.monotonic()
        try:
            if not self._registry.is_warm(model_id):
                await in_thread(self._loads, self._warm, model_id, isinstance(question, Load))
            timing["load"] = (time.monotonic() - started) * 1e3
            if isinstance(question, Load):
                return None, {}
            queued = time.monotonic()
            until = UntilDeadline(caller, deadline)
            return await in_thread(self._calls, self._compute_call, call, until, arrays, queued, timing)
        finally:
            del self._callers[call.id]

    def _compute_call(
        self, call: Call, until: UntilDeadline, arrays: Arrays, queued: float, timing: dict[str, float]
    ) -> tuple[object, Arrays]:
        """Computes in a thread of its own: what it asks of the device waits its turn, all else runs beside others."""
        started, caller = time.monotonic(), until.caller
        timing["queue"] = (started - queued) * 1e3
        until.require_wanted()
        model_id, kind = call.question.model, call.question.kind
        with part_of(self._work, model_id, kind, until.require_wanted) as part:
            try:
                with self._work.task("call", model_id, kind, until.at), self._registry.use(model_id) as model:
                    return self._answer_with(model, call.question, arrays, until)
            finally:
                self._ended()
                timing["queue"] += caller.waited_s * 1e3
                if part.traced_s:
                    timing["trace"] = part.traced_s * 1e3
                timing["engine"] = (time.monotonic() - started - caller.waited_s - part.traced_s) * 1e3

    def _answer_with(
        self, model: LoadedModel, question: AnyQuestion, arrays: Arrays, until: UntilDeadline
    ) -> tuple[object, Arrays]:
        match question:
            case ComputeFitted() if question.fitted.fingerprint != model.fingerprint:
                return Changed(), {}
            case Compute() | ComputeFitted():
                return self._explain(model, question, arrays, until.caller, until)
            case CheckCall():
                backend = Batched(model.backend, self._batches, until.caller)
                self._operations.check(model, question, arrays, backend)
                return None, {}
        return self._operations.tell(model, question), {}

    def _explain(
        self, model: LoadedModel, asked: AnyMethods, arrays: Arrays, caller: OpenCall, progress: Progress
    ) -> tuple[Explained, Arrays]:
        """A call that the device has not enough memory for is tried once more, in smaller steps, with room made."""
        backend = Batched(model.backend, self._batches, caller)
        try:
            return self._operations.explain(model, asked, arrays, progress, backend)
        except OutOfMemory:
            log.warning("out of memory, trying again with less", model=model.spec.id)
        self._registry.evict_idle()
        model.backend.plans.release()
        return self._operations.explain(model, asked, arrays, progress, Smaller(backend))

    def compute_job(self, asked: Compute, arrays: Arrays, progress: Progress) -> tuple[Explained, Arrays]:
        """What a background job asks for, in the thread of the caller; between its chunks callers go first."""
        try:
            with part_of(self._work, asked.model, ""), self._registry.use(asked.model) as model:
                backend = BetweenCalls(model.backend, self._turns)
                return self._operations.explain(model, asked, arrays, progress, backend)
        finally:
            self._ended()

    def _ended(self) -> None:
        """A call has ended: what its steps left to be used again goes back to the system where that is too much."""
        self._memory.ended += 1
        self._memory.trim()

    async def _tidy(self) -> None:
        """Between calls the process holds what is warm and little else, and no more than it may, nor does it for long
        where there is no time between them; and what is asked most is compiled for a model that became warm, so that
        its first call need not wait for that."""
        seen = 0
        while True:
            await asyncio.sleep(IDLE_S)
            try:
                if self._memory.ended != seen and self._registry.idle:
                    seen = self._memory.ended
                    await in_thread(self._loads, self._memory.give_back)
                elif self._memory.lasts():
                    await in_thread(self._loads, self._memory.make_room)
                while self._registry.idle and (coming := self.warming.next()):
                    await in_thread(self._calls, self.warming.compile, *coming)
            except Exception:
                log.exception("tidying failed")

    def _warm(self, model_id: str, again: bool = False) -> None:
        with self._registry.use(model_id, again=again):
            # Reading a model leaves memory to be given back, as a call does.
            self._memory.ended += 1

    def closing(self) -> None:
        """The process ends soon: a job that runs gets to its next tick before anything else."""
        self._turns.hurry()

    async def _preload(self, model_id: str) -> None:
        try:
            await in_thread(self._loads, self._warm, model_id)
        except KerascopeError as error:
            log.error("preload failed", model=model_id, reason=error.detail)
            self._preloads.ended(model_id, warm=False)
            return
        self._preloads.ended(model_id, warm=True)
        for name in self._operations.usual():
            await in_thread(self._calls, self.warming.compile, model_id, name)

    def _status(self) -> EngineStatus:
        return EngineStatus(
            device=self._device,
            pid=os.getpid(),
            models={model_id: ModelStatus(**asdict(place)) for model_id, place in self._registry.status().items()},
            warm_bytes=self._registry.warm_bytes,
            bare_bytes=self._memory.bare_bytes,
            library_bytes=self._memory.library_bytes,
            budget_bytes=self._config.registry_bytes,
            preloading=self._preloads.waiting(),
            not_loaded=self._preloads.missing(self._registry.is_warm),
            waiting=len(self._callers),
            jobs_problem=self.jobs_problem(),
        )
