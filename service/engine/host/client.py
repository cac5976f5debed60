"""Asking the engine: with a deadline that ends the asking and nothing else, and one retry when the engine dies."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Hashable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import structlog
import zmq
import zmq.asyncio

from service.arrays import Array, Arrays
from service.contract.models import EngineStatus
from service.contract.questions import AnyQuestion, AskStatus, GiveUp, Load, Question
from service.engine.host.queue import Deadline, FairQueue
from service.engine.host.shared_memory import SharedMemory
from service.engine.host.supervisor import EngineState, Supervisor
from service.engine.protocol import Call, EngineConfig, NotTaken, Reply, error_of, pack, unpack
from service.errors import DeadlineExceeded, EngineUnavailable, ModelQuarantined
from service.telemetry import request_id

DEATHS = 2
# Work on a model before it answers anything: any answer shows that it got through that.
BEFORE_CALLS = ("load", "warm-up")


class Quarantine:
    """Counts, for each kind of call on a model, how often in a row the engine died while it was computed.

    A kind that is answered in between starts anew: engines also die of other causes.
    """

    def __init__(self) -> None:
        self._deaths: dict[tuple[str, Hashable], int] = {}
        self._held: set[str] = set()

    @property
    def models(self) -> frozenset[str]:
        """Lists the models in quarantine."""
        return frozenset(self._held)

    def died(self, model_id: str, kind: Hashable) -> None:
        count = self._deaths.get((model_id, kind), 0) + 1
        self._deaths[model_id, kind] = count
        if count >= DEATHS:
            self._held.add(model_id)

    def answered(self, model_id: str, kind: Hashable) -> None:
        for known in (kind, *BEFORE_CALLS):
            self._deaths.pop((model_id, known), None)

    def release(self, model_id: str) -> None:
        """Gives the model another chance."""
        self._held.discard(model_id)
        for key in [key for key in self._deaths if key[0] == model_id]:
            del self._deaths[key]

    def require_free(self, model_id: str) -> None:
        """Raises ModelQuarantined."""
        if model_id in self._held:
            raise ModelQuarantined(
                f"the engine ended {DEATHS} times in a row while it computed the model {model_id!r}; upload another "
                "version, or load it once more (POST …/load) to give it another chance"
            )


log = structlog.get_logger(__name__)

HELLO_INTERVAL_S = 0.25
STATUS_DEADLINE_S = 1.0
# The engine ends a call at its deadline itself, and tells at which step.
ANSWER_GRACE_S = 0.2
RETRY_AFTER_S = 5
# How often a call is tried that the engine died of, and one that it died beside.
TRIES = 2
PATIENCE_WITH_OTHERS = 5
# As many calls as the engine may run as one.
UNITS_AT_A_TIME = 32
# What takes many passes: occlusion, Score-CAM, ascents.
HEAVY_UNITS = 8


class _EngineLost(Exception):
    """The engine ended while a call waited for its answer."""


Answer = TypeVar("Answer")


@dataclass(frozen=True)
class EngineReply(Generic[Answer]):
    """An answer and its arrays, with the engine's own times in ms."""

    answer: Answer
    arrays: dict[str, Array]
    timing_ms: Mapping[str, float]


