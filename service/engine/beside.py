"""What the engine's process holds beside its models while callers leave no pause in which to count it."""

from __future__ import annotations

from typing import Protocol

# So many looks in a row: steps come and go in less, what is there at all of them stays.
LOOKS = 10


class Models(Protocol):
    """What the registry tells of its models."""

    @property
    def warm_bytes(self) -> int: ...

    @property
    def loading(self) -> bool: ...


class Beside:
    """Looked at again and again; `most` bytes are what the process may hold with its models."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: list[int] = []

    def lasting(self, held: int, models: Models) -> int | None:
        """Says after so many looks at which the process held too much, and no model was on its way, how many bytes
        beside the warm ones stay; None until then."""
        too_much = held > self._most and not models.loading
        self._seen = [*self._seen, max(0, held - models.warm_bytes)] if too_much else []
        if len(self._seen) < LOOKS:
            return None
        least, self._seen = min(self._seen), []
        return least
