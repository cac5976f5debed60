"""Names for what the libraries' own types leave open: arrays, tensors, layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Of any shape and type; with their names where there are several.
Array = NDArray[Any]
Arrays = Mapping[str, Array]
Floats = NDArray[np.float32]
# A tensor of whatever library, there already or still a symbol; and a function of tensors.
Value = Any
Function = Callable[..., Any]
# Nested tuples, lists and dictionaries of such.
Structure = Any
Kwargs = Mapping[str, Any]
# Either Keras's own: a layer or an operation; a model; its functions of tensors.
Layer = Any
KerasModel = Any
Ops = Any
