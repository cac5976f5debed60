"""The models that there are, and what is known about them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar

from service.contract.models import EngineStatus, ModelDetails, ModelFound, ModelRow, ModelStatus
from service.contract.questions import Describe, Question
from service.engine.host.pool import EnginePool, Place
from service.engine.host.queue import Deadline
from service.engine.protocol import engine_of
from service.errors import KerascopeError, UnknownModel
from service.models.files.library import Library
from service.models.files.spec import ModelSpec
from service.models.files.uploads.record import Record, Unreadable, split_id

COLD = ModelStatus()
# Of a model whose weights would have to be downloaded.
NOTHING_FOUND = ModelFound(**dict.fromkeys(ModelFound.model_fields))
Answer = TypeVar("Answer")
SUMMARY_WIDTH = 110
DESCRIBING = "describing"


class Models:
    """The use cases around models. Listing and describing work while the engine starts."""

    def __init__(self, engines: EnginePool, library: Library, deadline_s: float) -> None:
        self._engines = engines
        self._library = library
        self._deadline_s = deadline_s

    async def overview(self, uploads: Sequence[Record] = (), unreadable: Sequence[Unreadable] = ()) -> list[ModelRow]:
        """Every loadable model with its state, the `uploads` too, and every broken spec and record with its reason."""
        statuses = await self._engines.statuses()
        seen = await asyncio.to_thread(self._library.all)
        rows = [self._row(spec, statuses) for spec in seen.specs.values()]
        for place, row in enumerate(rows):
            if row.state == "cold" and (problem := seen.problems.get(row.id)):
                rows[place] = row.model_copy(update={"state": "failed", "last_error": problem})
        reasons = [*seen.broken.items(), *((record.shown_as, record.reason) for record in unreadable)]
        for record in uploads:
            try:
                rows.append(self._row(self._library.get(record.id), statuses))
            except UnknownModel:
                # It has been deleted meanwhile.
                continue
            except KerascopeError as error:
                reasons.append((record.id, error.detail))
        rows += [ModelRow(id=model_id, state="failed", last_error=reason) for model_id, reason in reasons]
        return sorted(rows, key=lambda row: (row.state == "cold", row.id))

    async def describe(self, model_id: str, owner: str, *, load: bool = False) -> ModelDetails:
        """The model's row with all that loading it finds.

        A cold model stays cold, unless `load` asks for it; one whose weights would have to be downloaded is described
        by its spec alone. Raises UnknownModel, ModelNotLoadable, …
        """
        spec = self._library.get(model_id)
        found = await self.ask(Describe(model=model_id, load=load), owner) or NOTHING_FOUND
        row = self._row(spec, await self._engines.statuses())
        return ModelDetails(**{**dict(row), **dict(found)}, spec=spec.public(), name=row.id, ready=row.state == "warm")

    async def ready(self, model_id: str) -> tuple[str, bool]:
        """The model's name and whether it is warm; nothing is loaded. Raises UnknownModel."""
        row = self._row(self._library.get(model_id), await self._engines.statuses())
        return row.id, row.state == "warm"

    async def pinned(self, model_id: str) -> bool:
        """Whether the operator has it kept warm. Raises UnknownModel."""
        return self._row(self._library.get(model_id), await self._engines.statuses()).pinned

    def quarantined(self, model_id: str) -> bool:
        """Whether it is not computed, as the engine ended while it was. Raises UnknownModel."""
        model_id = self._library.get(model_id).id
        return model_id in self._engines.client(model_id).quarantine.models

    async def ask(self, question: Question[Answer], owner: str) -> Answer:
        """The answer to a question about a known model, in the place of `owner`. Raises UnknownModel."""
        model_id = self._library.get(question.model).id
        # With turns of its own, so that looking at a model need not wait for all images that the owner has explained.
        place = Place(owner, Deadline.after(self._deadline_s), shared=True, lane=DESCRIBING)
        async with self._engines.place(model_id, 1, place):
            about = question.model_copy(update={"model": model_id})
            return (await self._engines.ask(about, deadline=place.deadline)).answer

    def _row(self, spec: ModelSpec, statuses: list[EngineStatus | None]) -> ModelRow:
        status = statuses[engine_of(spec.id, len(statuses))]
        place = (status and status.models.get(spec.id)) or COLD
        name, version = split_id(spec.id)
        record = self._library.uploads.find(name) if version and self._library.uploads else None
        # Made of what was checked already, for every model of the folder at each look.
        return ModelRow.model_construct(
            **place.__dict__,
            id=name,
            title=spec.title,
            source=spec.source,
            origin=spec.origin,
            licence=spec.licence,
            device=status.device if status and place.state == "warm" else None,
            version=version,
            visibility=record.visibility if record else None,
        )
