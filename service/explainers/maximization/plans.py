"""The two compiled functions of an ascent: to look where it is, and to climb."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from service.arrays import Array, Floats
from service.explainers.maximization.canvas import Canvas
from service.explainers.maximization.colours import ColourMap
from service.explainers.maximization.moves import moved, moves
from service.explainers.maximization.objectives import Objective
from service.explainers.maximization.optimizers import MOMENTS, penalty, step
from service.explainers.maximization.recipe import Recipe

if TYPE_CHECKING:
    from service.arrays import Value
    from service.models.backends.interface import Backend, Plan, ReluRule
    from service.models.graph.graph import Graph

State = dict[str, Array]
LOWEST = np.finfo(np.float32).min


@dataclass(frozen=True, eq=False)
class Plans:
    """Compiled for a layer, a size and a recipe; channels, weights, steps and random numbers are arguments."""

    backend: Backend
    graph: Graph
    objective: Objective
    recipe: Recipe
    colours: ColourMap

    @property
    def canvas(self) -> Canvas:
        return Canvas(self.recipe)

    @property
    def carried(self) -> tuple[str, ...]:
        """Names of what goes from one step to the next, an entry an image."""
        return ("parameters", "moments", "best", "best_value") if self.recipe.best else ("parameters", "moments")

    def begin(self, parameters: Floats) -> State:
        """What is carried before the first step, for parameters (b, …)."""
        count = len(parameters)
        state: State = {"parameters": parameters}
        state["moments"] = np.zeros((count, MOMENTS[self.recipe.optimizer], *self.canvas.shape), np.float32)
        if self.recipe.best:
            state |= {"best": parameters.copy(), "best_value": np.full(count, LOWEST, np.float32)}
        return state

    def look(self, parameters: Floats, weights: Floats) -> tuple[Floats, Floats, tuple[int, ...]]:
        """Parameters (b, …) and weights (b, m) → RGB levels (b, h, w, c), objectives (b,), and the shape of the
        objective's tensor. Nothing is moved. Raises what the network raises for a size it does not take.
        """
        ops, canvas = self.backend.ops, self.canvas

        def looks(cell: Value, matrix: Value, offset: Value, weights: Value, parameters: Value) -> Value:
            values = canvas.values(ops, parameters)
            value = self._value(values, (matrix, offset), None)
            features = self.objective.features(ops, value, cell, self.recipe.border)
            return canvas.levels(values), ops.sum(features * weights, axis=1), ops.shape(value)[1:]

        signature = [*self._fixed_signature, ((None, *canvas.shape), "float32")]
        plan = self.backend.compiled(("look", *self._key), looks, signature, shared=False)
        levels, found, *shape = plan(*self._fixed, weights, parameters)
        return levels, found, tuple(int(size) for size in shape)

    def climb(
        self, rule: ReluRule | None, state: State, weights: Floats, channels: Sequence[int], steps: range
    ) -> tuple[State, Floats, Floats]:
        """Takes `steps`: what is carried after them, and before each the objectives and the gradients' largest
        values, both (steps, b).

        The gradient is that of the objective with respect to the parameters, without penalties.
        """
        recipe = self.recipe
        tuning = np.array([recipe.step_size, recipe.total_variation, recipe.l2, recipe.lp], np.float32)
        inputs = [np.arange(steps.start, steps.stop, dtype=np.float32)]
        if recipe.moves:
            inputs.append(moves(recipe, channels, steps))
        carried = [state[name] for name in self.carried]
        *after, history, slopes = self._climb(rule)(*self._fixed, weights, tuning, *carried, *inputs)
        return dict(zip(self.carried, after, strict=True)), history, slopes

    def _climb(self, rule: ReluRule | None) -> Plan:
        shape, count = self.canvas.shape, len(self.carried)
        carried = [(None, *shape), (None, MOMENTS[self.recipe.optimizer], *shape), (None, *shape), (None,)][:count]
        inputs = [(None,), (None, None, 6)] if self.recipe.moves else [(None,)]

        def climbs(cell: Value, matrix: Value, offset: Value, weights: Value, tuning: Value, *rest: Value) -> Value:
            def objective(parameters: Value, maps: list[Value]) -> Value:
                values = self.canvas.values(self.backend.ops, parameters)
                for given in maps:
                    values = moved(self.backend.ops, values, given, self.recipe)
                value = self._value(values, (matrix, offset), rule)
                features = self.objective.features(self.backend.ops, value, cell, self.recipe.border)
                return self.backend.ops.sum(features * weights, axis=1)

            def one(state: list[Value], given: list[Value]) -> tuple[list[Value], list[Value]]:
                return self._step(lambda parameters: objective(parameters, given[1:]), tuning, state, given[0])

            state, found = self.backend.scan(one, list(rest[:count]), list(rest[count:]), outputs=2)
            return [*state, *found]

        signature = [*self._fixed_signature, *(((4,), "float32"), *((item, "float32") for item in [*carried, *inputs]))]
        return self.backend.compiled(("climb", rule, *self._key), climbs, signature, shared=False)

    def _step(
        self, objective: Callable[[Value], Value], tuning: Value, state: list[Value], number: Value
    ) -> tuple[list[Value], list[Value]]:
        """What is carried before step `number` → after it, with the objective (b,) and the gradient's largest value."""
        backend, recipe, ops = self.backend, self.recipe, self.backend.ops
        parameters, moments, *kept = state

        def penalties(parameters: Value) -> Value:
            return penalty(ops, self.canvas.values(ops, parameters), tuning[1:], recipe.middle)

        found, gradient = backend.value_and_gradient(objective, parameters)
        slope = ops.max(ops.abs(gradient), axis=tuple(range(1, len(gradient.shape))))
        total = found
        if recipe.penalized:
            lost, against = backend.value_and_gradient(penalties, parameters)
            total, gradient = found - lost, gradient - against
        change, moments = step(ops, recipe.optimizer, recipe.norm, gradient, moments, number)
        if recipe.best:
            best, best_value = kept
            better = total > best_value
            wide = ops.reshape(better, (-1, *[1] * (len(best.shape) - 1)))
            kept = [ops.where(wide, parameters, best), ops.where(better, total, best_value)]
        return [parameters + tuning[0] * change, moments, *kept], [found, slope]

    def _value(self, values: Value, colours: tuple[Value, Value], rule: ReluRule | None) -> Value:
        """The objective's tensor for an image's values (b, h, w, c)."""
        given = self.graph.inputs[0]
        batch = self.backend.ops.matmul(values, colours[0]) + colours[1]
        batch = batch[..., 0] if len(given.shape) == 3 else batch
        (value,) = self.graph.run({given: batch}, [self.objective.tensor], call=self.backend.ruled(rule))
        return value

    @property
    def _fixed(self) -> tuple[Array, ...]:
        """Cell, colour matrix and offset: the same for all calls."""
        return np.array(self.objective.cell, np.int32), self.colours.matrix, self.colours.offset

    @property
    def _fixed_signature(self) -> list[tuple[tuple[int | None, ...], str]]:
        """Theirs, and that of the weights."""
        shapes = [self.colours.matrix.shape, self.colours.offset.shape, (None, self.objective.weights.shape[1])]
        return [((2,), "int32"), *((shape, "float32") for shape in shapes)]

    @property
    def _key(self) -> tuple[Hashable, ...]:
        """Everything that the compiled functions take for granted."""
        recipe = self.recipe
        values = (recipe.size, recipe.colours, recipe.low, recipe.high, recipe.noise[0], recipe.squash, recipe.best)
        how = (recipe.parametrization, recipe.decorrelate, recipe.optimizer, recipe.norm, recipe.border)
        return "maximization", *self.objective.key, *values, *how, recipe.penalized, recipe.moves, recipe.pad
