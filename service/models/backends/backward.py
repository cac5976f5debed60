"""Operations that keep their values and have another way back than their gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from service.arrays import Function, Structure, Value

# The operation of its values alone, what went in, what came out, and what comes back for each of these → what goes back
# to each that went in.
Backward = Callable[[Function, Sequence[Value], Sequence[Value], Sequence[Value]], Sequence[Value]]


def with_backward(operation: Function, backward: Backward, *beside: Value) -> Function:
    """What stands in for `operation`, called in the same way.

    `beside` are further tensors that the values go back to, the first of what `backward` gives; they change nothing.
    """

    def stand_in(*args: Value, **kwargs: Value) -> Value:
        flat = keras.tree.flatten((args, kwargs))
        places = [place for place, item in enumerate(flat) if tf.is_tensor(item)]

        def of_values(*values: Value) -> Value:
            filled = list(flat)
            for place, value in zip(places, values, strict=True):
                filled[place] = value
            own_args, own_kwargs = keras.tree.pack_sequence_as((args, kwargs), filled)
            return operation(*own_args, **own_kwargs)

        def replaced(*tensors: Value) -> tuple[list[Value], Function]:
            given = tensors[len(beside) :]
            results = keras.tree.flatten(of_values(*given))

            def back(*upstream: Value, variables: Structure = None) -> Value:
                found = list(backward(of_values, given, results, upstream))
                return (found, [None] * len(variables)) if variables else found

            return results, back

        found = tf.custom_gradient(replaced)(*beside, *(flat[place] for place in places))
        return found[0] if len(found) == 1 else found

    return stand_in


def pulled_back(function: Function, at: Sequence[Value], upstream: Value) -> tuple[Value, list[Value]]:
    """`function(*at)`, and what `upstream` times its derivative is with respect to each, zeros where it depends on
    none."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        for value in at:
            tape.watch(value)
        result = function(*at)
    zero = tf.UnconnectedGradients.ZERO
    return result, tape.gradient(result, list(at), upstream, unconnected_gradients=zero)
