"""The engine itself, in this process: what it does when the device has too little memory, and what it compiles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.engine import server
from service.engine.batching import Caller
from service.engine.protocol import Call
from service.engine.server import Engine
from service.errors import OutOfMemory
from service.explainers.base import Progress
from service.models.freezing import COPIES
from service.models.loaded import LoadedModel
from service.models.work import Work
from tests.conftest import engine_config

IMAGE = {"image": np.random.default_rng(0).integers(0, 256, (28, 28, 3), np.uint8)}
OCCLUSION = {"name": "occlusion", "params": {"patch": 6, "stride": 2}}


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


def explain(engine: Engine, model: LoadedModel, method: dict[str, Any]) -> NDArray[Any]:
    payload = {"model": "shapes", "methods": [method], "preprocess": True, "top": 1}
    call = Call(id="a", op="explain", deadline_s=60, payload=payload)
    _, arrays = engine._explain(model, call, IMAGE, Caller("a"), Progress())
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
    expected = explain(engine, shapes, OCCLUSION)
    tried = limited(shapes, monkeypatch, most=16)
    np.testing.assert_allclose(explain(engine, shapes, OCCLUSION), expected, atol=1e-6)
    assert tried[:2] == [1, 64], "as large as ever"
    assert set(tried[2:]) <= {1, 16} | set(range(1, 16))


def test_still_too_little_is_told(engine: Engine, shapes: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(shapes, monkeypatch, most=0)
    with pytest.raises(OutOfMemory):
        explain(engine, shapes, OCCLUSION)


def test_usual_calls_find_their_plans_compiled(engine: Engine, shapes: LoadedModel) -> None:
    shapes.backend.plans.release()
    engine._warm_up("shapes")
    traces = shapes.backend.traces
    for name in ("predict", "cam", "saliency"):
        method = {"name": name, "params": {}}
        payload = {"model": "shapes", "methods": [method], "preprocess": True, "top": 1}
        engine._explain(
            shapes, Call(id="a", op="explain", deadline_s=60, payload=payload), IMAGE, Caller("a"), Progress()
        )
    assert shapes.backend.traces == traces


def test_copies_of_weights_are_counted(engine: Engine, shapes: LoadedModel) -> None:
    shapes.backend.plans.release()
    without = engine._registry.warm_bytes
    engine._warm_up("shapes")
    # Three plans, each with all weights of 0.7 MB, as often as TensorFlow keeps them.
    assert engine._registry.warm_bytes - without == shapes.backend.plans.frozen_bytes
    assert 2 * COPIES * shapes.weight_bytes < shapes.backend.plans.frozen_bytes <= 3 * COPIES * shapes.weight_bytes
