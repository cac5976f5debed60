"""The engines of this machine: one a device, each model routed to the same one so that it is warm once."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

from service.engine.client import EngineClient, EngineReply
from service.engine.protocol import Arrays, EngineConfig


class EnginePool:
    """Routes calls by model ID."""

    def __init__(self, configs: list[EngineConfig], *, deadline_s: float, queue_limit: int) -> None:
        self.clients = [EngineClient(config, deadline_s=deadline_s, queue_limit=queue_limit) for config in configs]

    def start(self) -> None:
        for client in self.clients:
            client.start()

    async def stop(self) -> None:
        await asyncio.gather(*(client.stop() for client in self.clients))

    async def ask(self, op: str, model_id: str, payload: dict[str, Any], arrays: Arrays | None = None) -> EngineReply:
        """The answer of the engine that `model_id` belongs to; raises as `EngineClient.ask`."""
        client = self.clients[engine_of(model_id, len(self.clients))]
        return await client.ask(op, {**payload, "model": model_id}, arrays)

    async def check(self, model_id: str, payload: dict[str, Any], arrays: Arrays) -> None:
        """Raises what a call would before it computes anything, as far as an idle engine with a warm model can tell."""
        client = self.clients[engine_of(model_id, len(self.clients))]
        await client.ask_at_once("check", {**payload, "model": model_id}, arrays)

    async def fingerprint(self, model_id: str) -> str | None:
        """That of the warm model; None when it is cold, or the engine does not say at once."""
        client = self.clients[engine_of(model_id, len(self.clients))]
        reply = await client.ask_at_once("fingerprint", {"model": model_id})
        return None if reply is None else reply.payload["fingerprint"]

    async def statuses(self) -> list[dict[str, Any] | None]:
        """Each engine's status; None for one that does not answer."""
        return await asyncio.gather(*(client.status() for client in self.clients))


def engine_of(model_id: str, engines: int) -> int:
    """The same engine for the same model, in every process."""
    return zlib.crc32(model_id.encode()) % engines
