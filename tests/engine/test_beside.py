"""What stays beside the models is told from what steps take and free."""

from __future__ import annotations

from dataclasses import dataclass

from service.engine.beside import LOOKS, Beside


@dataclass(frozen=True)
class Models:
    warm_bytes: int = 90
    loading: bool = False


def test_what_is_there_at_every_look_stays() -> None:
    beside = Beside(most=100)
    steps = [40, 12, 70, 15, *[30] * LOOKS]
    found = [beside.lasting(90 + each, Models()) for each in steps[:LOOKS]]
    assert found == [None] * (LOOKS - 1) + [12]


def test_looks_begin_anew_when_there_is_room_or_a_model_is_loaded() -> None:
    beside = Beside(most=100)
    for held, models in ((100, Models()), (190, Models(loading=True)), (100, Models())):
        assert [beside.lasting(110, Models()) for _ in range(LOOKS - 1)] == [None] * (LOOKS - 1)
        assert beside.lasting(held, models) is None


def test_looks_begin_anew_when_it_was_told() -> None:
    beside = Beside(most=100)
    found = [beside.lasting(110, Models()) for _ in range(2 * LOOKS)]
    assert [place for place, each in enumerate(found, start=1) if each is not None] == [LOOKS, 2 * LOOKS]
