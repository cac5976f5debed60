"""Asking an engine that is not there, is full, or comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from service.engine.host.client import EngineClient, EngineReply
from service.engine.host.pool import EnginePool, engine_of
from service.engine.host.supervisor import EngineState
from service.errors import EngineUnavailable, KerascopeError, UnknownModel
from tests.conftest import engine_config


def run(client: EngineClient, body: Callable[[EngineClient], Awaitable[None]]) -> None:
    async def whole() -> None:
        client.start()
        try:
            await body(client)
        finally:
            await client.stop()

    asyncio.run(whole())


@pytest.mark.usefixtures("broken_tensorflow")
class TestNoEngine:
    def test_a_call_waits_no_longer_than_its_deadline(self, tmp_path: Path) -> None:
        async def body(client: EngineClient) -> None:
            assert await client.status() is None
            started = time.monotonic()
            with pytest.raises(EngineUnavailable, match=r"did not come up within the deadline of 1\.5 s") as caught:
                await client.ask("describe", {"model": "shapes"})
            assert 1.4 < time.monotonic() - started < 6
            assert caught.value.retry_after_s == 5
            assert client.state in (EngineState.STARTING, EngineState.BACKOFF)

        run(EngineClient(engine_config(tmp_path), deadline_s=1.5, queue_limit=4), body)


def test_a_real_engine(tmp_path: Path) -> None:
    """Errors arrive as themselves, an unknown operation is an error of ours, and the client works on after both."""

    async def body(client: EngineClient) -> None:
        described = await client.ask("describe", {"model": "shapes", "load": True})
        assert isinstance(described, EngineReply)
        assert described.payload["labels"] == ["circle", "square", "triangle"]
        assert set(described.timing_ms) == {"load", "queue", "engine"}
        status = await client.status()
        assert status is not None
        assert (status["pid"], status["waiting"]) == (client.supervisor.pid, 0)
        with pytest.raises(UnknownModel, match="no model 'shape'"):
            await client.ask("describe", {"model": "shape"})
        for op, payload in (
            ("no-such-operation", {"model": "shapes"}),
            ("describe", {}),
            ("explain", {"model": "shapes"}),
        ):
            with pytest.raises(KerascopeError, match="its log says why") as caught:
                await client.ask(op, payload)
            assert type(caught.value) is KerascopeError
        answers = await asyncio.gather(
            *(client.ask("summary", {"model": "shapes", "width": 110, "until": None}) for _ in range(8))
        )
        assert len({answer.payload["text"] for answer in answers}) == 1
        assert client.state is EngineState.UP

    run(EngineClient(engine_config(tmp_path), deadline_s=60, queue_limit=16), body)


class TestPool:
    def test_a_model_always_has_the_same_engine(self) -> None:
        ids = [f"model-{number}" for number in range(200)]
        assert {engine_of(model_id, 1) for model_id in ids} == {0}
        places = [engine_of(model_id, 4) for model_id in ids]
        assert places == [engine_of(model_id, 4) for model_id in ids]
        assert all(places.count(place) > 20 for place in range(4))
        assert engine_of("shapes", 16) == 2, "the same in every process"

    def test_engines_that_are_not_there_have_no_status(self, tmp_path: Path) -> None:
        pool = EnginePool([engine_config(tmp_path)] * 3, deadline_s=1, queue_limit=1)
        assert asyncio.run(pool.statuses()) == [None, None, None]
