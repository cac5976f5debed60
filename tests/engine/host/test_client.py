"""Asking an engine that is not there, is full, or comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from service.contract.questions import Compute, Describe, MethodAsked, Summarize
from service.engine.host.client import EngineClient, EngineReply
from service.engine.host.pool import EnginePool, engine_of
from service.engine.host.supervisor import EngineState
from service.errors import EngineUnavailable, KerascopeError, UnknownModel
from service.explainers import BY_NAME
from tests.conftest import engine_config

PREDICT = Compute(model="shapes", methods=(MethodAsked(name="predict", params=BY_NAME["predict"].Params()),))


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
                await client.ask(Describe(model="shapes"))
            assert 1.4 < time.monotonic() - started < 6
            assert caught.value.retry_after_s == 5
            assert client.state in (EngineState.STARTING, EngineState.BACKOFF)

        run(EngineClient(engine_config(tmp_path), deadline_s=1.5, queue_limit=4), body)


def test_a_real_engine(tmp_path: Path) -> None:
    """Errors arrive as themselves, one nobody thought of is an error of ours, and the client works on after both."""

    async def body(client: EngineClient) -> None:
        described = await client.ask(Describe(model="shapes", load=True))
        assert isinstance(described, EngineReply)
        assert described.answer.labels == ["circle", "square", "triangle"]
        assert set(described.timing_ms) == {"load", "queue", "engine"}
        status = await client.status()
        assert status is not None
        assert (status.pid, status.waiting) == (client.supervisor.pid, 0)
        with pytest.raises(UnknownModel, match="no model 'shape'"):
            await client.ask(Describe(model="shape"))
        with pytest.raises(KerascopeError, match="its log says why") as caught:
            # An image of a shape that no decoder gives: the engine did not think of it.
            await client.ask(PREDICT, {"image": np.zeros((1, 1, 1, 1), np.uint8)})
        assert type(caught.value) is KerascopeError
        answers = await asyncio.gather(*(client.ask(Summarize(model="shapes", width=110)) for _ in range(8)))
        assert len({answer.answer.text for answer in answers}) == 1
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
