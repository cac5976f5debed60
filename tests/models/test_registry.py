"""Warm models: single-flight loading, eviction, failures."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import nets
import numpy as np
import pytest

from service.errors import ModelNotLoadable, OutOfMemory, UnknownModel, WeightsUnavailable
from service.models.backends.tensorflow import TensorFlowBackend
from service.models.files.library import Library
from service.models.files.spec import ModelSpec
from service.models.loaded import LoadedModel
from service.models.registry import Registry

pytestmark = pytest.mark.usefixtures("frozen")
IDS = ("a", "b", "c", "d")
SIZE = 100


@cache
def pencil() -> LoadedModel:
    return nets.loaded(nets.pencil())


def model_of(spec: ModelSpec, weight_bytes: int = SIZE) -> LoadedModel:
    return replace(pencil(), spec=spec, weight_bytes=weight_bytes)


class Loader:
    """Counts what is loaded; `hook` may block or raise."""

    def __init__(self, hook: Callable[[ModelSpec], None] = lambda spec: None, sizes: dict[str, int] | None = None):
        self.loaded: list[str] = []
        self.hook = hook
        self.sizes = sizes or {}

    def __call__(self, spec: ModelSpec) -> LoadedModel:
        self.loaded.append(spec.id)
        self.hook(spec)
        return model_of(spec, self.sizes.get(spec.id, SIZE))


def registry(load: Loader, budget: int = 1000, pinned: tuple[str, ...] = ()) -> Registry:
    specs = {name: ModelSpec(id=name, weights=f"{name}.keras", folder=Path()) for name in IDS}
    return Registry(
        Library(shipped=specs), load, budget_bytes=budget, pinned=frozenset(pinned), describe=lambda model: None
    )


def use(warm: Registry, *names: str) -> None:
    for name in names:
        with warm.use(name):
            pass


def states(warm: Registry) -> dict[str, str]:
    return {name: row.state for name, row in warm.status().items()}


def test_loading_is_single_flight() -> None:
    load = Loader(lambda spec: time.sleep(0.05))
    warm = registry(load)
    barrier = threading.Barrier(16)

    def work(_: int) -> int:
        barrier.wait()
        with warm.use("a") as model:
            return id(model)

    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(work, range(16)))
    assert load.loaded == ["a"]
    assert len(found) == 1
    assert warm.status()["a"].users == 0


def test_different_models_load_at_the_same_time() -> None:
    meet = threading.Barrier(2, timeout=10)
    warm = registry(Loader(lambda spec: meet.wait() and None))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: use(warm, name), ("a", "b")))
    assert states(warm) == {"a": "warm", "b": "warm"}


def test_the_least_recently_used_is_evicted() -> None:
    load = Loader()
    warm = registry(load, budget=2 * SIZE)
    use(warm, "a", "b", "a", "c")
    assert states(warm) == {"a": "warm", "b": "cold", "c": "warm"}
    assert warm.warm_bytes == 2 * SIZE
    use(warm, "b")
    assert states(warm) == {"a": "cold", "b": "warm", "c": "warm"}
    assert load.loaded == ["a", "b", "c", "b"]


def test_one_large_model_evicts_several() -> None:
    warm = registry(Loader(sizes={"d": 250}), budget=300)
    use(warm, "a", "b", "c", "d")
    assert states(warm) == {"a": "cold", "b": "cold", "c": "cold", "d": "warm"}


def with_plans(budget: int, plans: dict[str, int], pinned: tuple[str, ...] = ()) -> tuple[Registry, dict[str, int]]:
    """Models that each were given so many plans of one size in turn, and how many of them each has left."""
    load = Loader()

    def loaded(spec: ModelSpec) -> LoadedModel:
        return replace(load(spec), backend=TensorFlowBackend(grown=lambda: warm.fit(keep=spec.id)))

    specs = {name: ModelSpec(id=name, weights=f"{name}.keras", folder=Path()) for name in IDS}
    warm = Registry(
        Library(shipped=specs), loaded, budget_bytes=budget, pinned=frozenset(pinned), describe=lambda model: None
    )
    for name, count in plans.items():
        for number in range(count):
            with warm.use(name) as model:
                compiled(model, number)
    return warm, {name: row.plans for name, row in warm.status().items() if row.state == "warm"}


def compiled(model: LoadedModel, key: int) -> None:
    model.backend.compiled(key, lambda x: 2 * x, [((None, 2), "float32")])


@cache
def plan_bytes() -> int:
    model = replace(pencil(), backend=TensorFlowBackend())
    compiled(model, 0)
    return model.backend.plans.bytes


def test_the_least_used_plans_go_first_and_then_models() -> None:
    one = plan_bytes()
    assert with_plans(2 * SIZE + 5 * one, {"a": 3, "b": 2})[1] == {"a": 3, "b": 2}
    assert with_plans(2 * SIZE + 4 * one, {"a": 3, "b": 2})[1] == {"a": 2, "b": 2}
    assert with_plans(2 * SIZE + 2 * one, {"a": 3, "b": 2})[1] == {"a": 0, "b": 2}
    # The first model was last used before the second's plans were: it goes before these.
    assert with_plans(SIZE + 2 * one, {"a": 3, "b": 2})[1] == {"b": 2}
    assert with_plans(SIZE + one, {"a": 3, "b": 2})[1] == {"b": 1}
    assert with_plans(2 * SIZE + one, {"a": 3, "b": 2}, pinned=("a",))[1] == {"a": 0, "b": 1}
    # Alone a model has as many as there is room for.
    assert with_plans(SIZE + 3 * one, {"a": 9})[1] == {"a": 3}


def test_what_else_there_is_takes_of_the_room_and_half_of_it_at_most() -> None:
    """A model of nearly no size has four plans, with room for just these; `beside` counts halves of a plan."""
    warm, _ = with_plans(SIZE + 4 * plan_bytes(), {"a": 4})
    left = []
    for beside in (0, 1, 2, 3, 1000):
        warm.beside_bytes = beside * plan_bytes() // 2
        warm.fit()
        left.append(warm.status()["a"].plans)
    assert left == [4, 3, 3, 2, 1]


def test_too_little_room_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    warm, _ = with_plans(SIZE, {})
    said = []
    for key in range(3):
        with warm.use("a") as model:
            compiled(model, key)
        said.append(capsys.readouterr().out.count("too little room for what is in use"))
    assert said == [1, 0, 0]


def test_the_plan_that_a_call_runs_stays_beyond_the_budget() -> None:
    warm, _ = with_plans(SIZE, {})
    with warm.use("a") as model:
        for key in range(3):
            compiled(model, key)
            assert warm.status()["a"].plans == 1
        assert model.backend.traces == 3
        assert warm.warm_bytes == SIZE + plan_bytes()
    assert warm.status()["a"].plans == 0
    assert warm.warm_bytes == SIZE


def test_a_plan_that_is_asked_for_again_outlives_younger_ones() -> None:
    warm, _ = with_plans(SIZE + 2 * plan_bytes(), {"a": 2})
    with warm.use("a") as model:
        compiled(model, 0)
        compiled(model, 2)
        assert model.backend.traces == 3
        compiled(model, 0)
        assert model.backend.traces == 3
        compiled(model, 1)
        assert model.backend.traces == 4


def test_pinned_models_stay() -> None:
    warm = registry(Loader(), budget=2 * SIZE, pinned=("a",))
    use(warm, "a", "b", "c", "d")
    assert states(warm) == {"a": "warm", "b": "cold", "c": "cold", "d": "warm"}
    assert warm.status()["a"].pinned
    assert not warm.status()["d"].pinned


def test_a_model_in_use_is_never_evicted() -> None:
    warm = registry(Loader(), budget=SIZE)
    with warm.use("a") as first:
        use(warm, "b")
        assert states(warm) == {"a": "warm", "b": "warm"}
        assert not warm.unload("a")
        with warm.use("a") as again:
            assert again is first
            assert warm.status()["a"].users == 2
    # Beyond the budget only as long as it was in use.
    assert states(warm) == {"a": "warm", "b": "cold"}
    assert warm.warm_bytes == SIZE


def test_an_idle_model_goes_where_the_oldest_is_in_use() -> None:
    warm = registry(Loader(), budget=2 * SIZE)
    with warm.use("a"):
        use(warm, "b", "c")
        assert states(warm) == {"a": "warm", "b": "cold", "c": "warm"}


def test_nobody_is_idle_while_a_model_is_loaded() -> None:
    found: list[tuple[bool, bool]] = []
    warm = registry(Loader(lambda spec: found.append((warm.idle, warm.loading))))
    assert warm.idle
    use(warm, "a")
    assert found == [(False, True)]
    assert warm.idle
    assert not warm.loading


def test_unload() -> None:
    load = Loader()
    warm = registry(load)
    use(warm, "a")
    assert warm.unload("a")
    assert states(warm) == {"a": "cold"}
    assert not warm.unload("a")
    assert not warm.unload("b")
    assert not warm.unload("one that was deleted")
    use(warm, "a")
    assert load.loaded == ["a", "a"]


def test_a_failure_keeps_its_reason_and_is_tried_again() -> None:
    problems = [OutOfMemory("too little"), ModelNotLoadable("truncated")]

    def hook(spec: ModelSpec) -> None:
        if problems:
            raise problems.pop(0)

    warm = registry(Loader(hook))
    for error, reason in ((OutOfMemory, "too little"), (ModelNotLoadable, "truncated")):
        with pytest.raises(error, match=reason):
            use(warm, "a")
        assert warm.status()["a"].state == "failed"
        assert warm.status()["a"].last_error == reason
    use(warm, "a")
    assert warm.status()["a"].state == "warm"
    assert warm.status()["a"].last_error is None


def test_a_failure_is_told_only_of_the_files_that_failed(tmp_path: Path) -> None:
    def hook(spec: ModelSpec) -> None:
        raise ModelNotLoadable("truncated")

    file = tmp_path / "a.keras"
    file.write_bytes(b"first")
    warm = Registry(Library(tmp_path, shipped={}), Loader(hook), budget_bytes=1000, describe=lambda model: None)
    for content, after in ((b"second", "cold"), (None, "cold")):
        with pytest.raises(ModelNotLoadable):
            use(warm, "a")
        assert (warm.status()["a"].state, warm.status()["a"].last_error) == ("failed", "truncated")
        file.write_bytes(content) if content else file.unlink()
        assert (warm.status()["a"].state, warm.status()["a"].last_error) == (after, None)


def test_a_failed_download_is_remembered_for_a_minute() -> None:
    def hook(spec: ModelSpec) -> None:
        raise WeightsUnavailable("no network")

    load = Loader(hook)
    warm = registry(load)
    for _ in range(5):
        with pytest.raises(WeightsUnavailable, match="no network") as caught:
            use(warm, "a")
        assert caught.value.retry_after_s in (59, 60)
    assert load.loaded == ["a"]
    with pytest.raises(WeightsUnavailable), warm.use("a", again=True):
        pass
    assert load.loaded == ["a", "a"]


def test_one_attempt_serves_all_who_wait() -> None:
    def hook(spec: ModelSpec) -> None:
        time.sleep(0.3)
        raise ModelNotLoadable("truncated")

    load = Loader(hook)
    warm = registry(load)
    barrier = threading.Barrier(8)

    def work(_: int) -> str:
        barrier.wait()
        with pytest.raises(ModelNotLoadable) as caught, warm.use("a", again=True):
            pass
        return caught.value.detail

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == ["truncated"] * 8
    assert load.loaded == ["a"]


def test_what_was_built_before_a_load_failed_is_freed() -> None:
    """Neither the error that was raised nor the one that is kept holds it by its traceback."""
    built: list[weakref.ref[np.ndarray]] = []

    def hook(spec: ModelSpec) -> None:
        network = np.zeros(1000)
        network_of_itself = [network]
        network_of_itself.append(network_of_itself)
        built.append(weakref.ref(network))
        raise ValueError("truncated") from KeyError(network.shape)

    warm = registry(Loader(hook))
    with pytest.raises(ModelNotLoadable) as caught:
        use(warm, "a")
    assert [each() for each in built] == [None]
    assert caught.value.__context__ is None
    assert warm.status()["a"].state == "failed"


def test_looking_into_a_cold_model_leaves_it_cold(tmp_path: Path) -> None:
    (tmp_path / "a.keras").write_bytes(b"one")
    spec = ModelSpec(id="a", weights="a.keras", folder=tmp_path)
    load = Loader()
    warm = Registry(Library(shipped={"a": spec}), load, budget_bytes=1000, describe=lambda model: {"id": model.spec.id})
    for _ in range(3):
        assert warm.details("a") == {"id": "a"}
        assert states(warm) == {"a": "cold"}
    assert load.loaded == ["a"]
    (tmp_path / "a.keras").write_bytes(b"another")
    assert warm.details("a") == {"id": "a"}
    assert load.loaded == ["a", "a"], "the file is another"
    use(warm, "a")
    assert states(warm) == {"a": "warm"}
    assert warm.unload("a")
    assert warm.details("a") == {"id": "a"}
    assert load.loaded == ["a", "a", "a"], "what was found stays known when it is cold again"


def test_what_would_be_downloaded_is_not_looked_into() -> None:
    spec = ModelSpec(id="a", source="application", application="VGG16", weights="imagenet")
    load = Loader()
    warm = Registry(Library(shipped={"a": spec}), load, budget_bytes=1000, describe=lambda model: None)
    assert warm.details("a") is None
    assert load.loaded == []


def test_what_nobody_foresaw_is_not_shown() -> None:
    def hook(spec: ModelSpec) -> None:
        raise ZeroDivisionError("internals")

    warm = registry(Loader(hook))
    with pytest.raises(ModelNotLoadable, match="model 'a' could not be loaded; the log of the service says why"):
        use(warm, "a")
    assert "internals" not in str(warm.status())


def test_larger_than_the_budget() -> None:
    warm = registry(Loader(sizes={"b": 501}), budget=500)
    use(warm, "a")
    with pytest.raises(ModelNotLoadable, match=r"model 'b' needs 501 bytes .* \(500; setting KERASCOPE_REGISTRY_BYTES"):
        use(warm, "b")
    assert states(warm) == {"a": "warm", "b": "failed"}


def test_an_exception_in_the_block_frees_the_model() -> None:
    warm = registry(Loader())
    with pytest.raises(ZeroDivisionError), warm.use("a"):
        raise ZeroDivisionError
    assert asdict(warm.status()["a"]) == {
        "state": "warm",
        "pinned": False,
        "users": 0,
        "weight_bytes": SIZE,
        "folded_bytes": 0,
        "layer_bytes": 0,
        "plan_bytes": 0,
        "plans": 0,
        "traces": pencil().backend.traces,
        "last_error": None,
    }


def test_states_while_loading() -> None:
    entered, release = threading.Event(), threading.Event()

    def hook(spec: ModelSpec) -> None:
        entered.set()
        release.wait(10)

    warm = registry(Loader(hook))
    assert warm.status() == {}
    thread = threading.Thread(target=use, args=(warm, "a"))
    thread.start()
    assert entered.wait(10)
    assert states(warm) == {"a": "loading"}
    assert warm.status()["a"].weight_bytes is None
    assert not warm.unload("a")
    release.set()
    thread.join(10)
    assert states(warm) == {"a": "warm"}


def test_unknown_model() -> None:
    warm = registry(Loader())
    with pytest.raises(UnknownModel, match="there is no model 'nonsense'"):
        use(warm, "nonsense")
    assert warm.status() == {}


def test_under_load_no_model_vanishes_from_its_user() -> None:
    warm = registry(Loader(), budget=2 * SIZE)

    def work(start: int) -> None:
        for step in range(8):
            name = IDS[(start + step * 3) % 4]
            with warm.use(name) as model:
                assert model.spec.id == name
                assert warm.status()[name].state == "warm"

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert {row.users for row in warm.status().values()} == {0}
    assert warm.warm_bytes <= 2 * SIZE
