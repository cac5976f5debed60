"""Arrays, as they go through the service: of any shape and type, with their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = Mapping[str, Array]
Floats = NDArray[np.float32]
