"""Models whose calls end the engine: after the second time in a row they are not computed any more."""

from __future__ import annotations

from collections.abc import Hashable

from service.errors import ModelQuarantined

DEATHS = 2
# Work on a model before it answers anything: any answer shows that it got through that.
BEFORE_CALLS = ("load", "warm-up")


class Quarantine:
    """Counts, for each kind of call on a model, how often in a row the engine died while it was computed.

    A kind that is answered in between starts anew: engines also die of other causes.
    """

    def __init__(self) -> None:
        self._deaths: dict[tuple[str, Hashable], int] = {}
        self._held: set[str] = set()

    @property
    def models(self) -> frozenset[str]:
        """Lists the models in quarantine."""
        return frozenset(self._held)

    def died(self, model_id: str, kind: Hashable) -> None:
        count = self._deaths.get((model_id, kind), 0) + 1
        self._deaths[model_id, kind] = count
        if count >= DEATHS:
            self._held.add(model_id)

    def answered(self, model_id: str, kind: Hashable) -> None:
        for known in (kind, *BEFORE_CALLS):
            self._deaths.pop((model_id, known), None)

    def release(self, model_id: str) -> None:
        """Gives the model another chance."""
        self._held.discard(model_id)
        for key in [key for key in self._deaths if key[0] == model_id]:
            del self._deaths[key]

    def require_free(self, model_id: str) -> None:
        """Raises ModelQuarantined."""
        if model_id in self._held:
            raise ModelQuarantined(
                f"the engine ended {DEATHS} times in a row while it computed the model {model_id!r}; upload another "
                "version, or load it once more (POST …/load) to give it another chance"
            )
