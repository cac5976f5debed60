"""What everything that passes from one process to another is."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Message(BaseModel):
    """Immutable, and every unknown key is an error."""

    # A score may be infinite: as null it would not come back.
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, ser_json_inf_nan="constants")

    def as_json(self) -> bytes:
        """Its JSON, in which numbers and arrays of NumPy's, as among a method's statistics, are numbers and lists."""
        return self.model_dump_json(by_alias=True, fallback=_plain).encode()


def _plain(value: Any) -> Any:
    return value.tolist()
