"""What the engine's process holds in memory, and how it comes to hold no more than it may."""

from __future__ import annotations

from typing import Protocol

from service.process import giving_back, resident_bytes

# So many looks in a row: steps come and go in less, what is there at all of them stays.
LOOKS = 10


class WarmModels(Protocol):
    """What the registry tells of its models, what it is told, and how it makes room."""

    beside_bytes: int

    @property
    def warm_bytes(self) -> int: ...

    @property
    def loading(self) -> bool: ...

    def fit(self) -> None: ...


class Memory:
    """Beyond `bare_bytes`, what it held before its first model, the process may hold `most` bytes."""

    def __init__(self, models: WarmModels, bare_bytes: int, most: int) -> None:
        self.bare_bytes = bare_bytes
        self._models = models
        self._most = most
        self._seen: list[int] = []
        self.ended = 0
        """Counts what has ended that may have left memory to be given back: calls, loads, what was compiled."""

    @property
    def held_bytes(self) -> int:
        """Counts what the process holds more than before its first model."""
        return max(0, (resident_bytes() or 0) - self.bare_bytes)

    @property
    def library_bytes(self) -> int:
        """Counts what libraries kept beside the models when that was last looked at: they keep theirs for each plan and
        size."""
        return self._models.beside_bytes

    def trim(self) -> None:
        """Gives what steps left to be used again back to the system where that is too much."""
        if self.held_bytes > self._most:
            with giving_back():
                pass

    def give_back(self) -> None:
        """Gives back what steps left, between calls. Where the process holds too much with what libraries keep, the
        least used plans and models go."""
        with giving_back():
            pass
        warm = -1
        # What goes leaves holes between what stays, so that once may not be enough.
        while (held := self.held_bytes) > self._most and self._models.warm_bytes != warm:
            warm = self._models.warm_bytes
            self._models.beside_bytes = max(0, held - warm)
            self._models.fit()
        self._models.beside_bytes = max(0, self.held_bytes - self._models.warm_bytes)

    def lasts(self) -> bool:
        """Looks, where callers leave no pause, whether too much stays: True after so many looks in a row at which the
        process held too much and no model was on its way. `library_bytes` then is the least seen beside the models."""
        held = self.held_bytes
        too_much = held > self._most and not self._models.loading
        self._seen = [*self._seen, max(0, held - self._models.warm_bytes)] if too_much else []
        if len(self._seen) < LOOKS:
            return False
        self._models.beside_bytes, self._seen = min(self._seen), []
        return True

    def make_room(self) -> None:
        """Drops the least used plans and models for what libraries keep."""
        self._models.fit()
