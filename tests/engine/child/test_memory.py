"""What stays beside the models is told from what steps take and free."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from service.engine.child import memory
from service.engine.child.memory import LOOKS, Memory


@dataclass
class Models:
    warm_bytes: int = 90
    loading: bool = False
    beside_bytes: int = 0

    def fit(self) -> None:
        raise AssertionError("looking drops nothing")


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the process holds beyond its bare 1000 bytes, one figure a look."""
    figures: list[int] = []
    monkeypatch.setattr(memory, "resident_bytes", lambda: 1000 + figures.pop(0))
    return figures


def test_what_is_there_at_every_look_stays(held: list[int]) -> None:
    process = Memory(Models(), 1000, most=100)
    held += [90 + each for each in [40, 12, 70, 15, *[30] * LOOKS][:LOOKS]]
    assert [process.lasts() for _ in range(LOOKS)] == [False] * (LOOKS - 1) + [True]
    assert process.library_bytes == 12


def test_looks_begin_anew_when_there_is_room_or_a_model_is_loaded(
    held: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Memory(Models(), 1000, most=100)
    for at_last, models in ((100, Models()), (190, Models(loading=True)), (100, Models())):
        held += [110] * (LOOKS - 1) + [at_last]
        assert [process.lasts() for _ in range(LOOKS - 1)] == [False] * (LOOKS - 1)
        monkeypatch.setattr(process, "_models", models)
        assert not process.lasts()
        monkeypatch.setattr(process, "_models", Models())


def test_looks_begin_anew_when_it_was_told(held: list[int]) -> None:
    process = Memory(Models(), 1000, most=100)
    held += [110] * (2 * LOOKS)
    found = [process.lasts() for _ in range(2 * LOOKS)]
    assert [place for place, lasts in enumerate(found, start=1) if lasts] == [LOOKS, 2 * LOOKS]
