"""Which models there are and what is known about them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from service.engine.deadline import Deadline
from service.engine.pool import EnginePool, Place, engine_of
from service.errors import UnknownModel
from service.models.library import Library
from service.models.spec import ModelSpec
from service.models.uploads.record import Record, split_id

COLD: dict[str, Any] = {
    "state": "cold",
    "pinned": False,
    "users": 0,
    "weight_bytes": None,
    "plan_bytes": None,
    "traces": None,
    "last_error": None,
}


SUMMARY_WIDTH = 110
# Under this name they take their places in the queue: one caller among those who have images explained.
DESCRIBING = "describing"


class Models:
    """The use cases around models. Listing works while the engine starts; describing loads the model."""

    def __init__(self, engines: EnginePool, library: Library, deadline_s: float) -> None:
        self._engines = engines
        self._library = library
        self._deadline_s = deadline_s

    async def overview(self, uploads: Sequence[Record] = ()) -> list[dict[str, Any]]:
        """Every loadable model with its state, the `uploads` too, and every broken spec with its reason."""
        statuses = await self._engines.statuses()
        rows = [self._row(spec, statuses) for spec in self._library.specs().values()]
        for record in uploads:
            # One may have been deleted meanwhile.
            with suppress(UnknownModel):
                rows.append(self._row(self._library.get(record.id), statuses))
        rows += [
            {"id": model_id, "title": "", "source": "file", "origin": "", "licence": "", **COLD}
            | {"state": "failed", "last_error": reason, "device": None, "version": None, "visibility": None}
            for model_id, reason in self._library.broken().items()
        ]
        return sorted(rows, key=lambda row: (row["state"] == "cold", str(row["id"])))

    async def describe(self, model_id: str) -> dict[str, Any]:
        """The model's row with all that loading it found. Raises UnknownModel, ModelNotLoadable, …"""
        spec = self._library.get(model_id)
        details = await self.ask("describe", model_id)
        row = self._row(spec, await self._engines.statuses())
        return {**row, **details, "spec": spec.public(), "name": row["id"], "ready": row["state"] == "warm"}

    async def ready(self, model_id: str) -> tuple[str, bool]:
        """The model's name and whether it is warm; nothing is loaded. Raises UnknownModel."""
        row = self._row(self._library.get(model_id), await self._engines.statuses())
        return row["id"], row["state"] == "warm"

    async def ask(self, op: str, model_id: str, **payload: Any) -> dict[str, Any]:
        """`describe`, `summary`, `layers`, `layer`, `load` or `unload` of a known model."""
        model_id = self._library.get(model_id).id
        place = Place(DESCRIBING, Deadline.after(self._deadline_s), shared=True)
        async with self._engines.place(model_id, 1, place):
            return (await self._engines.ask(op, model_id, payload, deadline=place.deadline)).payload

    async def validity(self, model_id: str) -> list[dict[str, Any]]:
        """For each method whether it is valid for the model, and why not."""
        return list((await self.ask("validity", model_id))["methods"])

    def _row(self, spec: ModelSpec, statuses: list[dict[str, Any] | None]) -> dict[str, Any]:
        status = statuses[engine_of(spec.id, len(statuses))]
        state = (status or {}).get("models", {}).get(spec.id, COLD)
        name, version = split_id(spec.id)
        record = self._library.uploads.find(name) if version and self._library.uploads else None
        return {
            "id": name,
            "title": spec.title,
            "source": spec.source,
            "origin": spec.origin,
            "licence": spec.licence,
            "device": status["device"] if status and state["state"] == "warm" else None,
            **{key: state.get(key) for key in COLD},
            "version": version,
            "visibility": record.visibility if record else None,
        }
