"""What everything that passes from one process to another is."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Message(BaseModel):
    """Immutable, and every unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    def as_json(self) -> bytes:
        """Its JSON, in which numbers and arrays of NumPy's, as among a method's statistics, are numbers and lists."""
        return self.model_dump_json(by_alias=True, fallback=_plain).encode()


def _plain(value: Any) -> Any:
    return value.tolist()
