"""One reader for each Keras: everything that differs between the two, and the only place that asks for their classes.

`keras2` is imported when the first model of Keras 2 comes, and not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.arrays import KerasModel

if TYPE_CHECKING:
    from service.models.dialects.dialect import Dialect


def dialect_of(thing: KerasModel) -> Dialect:
    """The reader of the Keras that a model or layer belongs to."""
    if any(base.__module__.partition(".")[0] == "tf_keras" for base in type(thing).__mro__):
        from service.models.dialects.keras2 import KERAS_2

        return KERAS_2
    from service.models.dialects.keras3 import KERAS_3

    return KERAS_3
