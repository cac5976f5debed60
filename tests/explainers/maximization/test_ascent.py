"""An ascent that is cut anywhere and gone on with gives bit by bit what it gives in one go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import nets
import numpy as np
import pytest

from service.errors import DeadlineExceeded
from service.explainers.base import Explanation, Progress, Snapshot
from service.explainers.maximization import ascent
from service.models.loaded import LoadedModel

State = Mapping[str, np.ndarray]
# Five filters in groups of two; some of the last layer are dead at the start.
CASES: dict[str, dict[str, Any]] = {
    "chollet": {"preset": "chollet", "steps": 5},
    "dead starts": {"preset": "chollet", "steps": 19, "step_size": 30},
    "keras-io": {"preset": "keras-io", "steps": 4, "frames": 1},
    "keras-vis": {"preset": "keras-vis", "steps": 5, "frames": 3},
    "lucid": {"preset": "lucid", "steps": 5, "frames": 3},
}


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    built = nets.any_size_net(side=16)
    kernel, bias = built.get_layer("second").get_weights()
    built.get_layer("second").set_weights([kernel, bias + np.array([0, -1, 0, -1000, 0], np.float32)])
    return nets.loaded(built)


class Watch(Progress):
    """Keeps what it is told, and a snapshot of each call; may start from one."""

    def __init__(self, saved: State | None = None) -> None:
        self.saved = saved
        self.told: list[tuple[int, int, float | None]] = []
        self.snapshots: list[Snapshot] = []

    def __call__(
        self, done: int, total: int, loss: float | None = None, snapshot: Callable[[], Snapshot] | None = None
    ) -> None:
        self.told.append((done, total, loss))
        if snapshot is not None:
            self.snapshots.append(snapshot())

    def resume(self) -> State | None:
        return self.saved


def ask(model: LoadedModel, progress: Progress | None = None, chunk: int = 2, **params: Any) -> Explanation:
    image = np.zeros(model.input_shape.batch, np.float32)
    given = {"layer": "second", "channels": "0-4", **params}
    return nets.explain(model, "maximization", image, progress=progress, chunk=chunk, **given)


def same(first: Explanation, second: Explanation) -> None:
    assert list(first.arrays) == list(second.arrays)
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(array, second.arrays[name])
    assert first.statistics == second.statistics
    assert first.warnings == second.warnings


@pytest.mark.parametrize("case", CASES)
def test_cut_and_resumed(model: LoadedModel, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = ask(model, **CASES[case])
    watch = Watch()
    monkeypatch.setattr(ascent, "CALL_S", 0)
    same(expected, ask(model, watch, **CASES[case]))
    monkeypatch.undo()
    assert len(watch.snapshots) == 3 * CASES[case]["steps"]
    for snapshot in watch.snapshots[:: 1 if len(watch.snapshots) < 20 else 4]:
        readonly = {name: np.frombuffer(array.tobytes(), array.dtype) for name, array in snapshot.state.items()}
        saved = {name: array.reshape(snapshot.state[name].shape) for name, array in readonly.items()}
        same(expected, ask(model, Watch(saved), **CASES[case]))


def test_some_starts_are_dead_and_one_filter_is(model: LoadedModel) -> None:
    watch = Watch()
    found = ask(model, watch, **CASES["dead starts"])
    redirected = watch.snapshots[-1].state["redirected"]
    assert redirected[[1, 3]].all()
    assert not redirected.all()
    assert [row["name"] for row in found.statistics["images"] if row["dead"]] == ["3"]
    assert found.arrays["activation"][1] > 0.2


def test_a_job_of_other_groups_goes_on_with_those_it_had(model: LoadedModel) -> None:
    """A worker with more memory takes over: the group at work stays as it is, what it has to do becomes less."""
    watch = Watch()
    expected = ask(model, watch, **CASES["chollet"])
    taken_over = Watch(watch.snapshots[1].state)
    found = ask(model, taken_over, chunk=4, **CASES["chollet"])
    np.testing.assert_allclose(found.arrays["images"], expected.arrays["images"], rtol=1e-3, atol=0.3)
    assert taken_over.told[-1][:2] == (10, 10)


def test_what_is_told(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ascent, "CALL_S", 0)
    watch = Watch()
    found = ask(model, watch, **CASES["chollet"])
    assert [done for done, _, _ in watch.told] == list(range(1, 16))
    assert {total for _, total, _ in watch.told} == {15}
    history = found.arrays["history"]
    expected = [history[first : first + 2, step].mean() for first in (0, 2, 4) for step in range(5)]
    np.testing.assert_allclose([loss for _, _, loss in watch.told], expected, rtol=1e-5)


def test_a_call_takes_as_many_steps_as_fit(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ascent, "CALL_S", 1000)
    watch = Watch()
    ask(model, watch, chunk=5, layer="second:linear", steps=30)
    assert [done for done, _, _ in watch.told] == [30]
    watch = Watch()
    ask(model, watch, chunk=5, layer="second:linear", steps=30, frames=4)
    assert [done for done, _, _ in watch.told] == [10, 20, 30]


def test_previews_have_the_form_of_the_result(model: LoadedModel) -> None:
    watch = Watch()
    found = ask(model, watch, **CASES["lucid"])
    for snapshot in watch.snapshots:
        assert {name: array.shape for name, array in snapshot.preview.arrays.items()} == {
            name: array.shape for name, array in found.arrays.items()
        }
        assert snapshot.preview.titles == found.titles
        assert snapshot.preview.parameters == found.parameters
    same(watch.snapshots[-1].preview, found)
    assert watch.snapshots[0].preview.warnings == ()
    first = watch.snapshots[0].preview.arrays
    assert (first["images"][2:] == 127.5).all()
    assert (first["images"][:2].std(axis=(1, 2, 3)) > 0).all()
    assert not np.array_equal(first["images"][:2], found.arrays["images"][:2])


def test_frames_are_taken_along_the_way(model: LoadedModel) -> None:
    found = ask(model, preset="chollet", steps=6, frames=4)
    frames = found.arrays["frames"]
    assert (frames.shape, frames.dtype) == ((4, 5, 16, 16, 3), np.uint8)
    halfway = ask(model, preset="chollet", steps=4, frames=1)
    np.testing.assert_array_equal(frames[2], halfway.arrays["frames"][0])
    one = ask(model, preset="chollet", steps=6, frames=1)
    np.testing.assert_array_equal(frames[3], one.arrays["frames"][0])
    assert "frames" not in ask(model, preset="chollet", steps=2).arrays


def test_a_stopped_ascent_leaves_no_trace(model: LoadedModel) -> None:
    class Stop(Progress):
        def __call__(self, *_: Any) -> None:
            raise DeadlineExceeded("stop")

    before = nets.state(model.keras_model)
    with pytest.raises(DeadlineExceeded):
        ask(model, Stop(), preset="lucid")
    assert nets.state(model.keras_model) == before
