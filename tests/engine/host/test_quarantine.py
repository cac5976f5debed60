"""A model whose calls end the engine is computed no more; one that was only beside it is."""

from __future__ import annotations

import pytest

from service.engine.host.client import Quarantine
from service.errors import ModelQuarantined


def test_twice_in_a_row() -> None:
    quarantine = Quarantine()
    quarantine.died("bad", "cam")
    quarantine.require_free("bad")
    quarantine.died("bad", "cam")
    with pytest.raises(ModelQuarantined, match="2 times in a row while it computed the model 'bad'"):
        quarantine.require_free("bad")
    quarantine.require_free("good")
    assert quarantine.models == {"bad"}


def test_an_answer_in_between() -> None:
    quarantine = Quarantine()
    for _ in range(5):
        quarantine.died("model", "cam")
        quarantine.answered("model", "cam")
    quarantine.require_free("model")
    assert quarantine.models == frozenset()


def test_an_answer_to_another_question_does_not_help() -> None:
    quarantine = Quarantine()
    quarantine.died("bad", "occlusion")
    quarantine.answered("bad", "predict")
    quarantine.died("bad", "occlusion")
    with pytest.raises(ModelQuarantined):
        quarantine.require_free("bad")


def test_another_chance() -> None:
    quarantine = Quarantine()
    for _ in range(2):
        quarantine.died("bad", "cam")
    quarantine.release("bad")
    assert quarantine.models == frozenset()
    quarantine.require_free("bad")
    quarantine.died("bad", "cam")
    quarantine.require_free("bad")


def test_deaths_before_any_call_count_in_a_row_only() -> None:
    """An engine that was killed while it loaded a model, which answered since, did not die of it twice in a row."""
    quarantine = Quarantine()
    for kind in ("load", "warm-up"):
        quarantine.died("net", kind)
        quarantine.answered("net", "explain cam")
        quarantine.died("net", kind)
        quarantine.answered("net", "explain predict")
        quarantine.require_free("net")
    quarantine.died("net", "load")
    quarantine.died("net", "load")
    assert quarantine.models == {"net"}
