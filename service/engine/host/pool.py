"""The engines of this machine: one a device, each model routed to the same one so that it is warm once."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TypeVar

from service.arrays import Arrays
from service.contract.models import EngineStatus
from service.contract.questions import AskFingerprint, AskFitting, Question, Unload
from service.engine.host.client import EngineClient, EngineReply
from service.engine.host.queue import Deadline
from service.engine.protocol import EngineConfig, engine_of
from service.models.graph.preprocess import Fitting

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Place:
    """Says whose call it is, until when it must be answered, whether there are other callers, and among which of the
    caller's own calls it takes its turn."""

    caller: str
    deadline: Deadline
    shared: bool = False
    lane: str = ""


class EnginePool:
    """Routes calls by model ID."""

    def __init__(self, configs: list[EngineConfig], *, deadline_s: float, queue_limit: int) -> None:
        self.clients = [EngineClient(config, deadline_s=deadline_s, queue_limit=queue_limit) for config in configs]

    def start(self) -> None:
        for client in self.clients:
            client.start()

    async def stop(self) -> None:
        await asyncio.gather(*(client.stop() for client in self.clients))

    def client(self, model_id: str) -> EngineClient:
        """Gives the client of the engine that `model_id` belongs to."""
        return self.clients[engine_of(model_id, len(self.clients))]

    def require_room(self, model_id: str, units: int, place: Place) -> None:
        """Raises QueueFull or TooManyCalls where `place` would; of an unknown model whatever engine it belonged to."""
        self.client(model_id).queue.require_room(place.caller, units, shared=place.shared)

    def place(self, model_id: str, units: int, place: Place) -> AbstractAsyncContextManager[None]:
        """A place in the model's queue of so many cost units; raises as `FairQueue.place`."""
        queue = self.client(model_id).queue
        return queue.place(place.caller, units, place.deadline, shared=place.shared, lane=place.lane)

    async def ask(
        self, question: Question[Answer], arrays: Arrays | None = None, deadline: Deadline | None = None
    ) -> EngineReply[Answer]:
        """The answer of the engine that the question's model belongs to; raises as `EngineClient.ask`."""
        return await self.client(question.model).ask(question, arrays, deadline)

    async def fingerprint(self, model_id: str) -> str | None:
        """Gives the warm model's fingerprint; None when it is cold, or the engine does not say at once."""
        reply = await self.client(model_id).ask_at_once(AskFingerprint(model=model_id))
        return None if reply is None else reply.answer

    async def fitting(self, model_id: str) -> Fitting | None:
        """How the warm model takes a photograph; None when it is cold, or the engine does not say at once."""
        reply = await self.client(model_id).ask_at_once(AskFitting(model=model_id))
        return None if reply is None else reply.answer

    async def unload(self, model_id: str) -> None:
        """Makes a model cold where it is not in use, without waiting for its turn."""
        await self.client(model_id).ask_at_once(Unload(model=model_id))

    async def statuses(self) -> list[EngineStatus | None]:
        """Each engine's status; None for one that does not answer."""
        return await asyncio.gather(*(client.status() for client in self.clients))
