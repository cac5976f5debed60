"""Names for what JSON can hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Any
# An object without a fixed shape: a layer's config, a method's statistics.
JsonObject = dict[str, Any]
# Values by their names, to be read alone: what a caller gave, what a config says.
Fields = Mapping[str, Any]
