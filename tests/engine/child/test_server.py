"""The engine itself, in this process: what it does when the device has too little memory, and what it compiles."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pytest
from numpy.typing import NDArray

from service.contract.questions import AskFitting, Compute, ComputeFitted, Fitted
from service.contract.results import Changed, Explained
from service.engine.child import memory, server, warming
from service.engine.child.caller import OpenCall, UntilDeadline
from service.engine.child.server import Engine
from service.engine.protocol import Call, Reply, unpack
from service.errors import OutOfMemory
from service.explainers.base import Progress
from service.models.backends.plans import OPERATION_BYTES
from service.models.backends.work import Work
from service.models.loaded import LAYER_BYTES, LoadedModel
from tests.conftest import engine_config

IMAGE = {"image": np.random.default_rng(0).integers(0, 256, (28, 28, 3), np.uint8)}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with pytest.MonkeyPatch.context() as patch:
        # Threads can be set only before TensorFlow's first operation, which other tests have run in this process.
        patch.setattr(server, "configure", lambda settings, tf: "cpu")
        yield Engine(
            engine_config(tmp_path_factory.mktemp("engine")),
            Work(dict.fromkeys(("load", "trace", "step", "call"), 60.0)),
        )


@pytest.fixture
def shapes(engine: Engine) -> Iterator[LoadedModel]:
    with engine._registry.use("shapes") as model:
        yield model


def asked(name: str, **params: Any) -> Compute:
    return Compute(model="shapes", methods=[{"name": name, "params": params}], top=1)


def explain(engine: Engine, model: LoadedModel, question: Compute) -> NDArray[Any]:
    _, arrays = engine._explain(model, question, IMAGE, OpenCall("a"), Progress())
    return np.asarray(arrays["0/heatmap"])


def limited(model: LoadedModel, monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """A device with memory for so many images; gives the sizes of all that was tried."""
    tried: list[int] = []
    compiled = model.backend.compiled

    def small(*args: Any, **more: Any) -> Any:
        plan = compiled(*args, **more)

        def run(*arrays: NDArray[Any]) -> list[NDArray[Any]]:
            tried.append(len(arrays[0]))
            if len(arrays[0]) > most:
                raise OutOfMemory("too little")
            return plan(*arrays)

        return run

    monkeypatch.setattr(model.backend, "compiled", small)
    return tried


def test_too_little_memory_is_met_with_smaller_steps(
    engine: Engine, shapes: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = explain(engine, shapes, asked("occlusion", patch=6, stride=2))
    tried = limited(shapes, monkeypatch, most=16)
    np.testing.assert_allclose(explain(engine, shapes, asked("occlusion", patch=6, stride=2)), expected, atol=1e-6)
    assert tried[:2] == [1, 64], "as large as ever"
    assert set(tried[2:]) <= {1, 16} | set(range(1, 16))


def test_still_too_little_is_told(engine: Engine, shapes: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(shapes, monkeypatch, most=0)
    with pytest.raises(OutOfMemory):
        explain(engine, shapes, asked("occlusion", patch=6, stride=2))


def test_usual_calls_find_their_plans_compiled(engine: Engine, shapes: LoadedModel) -> None:
    shapes.backend.plans.release()
    for name in engine._operations.usual():
        engine.warming.compile("shapes", name)
    traces = shapes.backend.traces
    for name in ("predict", "cam", "saliency"):
        engine._explain(shapes, asked(name), IMAGE, OpenCall("a"), Progress())
    assert shapes.backend.traces == traces


def test_what_is_compiled_and_folded_is_counted(engine: Engine, shapes: LoadedModel) -> None:
    shapes.backend.plans.release()
    for name in ("predict", "cam", "saliency"):
        engine.warming.compile("shapes", name)
    assert len(shapes.backend.plans) == 3
    found = engine._registry.status()["shapes"]
    assert found.plan_bytes == shapes.backend.plans.bytes > 3 * 50 * OPERATION_BYTES
    assert found.folded_bytes == 0, "this network has no normalisation"
    assert found.layer_bytes == LAYER_BYTES * len(shapes.graph.layers)
    parts = ("weight_bytes", "folded_bytes", "layer_bytes", "plan_bytes")
    assert engine._registry.warm_bytes == sum(getattr(found, part) for part in parts)


def test_at_rest_the_process_holds_no_more_than_it_may(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory of libraries is measured and counts too: with room for one plan beside it, and for none."""
    with engine._registry.use("shapes") as model:
        model.backend.plans.release()
        kept = engine._registry.warm_bytes
    for name in ("predict", "cam", "saliency"):
        engine.warming.compile("shapes", name)
    beside = kept // 2

    def resident() -> int:
        return engine._memory.bare_bytes + engine._registry.warm_bytes + beside

    monkeypatch.setattr(memory, "resident_bytes", resident)
    youngest = list(model.backend.plans._plans.values())[-1].bytes
    for most, plans in ((10**9, 3), (kept + beside + youngest, 1), (kept + beside, 0)):
        monkeypatch.setattr(engine._memory, "_most", most)
        monkeypatch.setattr(engine._registry, "_budget", most)
        engine._memory.give_back()
        assert len(model.backend.plans) == plans
        assert engine._memory.library_bytes == beside
    assert engine._registry.is_warm("shapes")
    # What libraries keep beyond half of the budget takes no model's room: dropping them would not help.
    monkeypatch.setattr(engine._registry, "_budget", 10**9)
    engine.warming.compile("shapes", "predict")
    beside = 2 * engine._registry.warm_bytes
    monkeypatch.setattr(engine._memory, "_most", beside)
    monkeypatch.setattr(engine._registry, "_budget", beside)
    engine._memory.give_back()
    assert len(model.backend.plans) == 1
    assert engine._memory.library_bytes == beside


