"""Which models there are and what is known about them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from service.engine.host.deadline import Deadline
from service.engine.host.pool import EnginePool, Place, engine_of
from service.errors import KerascopeError, UnknownModel
from service.models.files.library import Library
from service.models.files.spec import ModelSpec
from service.models.files.uploads.record import Record, Unreadable, split_id

COLD: dict[str, Any] = {
    "state": "cold",
    "pinned": False,
    "users": 0,
    "weight_bytes": None,
    "folded_bytes": None,
    "layer_bytes": None,
    "plan_bytes": None,
    "plans": None,
    "traces": None,
    "last_error": None,
}

# What only loading a model tells.
FOUND = (
    "digest", "keras", "input", "inputs", "outputs", "obstacle", "preprocessing", "head", "labels", "parameters",
    "layers", "cam_layer", "notes",
)  # fmt: skip
SUMMARY_WIDTH = 110
DESCRIBING = "describing"


class Models:
    """The use cases around models. Listing and describing work while the engine starts."""

    def __init__(self, engines: EnginePool, library: Library, deadline_s: float) -> None:
        self._engines = engines
        self._library = library
        self._deadline_s = deadline_s

    async def overview(
        self, uploads: Sequence[Record] = (), unreadable: Sequence[Unreadable] = ()
    ) -> list[dict[str, Any]]:
        """Every loadable model with its state, the `uploads` too, and every broken spec and record with its reason."""
        statuses = await self._engines.statuses()
        seen = await asyncio.to_thread(self._library.all)
        rows = [self._row(spec, statuses) for spec in seen.specs.values()]
        for row in rows:
            if row["state"] == COLD["state"] and (problem := seen.problems.get(str(row["id"]))):
                row |= {"state": "failed", "last_error": problem}
        reasons = [*seen.broken.items(), *((record.shown_as, record.reason) for record in unreadable)]
        for record in uploads:
            try:
                rows.append(self._row(self._library.get(record.id), statuses))
            except UnknownModel:
                # It has been deleted meanwhile.
                continue
            except KerascopeError as error:
                reasons.append((record.id, error.detail))
        rows += [
            {"id": model_id, "title": "", "source": "file", "origin": "", "licence": "", **COLD}
            | {"state": "failed", "last_error": reason, "device": None, "version": None, "visibility": None}
            for model_id, reason in reasons
        ]
        return sorted(rows, key=lambda row: (row["state"] == "cold", str(row["id"])))

    async def describe(self, model_id: str, owner: str, *, load: bool = False) -> dict[str, Any]:
        """The model's row with all that loading it finds.

        A cold model stays cold, unless `load` asks for it; one whose weights would have to be downloaded is described
        by its spec alone. Raises UnknownModel, ModelNotLoadable, …
        """
        spec = self._library.get(model_id)
        details = dict.fromkeys(FOUND) | await self.ask("describe", model_id, owner, load=load)
        row = self._row(spec, await self._engines.statuses())
        return {**row, **details, "spec": spec.public(), "name": row["id"], "ready": row["state"] == "warm"}

    async def ready(self, model_id: str) -> tuple[str, bool]:
        """The model's name and whether it is warm; nothing is loaded. Raises UnknownModel."""
        row = self._row(self._library.get(model_id), await self._engines.statuses())
        return row["id"], row["state"] == "warm"

    async def pinned(self, model_id: str) -> bool:
        """Whether the operator has it kept warm. Raises UnknownModel."""
        return bool(self._row(self._library.get(model_id), await self._engines.statuses())["pinned"])

    def quarantined(self, model_id: str) -> bool:
        """Whether it is not computed, as the engine ended while it was. Raises UnknownModel."""
        model_id = self._library.get(model_id).id
        return model_id in self._engines.client(model_id).quarantine.models

    async def ask(self, op: str, model_id: str, owner: str, **payload: Any) -> dict[str, Any]:
        """`describe`, `summary`, `layers`, `layer`, `load` or `unload` of a known model, in the place of `owner`."""
        model_id = self._library.get(model_id).id
        # With turns of its own, so that looking at a model need not wait for all images that the owner has explained.
        place = Place(owner, Deadline.after(self._deadline_s), shared=True, lane=DESCRIBING)
        async with self._engines.place(model_id, 1, place):
            return (await self._engines.ask(op, model_id, payload, deadline=place.deadline)).payload

    async def validity(self, model_id: str, owner: str) -> list[dict[str, Any]]:
        """Says of each method whether it is valid for the model, and why not."""
        return list((await self.ask("validity", model_id, owner))["methods"])

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
