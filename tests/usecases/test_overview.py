"""The list of models where one goes while it is made."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from service.engine.host.pool import EnginePool
from service.models.files.library import Library
from service.models.files.uploads.record import Record, Version
from service.models.files.uploads.store import UploadStore
from service.usecases.models import Models
from tests.conftest import engine_config


def test_an_upload_that_was_deleted_meanwhile_is_left_out(tmp_path: Path) -> None:
    library = Library(None, UploadStore(tmp_path / "uploads", quota_bytes=1, most=1))
    version = Version(
        number=1,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        bytes=1,
        upload_digest="0",
        parameters=1,
        spec={},
        manifest={},
    )
    gone = Record(id="gone", owner="open", visibility="private", default=1, last=1, versions=(version,))

    async def listed() -> set[str]:
        engines = EnginePool([engine_config(tmp_path)], deadline_s=1, queue_limit=1)
        rows = await Models(engines, library, 1).overview([gone])
        return {row.id for row in rows}

    assert asyncio.run(listed()) == set(library.specs())