def test_nor_does_it_for_long_where_callers_leave_no_pause(
    engine: Engine, shapes: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is in use at every look, and what lies beside it leaves no room for one of its three plans."""
    shapes.backend.plans.release()
    for name in ("predict", "cam", "saliency"):
        engine.warming.compile("shapes", name)
    beside = engine._registry.warm_bytes // 2
    most = engine._registry.warm_bytes + beside - 1
    monkeypatch.setattr(
        memory, "resident_bytes", lambda: engine._memory.bare_bytes + engine._registry.warm_bytes + beside
    )
    monkeypatch.setattr(server, "IDLE_S", 0.001)
    monkeypatch.setattr(engine._memory, "_most", most)
    monkeypatch.setattr(engine._registry, "beside_bytes", 0)
    monkeypatch.setattr(engine._registry, "_budget", most)

    fitted, fit = threading.Event(), engine._registry.fit

    def fitting(*given: int) -> None:
        fit(*given)
        fitted.set()

    monkeypatch.setattr(engine._registry, "fit", fitting)

    async def tidied() -> None:
        tidying = asyncio.create_task(engine._tidy())
        assert await asyncio.to_thread(fitted.wait, 10)
        tidying.cancel()

    asyncio.run(tidied())
    assert engine._memory.library_bytes == beside
    assert len(shapes.backend.plans) == 2


def test_what_steps_leave_is_given_back_when_it_is_too_much(
    engine: Engine, shapes: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str] = []

    @contextmanager
    def giving() -> Iterator[None]:
        given.append("back")
        yield

    monkeypatch.setattr(memory, "giving_back", giving)
    monkeypatch.setattr(memory, "resident_bytes", lambda: engine._memory.bare_bytes + 2**30)
    for most, times in ((2**30, 0), (2**30 - 1, 1)):
        monkeypatch.setattr(engine._memory, "_most", most)
        engine.compute_job(asked("cam"), IMAGE, Progress())
        assert len(given) == times


def test_an_image_that_was_resized_for_another_model_is_not_taken(engine: Engine, shapes: LoadedModel) -> None:
    fitting = engine._registry.fitting("shapes")
    assert fitting is not None
    assert AskFitting.answers.validate_json(AskFitting.answers.dump_json(fitting)) == fitting
    assert engine._registry.fitting("nobody") is None
    for fingerprint, changed in ((fitting.fingerprint, False), ("0" * 32, True)):
        fitted = Fitted(fingerprint=fingerprint, region=(0.0, 0.0, 280.0, 560.0))
        question = ComputeFitted(model="shapes", methods=asked("predict").methods, fitted=fitted)
        call = Call(id="a", question=question, deadline_s=60)
        reply, _ = engine._compute_call(call, UntilDeadline(OpenCall("a"), time.monotonic() + 60), IMAGE, 0.0, {})
        assert isinstance(reply, Changed) == changed
        if isinstance(reply, Explained):
            assert reply.region == (0.0, 0.0, 280.0, 560.0)


def test_what_is_asked_most_is_compiled_first_and_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.warming, "_compiled", WeakKeyDictionary())
    monkeypatch.setattr(engine._operations, "asked", Counter(saliency=3, occlusion=9))
    assert engine._operations.usual() == ["saliency", "predict", "cam", "activations"]
    with engine._registry.use("shapes") as model:
        model.backend.plans.release()
    done = []
    while coming := engine.warming.next():
        assert coming[0] == "shapes"
        done.append(coming[1])
        engine.warming.compile(*coming)
    assert done == ["saliency", "predict", "cam", "activations"]
    assert len(model.backend.plans) == 4
    assert engine._operations.asked == Counter(saliency=3, occlusion=9), "its own calls are none of a caller's"


def test_nothing_is_compiled_beforehand_without_room(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.warming, "_compiled", WeakKeyDictionary())
    with engine._registry.use("shapes"):
        pass
    warm = engine._registry.warm_bytes
    beside = 1000
    monkeypatch.setattr(engine._registry, "beside_bytes", beside)
    enough = warming.WARM_UP_ROOM + beside
    for room, coming in ((enough, ("shapes", "predict")), (enough - 1, None)):
        monkeypatch.setattr(engine._operations, "asked", Counter())
        monkeypatch.setattr(engine.warming, "_budget_bytes", warm + room)
        assert engine.warming.next() == coming


def test_a_model_that_is_compiled_for_can_be_unloaded_and_stays_cold(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine._registry.use("shapes"):
        pass
    unloaded: list[bool] = []

    def warm_up(*_: Any) -> None:
        unloaded.append(engine._registry.unload("shapes"))

    monkeypatch.setattr(engine._operations, "warm_up", warm_up)
    engine.warming.compile("shapes", "predict")
    assert unloaded == [True]
    engine.warming.compile("shapes", "cam")
    assert unloaded == [True], "a cold model is not loaded for it"
    assert not engine._registry.is_warm("shapes")


def test_a_call_that_cannot_be_read_is_answered_at_once(engine: Engine) -> None:
    """Its caller would wait for an answer until its deadline."""
    sent: list[list[Any]] = []

    class Router:
        async def send_multipart(self, frames: list[Any], **_: Any) -> None:
            sent.append(frames)

    frames = [memoryview(b'{"id": "a1", "question": {"op": "no such question"}, "deadline_s": 1}')]
    asyncio.run(engine._handle(Router(), b"caller", frames))  # type: ignore[arg-type]
    reply, _ = unpack(Reply, sent[0][1:])
    assert (sent[0][0], reply.id) == (b"caller", "a1")
    assert reply.fault is not None
    assert reply.fault.detail == "the engine could not read this call; its log says why"
    asyncio.run(engine._handle(Router(), b"caller", [memoryview(b"nothing")]))  # type: ignore[arg-type]
    assert len(sent) == 1
