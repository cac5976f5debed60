"""The registry under any order of uses, ends, unloads and failures: what holds of it always holds."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from service.errors import ModelNotLoadable
from service.models.files.spec import ModelSpec
from tests.models.test_registry import IDS, Loader, registry

BUDGET = 250
SIZES = {"a": 100, "b": 100, "c": 120, "d": 240}
names = st.sampled_from(IDS)


@pytest.fixture(autouse=True, scope="module")
def few_objects() -> Iterator[None]:
    """Collections pass over what other tests have left, as in an engine, whenever a model goes."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


class Warm(RuleBasedStateMachine):
    """`held` are uses that have not ended, with the model each of them got; `bad` fail to load for now."""

    @initialize(pinned=st.sets(st.sampled_from(("a", "b")), max_size=1))
    def start(self, pinned: set[str]) -> None:
        self.bad: set[str] = set()
        self.load = Loader(self._fail, SIZES)
        self.pinned = pinned
        self.registry = registry(self.load, BUDGET, tuple(pinned))
        self.held: list[tuple[str, AbstractContextManager[Any], Any]] = []

    def _fail(self, spec: ModelSpec) -> None:
        if spec.id in self.bad:
            raise ModelNotLoadable(f"{spec.id} is bad")

    @rule(name=names)
    def begin(self, name: str) -> None:
        use = self.registry.use(name)
        was_warm = self.registry.is_warm(name)
        loads = len(self.load.loaded)
        if name in self.bad and not was_warm:
            with pytest.raises(ModelNotLoadable, match="is bad"):
                use.__enter__()
            assert self.registry.status()[name].state == "failed"
        else:
            self.held.append((name, use, use.__enter__()))
            assert (len(self.load.loaded) == loads) == was_warm, "a warm model is not loaded again"

    @rule(place=st.integers(0, 20))
    def end(self, place: int) -> None:
        if self.held:
            name, use, model = self.held.pop(place % len(self.held))
            assert model.spec.id == name
            use.__exit__(None, None, None)

    @rule(name=names)
    def unload(self, name: str) -> None:
        in_use = any(held == name for held, _, _ in self.held)
        warm = self.registry.is_warm(name)
        assert self.registry.unload(name) == (warm and not in_use)
        assert self.registry.is_warm(name) == (warm and in_use)

    @rule()
    def evict(self) -> None:
        self.registry.evict_idle()
        kept = {held for held, _, _ in self.held} | self.pinned
        assert {name for name in IDS if self.registry.is_warm(name)} <= kept

    @rule(name=names)
    def break_or_mend(self, name: str) -> None:
        self.bad ^= {name}

    @invariant()
    def a_model_in_use_is_warm_and_the_same(self) -> None:
        for name, _, model in getattr(self, "held", ()):
            assert self.registry.is_warm(name)
            assert model.spec.id == name
            assert self.registry.status()[name].users == sum(held == name for held, _, _ in self.held)

    @invariant()
    def the_budget_holds_but_for_what_is_in_use(self) -> None:
        if not hasattr(self, "registry"):
            return
        warm = {name for name in IDS if self.registry.is_warm(name)}
        assert self.registry.warm_bytes == sum(SIZES[name] for name in warm)
        fixed = {held for held, _, _ in self.held} | self.pinned
        assert self.registry.warm_bytes <= max(BUDGET, sum(SIZES[name] for name in fixed) + max(SIZES.values()))

    def teardown(self) -> None:
        # What is left to the collector ends at any moment, in the midst of another machine's locks too.
        for _, use, _ in getattr(self, "held", ()):
            use.__exit__(None, None, None)


TestWarm = Warm.TestCase
TestWarm.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