class EngineClient:
    """The api's side of one engine child. Calls take a place in `queue`, `queue_limit` cost units long."""

    def __init__(self, config: EngineConfig, *, deadline_s: float, queue_limit: int) -> None:
        self._memory = SharedMemory()
        self.supervisor = Supervisor(config, self._connect, self._lost)
        self.queue = FairQueue(UNITS_AT_A_TIME, queue_limit, HEAVY_UNITS)
        self._deadline_s = deadline_s
        self._socket: zmq.asyncio.Socket | None = None
        self._reader: asyncio.Task[None] | None = None
        self._pending: dict[str, asyncio.Future[EngineReply[Any]]] = {}
        self._up = asyncio.Event()
        self.quarantine = Quarantine()
        self._alone = asyncio.Lock()
        self._several = False
        self._at_fault: frozenset[str] = frozenset()

    @property
    def state(self) -> EngineState:
        return self.supervisor.state

    def start(self) -> None:
        self.supervisor.start(self._memory.open())

    async def stop(self) -> None:
        try:
            await self.supervisor.stop()
            self._lost()
        finally:
            self._memory.close()

    async def ask(
        self, question: Question[Answer], arrays: Arrays | None = None, deadline: Deadline | None = None
    ) -> EngineReply[Answer]:
        """The engine's answer. Waits for an engine that is starting, as long as the deadline allows; that of the
        settings when None.

        Raises the domain error the engine answered with, EngineUnavailable, ModelQuarantined, or DeadlineExceeded. A
        call that is cancelled is given up by the engine before its next step. The second try of those whose engine died
        is one after another, so that it shows whose fault it was; a call of another model is tried more often.
        """
        deadline = deadline or Deadline.after(self._deadline_s)
        model_id = question.model
        if isinstance(question, Load):
            self.quarantine.release(model_id)
        own, others = 0, 0
        while own < TRIES and others < PATIENCE_WITH_OTHERS:
            await self._wait_until_up(deadline)
            try:
                async with self._one_by_one(deadline) if self._several and own else nullcontext():
                    self.quarantine.require_free(model_id)
                    answer = await self._send(question, arrays or {}, deadline)
            except _EngineLost as lost:
                # Tasks hold their error, and its traceback this frame with the arrays of the answer that comes.
                lost.with_traceback(None)
                log.warning("engine lost during a call", op=question.op, model=model_id)
                if self._at_fault and model_id not in self._at_fault:
                    others += 1
                else:
                    own += 1
            else:
                self.quarantine.answered(model_id, question.kind)
                return answer
        times = "twice" if own else "again and again"
        raise EngineUnavailable(f"the engine ended {times} while it worked on this call", retry_after_s=RETRY_AFTER_S)

    @contextlib.asynccontextmanager
    async def _one_by_one(self, deadline: Deadline) -> AsyncIterator[None]:
        """Second tries alone: whoever comes anew waits for none of them. Raises DeadlineExceeded."""
        try:
            async with asyncio.timeout(deadline.left_s):
                await self._alone.acquire()
        except TimeoutError:
            raise DeadlineExceeded(f"the call waited until its deadline of {deadline.given_s:g} s") from None
        try:
            yield
        finally:
            self._alone.release()

    async def ask_at_once(self, question: Question[Answer]) -> EngineReply[Answer] | None:
        """The answer to what takes no computing; None when the engine does not give it at once.

        Raises the domain error the engine answered with.
        """
        if not self._up.is_set():
            return None
        with contextlib.suppress(_EngineLost, TimeoutError):
            exchange = self._exchange(question, {}, STATUS_DEADLINE_S)
            return await asyncio.wait_for(exchange, STATUS_DEADLINE_S)
        return None

    async def status(self) -> EngineStatus | None:
        """The engine's own status, or None when it does not answer at once."""
        reply = await self.ask_at_once(AskStatus())
        return None if reply is None else reply.answer

    async def _wait_until_up(self, deadline: Deadline) -> None:
        try:
            await asyncio.wait_for(self._up.wait(), deadline.left_s)
        except TimeoutError:
            if self._up.is_set():
                raise DeadlineExceeded(f"the call waited until its deadline of {deadline.given_s:g} s") from None
            raise EngineUnavailable(
                f"the engine did not come up within the deadline of {deadline.given_s:g} s (it is in state "
                f"{self.state.value!r}); the log of the service says why",
                retry_after_s=RETRY_AFTER_S,
            ) from None

    async def _send(self, question: Question[Answer], arrays: Arrays, deadline: Deadline) -> EngineReply[Answer]:
        remaining = max(0.001, deadline.left_s)
        call_id = uuid.uuid4().hex
        try:
            return await asyncio.wait_for(
                self._exchange(question, arrays, remaining, call_id), remaining + ANSWER_GRACE_S
            )
        except TimeoutError:
            raise DeadlineExceeded(f"the call took longer than its deadline of {deadline.given_s:g} s") from None

    async def _exchange(
        self, question: Question[Answer], arrays: Arrays, deadline_s: float, call_id: str | None = None
    ) -> EngineReply[Answer]:
        socket = self._socket
        if socket is None:
            raise _EngineLost
        call = Call(
            id=call_id or uuid.uuid4().hex,
            question=cast(AnyQuestion, question),
            deadline_s=deadline_s,
            request_id=request_id(),
        )
        reply: asyncio.Future[EngineReply[Any]] = asyncio.get_running_loop().create_future()
        self._pending[call.id] = reply
        try:
            await socket.send_multipart(pack(call, arrays), copy=False)
            given = await reply
            said = cast(Answer, question.answers.validate_python(given.answer))
            return EngineReply(said, given.arrays, given.timing_ms)
        except zmq.ZMQError as error:
            raise _EngineLost from error
        except asyncio.CancelledError:
            self._give_up(call)
            raise
        finally:
            self._pending.pop(call.id, None)

    def _blame(self) -> None:
        """The engine died. Work on one model is that model's fault; among several the second tries will tell, as each
        of them is alone with the engine then. A background job has a bound of its own, and blames no model."""
        tasks = self.supervisor.blamed
        models = frozenset(task.model for task in tasks)
        self._several = len(models) > 1
        self._at_fault = models if self.supervisor.crashed else frozenset()
        if not self._several and self.supervisor.crashed:
            for model_id, kind in {(task.model, task.what) for task in tasks if task.what}:
                self.quarantine.died(model_id, kind)

    def _give_up(self, call: Call) -> None:
        if self._socket is not None and not isinstance(call.question, AskStatus):
            self._socket.send_multipart(pack(Call(id=call.id, question=GiveUp(), deadline_s=0), {}))

    def _connect(self, address: str) -> asyncio.Future[None]:
        self._socket = zmq.asyncio.Context.instance().socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(f"ipc://{address}")
        self._reader = asyncio.create_task(self._read(self._socket))
        return asyncio.ensure_future(self._hello())

    async def _hello(self) -> None:
        """Returns once the child answers; its import of TensorFlow takes seconds."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._exchange(AskStatus(), {}, STATUS_DEADLINE_S), HELLO_INTERVAL_S)
                self._up.set()
                return

    async def _read(self, socket: zmq.asyncio.Socket) -> None:
        while True:
            # Nothing of an answer is held here until the next one comes.
            self._take(await socket.recv_multipart(copy=False))

    def _take(self, frames: list[zmq.Frame]) -> None:
        """Gives an answer to who waits for it."""
        try:
            reply, arrays = unpack(Reply, [frame.buffer for frame in frames], self._memory.take)
        except ValueError:
            log.exception("engine answered what cannot be read, ending it")
            self.supervisor.kill()
            return
        except NotTaken as error:
            log.error("an answer could not be taken from the engine", reason=str(error))
            lacking = EngineUnavailable(f"the answer could not be taken: {error}", retry_after_s=RETRY_AFTER_S)
            if (waiting := self._pending.get(error.id)) and not waiting.done():
                waiting.set_exception(lacking)
            return
        waiting = self._pending.get(reply.id)
        if waiting is None or waiting.done():
            return
        if reply.fault:
            waiting.set_exception(error_of(reply.fault))
        else:
            waiting.set_result(EngineReply(reply.answer, arrays, reply.timing_ms))

    def _lost(self) -> None:
        self._up.clear()
        if self._reader:
            self._reader.cancel()
        if self._socket:
            self._socket.close(linger=0)
            self._socket = None
        self._memory.sweep()
        self._blame()
        for waiting in list(self._pending.values()):
            if not waiting.done():
                waiting.set_exception(_EngineLost())
