"""Gradients that functions bring along, such as swish's own: kept while somebody may ask for them, and then forgotten.

TensorFlow itself keeps a name for each, and behind it a whole graph, as long as the process runs.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from weakref import WeakSet

from tensorflow.python.framework import ops

from service.arrays import KerasModel

# What TensorFlow names the gradients of `tf.custom_gradient`.
PREFIX = "CustomGradient-"
# Whose functions are traced anew for each plan.
_LIBRARIES = ("keras", "tf_keras", "tensorflow")
_lock = threading.Lock()
_open = 0
_within: set[OwnGradients] = set()
_keeping: WeakSet[OwnGradients] = WeakSet()


class OwnGradients:
    """Keeps account of one model's. A traced plan holds its gradients itself, so their names are forgotten once nobody
    traces.

    A model that `keeps` them has code of its own: a `tf.function` in it is traced once and called by later plans, which
    look its gradients up by name. Theirs are kept until `release`, with what others defined at the same time.
    Thread-safe.
    """

    def __init__(self, *, keeps: bool = False) -> None:
        self.keeps = keeps
        self.names: frozenset[str] = frozenset()

    @contextlib.contextmanager
    def defined(self) -> Iterator[None]:
        """The block builds or traces the model."""
        global _open
        with _lock:
            _open += 1
            _within.add(self)
        try:
            yield
        finally:
            with _lock:
                _open -= 1
                if not _open:
                    _settle()

    def release(self) -> None:
        """The model goes, and what it kept."""
        with _lock:
            self.keeps, self.names = False, frozenset()
            _keeping.discard(self)
            if not _open:
                _settle()


def _settle() -> None:
    """Nobody traces: what was defined meanwhile belongs to those who keep it, else it is forgotten."""
    held = {name for keeper in _keeping for name in keeper.names}
    registry = ops.gradient_registry._registry
    new = [name for name in list(registry) if name.startswith(PREFIX) and name not in held]
    keepers = [each for each in _within if each.keeps]
    _within.clear()
    for keeper in keepers:
        keeper.names |= frozenset(new)
        _keeping.add(keeper)
    for name in () if keepers else new:
        registry.pop(name, None)


def has_own_code(model: KerasModel) -> bool:
    """Whether a layer of a model of either Keras, or a function in one, is neither Keras's nor TensorFlow's."""
    for layer in model._flatten_layers():
        activation = getattr(layer, "activation", None)
        if type(layer).__name__ == "Lambda" or _is_own(type(layer)) or (activation is not None and _is_own(activation)):
            return True
    return False


def _is_own(thing: KerasModel) -> bool:
    module = getattr(thing, "__module__", None) or type(thing).__module__
    return module.partition(".")[0] not in _LIBRARIES
