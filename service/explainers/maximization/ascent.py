"""The ascent itself: groups of images, a call of some steps at a time, all it needs to go on in one dictionary."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.arrays import Floats
from service.explainers.base import Explanation, Progress, Snapshot
from service.explainers.maximization.display import displayed, frame_shape, shrunk
from service.explainers.maximization.plans import Plans, State
from service.explainers.maximization.presets import REDIRECTED_STEPS

if TYPE_CHECKING:
    from service.models.backends.interface import ReluRule

Rows = NDArray[np.intp]
CALL_S = 0.1
GREY = 127.5


class Ascent:
    """Raises the objective of `plans` for every image, `group` of them at a time.

    The state holds an entry an image (`images` (n, h, w, c) RGB levels, `history` (n, steps), `start` and `activation`
    (n,), `alive` and `redirected` (n,) bool, `frames` (f, n, h', w', c) uint8), what the plans carry for the images of
    the group at work, and `place`: its first image, the one behind its last, and the steps it has taken.
    """

    def __init__(
        self, plans: Plans, group: int, given: Floats | None, explained: Callable[[State], Explanation]
    ) -> None:
        self._plans = plans
        self._recipe = plans.recipe
        self._objective = plans.objective
        self._count = len(plans.objective.names)
        self._group = group
        self._given = given
        self._explained = explained
        self._effective = plans.recipe.reported()
        shape = (self._count, *self._recipe.size, self._recipe.colours)
        self._frames, self._shrink = frame_shape(self._recipe.frames, shape, self._effective)
        self._frame_steps = np.rint(np.linspace(self._recipe.steps, 0, self._recipe.frames))[::-1].astype(int)
        self._steps_a_call = 1
        self._fastest_s: dict[int, float] = {}

    def run(self, progress: Progress) -> State:
        """The state at the end. What comes of it depends neither on how calls are cut nor on being resumed."""
        saved = progress.resume()
        state = {name: np.array(array) for name, array in saved.items()} if saved else self._fresh()
        while state["place"][0] < self._count:
            loss = self._call(state)
            if state["place"][2] == self._recipe.steps:
                self._finish(state)
            progress(*self._done(state), loss, lambda: self._snapshot(state))
        return state

    def _fresh(self) -> State:
        recipe, count = self._recipe, self._count
        shape = (count, *recipe.size, recipe.colours)
        state: State = {
            "images": np.full(shape, GREY, np.float32),
            "history": np.zeros((count, recipe.steps), np.float32),
            "start": np.zeros(count, np.float32),
            "activation": np.zeros(count, np.float32),
            "alive": np.zeros(count, np.bool_),
            "redirected": np.zeros(count, np.bool_),
            "frames": np.zeros(self._frames, np.uint8),
        }
        self._begin(state, 0)
        return state

    def _begin(self, state: State, first: int) -> None:
        """Puts the group from image `first` on at its start; after the last one there is nothing to carry."""
        last = min(first + self._group, self._count)
        state["place"] = np.array([first, last, 0], np.int64)
        starts = [self._plans.canvas.start(seed, self._given) for seed in self._objective.seeds[first:last]]
        shape = (last - first, *self._plans.canvas.shape)
        state |= self._plans.begin(np.array(starts, np.float32).reshape(shape))
        if starts:
            state["images"][first:last], state["start"][first:last] = self._seen(state)
            self._take_frame(state)
            _, _, slopes = self._climbed(state, np.arange(last - first), None, range(1))
            state["redirected"][first:last] = slopes[0] == 0
            state["alive"][first:last] = slopes[0] != 0

    def _call(self, state: State) -> float:
        """Some steps of the group at work: how many fit in 0.1 s. Gives the mean objective before the last of them."""
        first, last, at = (int(number) for number in state["place"])
        redirected = state["redirected"][first:last] & (at < REDIRECTED_STEPS)
        bounds = [at + self._steps_a_call, self._recipe.steps, *self._frame_steps[self._frame_steps > at]]
        steps = range(at, min(*bounds, REDIRECTED_STEPS) if redirected.any() else min(bounds))
        parts: list[tuple[ReluRule | None, NDArray[np.bool_]]] = [(None, ~redirected), ("redirected", redirected)]
        for rule, rows in parts:
            if rows.any():
                self._climb(state, np.flatnonzero(rows), rule, steps)
        state["place"] = np.array([first, last, steps.stop], np.int64)
        self._take_frame(state)
        return float(state["history"][first:last, steps.stop - 1].mean())

    def _climb(self, state: State, rows: Rows, rule: ReluRule | None, steps: range) -> None:
        """Takes steps with those images of the group that are at `rows`."""
        after, history, slopes = self._climbed(state, rows, rule, steps)
        for name, values in after.items():
            state[name] = state[name].copy()
            state[name][rows] = values
        images = rows + state["place"][0]
        state["history"][images, steps.start : steps.stop] = history.T
        state["alive"][images] |= history.any(axis=0) | (slopes.any(axis=0) & (rule is None))

    def _climbed(self, state: State, rows: Rows, rule: ReluRule | None, steps: range) -> tuple[State, Floats, Floats]:
        """What these steps come to, and from how long they took the number of steps that a call may take.

        The fastest call of as many images counts: others may have waited for the device.
        """
        images = rows + state["place"][0]
        part = {name: state[name][rows] for name in self._plans.carried}
        channels = [self._objective.seeds[image] for image in images]
        started = time.perf_counter()
        found = self._plans.climb(rule, part, self._objective.weights[images], channels, steps)
        each = (time.perf_counter() - started) / len(steps)
        self._fastest_s[len(rows)] = each = min(each, self._fastest_s.get(len(rows), each))
        self._steps_a_call = max(1, int(CALL_S / each))
        return found

    def _finish(self, state: State) -> None:
        """Keeps what the group has come to, and begins the next."""
        first, last, _ = state["place"]
        if self._recipe.best:
            state["parameters"] = state["best"]
        state["images"][first:last], state["activation"][first:last] = self._seen(state)
        state["alive"][first:last] |= state["activation"][first:last] != 0
        self._begin(state, int(last))

    def _seen(self, state: State) -> tuple[Floats, Floats]:
        """RGB levels and objectives of the group's images, as they are."""
        first, last, _ = state["place"]
        levels, values, _ = self._plans.look(state["parameters"], self._objective.weights[first:last])
        return levels, values

    def _take_frame(self, state: State) -> None:
        first, last, at = state["place"]
        places = np.flatnonzero(self._frame_steps == at)
        if len(places):
            state["frames"][places, first:last] = shrunk(displayed(self._seen(state)[0], self._effective), self._shrink)

    def _done(self, state: State) -> tuple[int, int]:
        """Steps taken and steps in all, each of a whole group."""
        first, _, at = state["place"]
        steps = self._recipe.steps
        return -(-int(first) // self._group) * steps + int(at), -(-self._count // self._group) * steps

    def _snapshot(self, state: State) -> Snapshot:
        kept = {name: array.copy() for name, array in state.items()}
        shown = {**kept, **{name: kept[name].copy() for name in ("images", "activation", "alive")}}
        first, last, _ = state["place"]
        # Whether an image is dead is only known at its end.
        shown["alive"][first:] = True
        if first < self._count:
            shown["images"][first:last], shown["activation"][first:last] = self._seen(state)
        return Snapshot(kept, self._explained(shown))
