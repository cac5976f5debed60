"""What the engine's process holds beside its models while callers leave no pause in which to count it."""

from __future__ import annotations

# So many looks in a row: steps come and go in less, what is there at all of them stays.
LOOKS = 10


class Beside:
    """Looked at again and again; `most` bytes are what the process may hold with its models."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: list[int] = []

    def lasting(self, held: int, warm: int) -> int | None:
        """Says after so many looks at which the process held too much how many bytes beside the `warm` ones stay; None
        until then."""
        self._seen = [*self._seen, max(0, held - warm)] if held > self._most else []
        if len(self._seen) < LOOKS:
            return None
        least, self._seen = min(self._seen), []
        return least
