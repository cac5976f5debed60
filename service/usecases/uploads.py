"""Uploading a model: received, read in a sandbox, rewritten, and only then there, as the next version of its ID."""

from __future__ import annotations

import asyncio
import errno
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from service.engine.host.pool import EnginePool
from service.errors import (
    FieldError,
    InvalidParameter,
    ModelExists,
    ModelRefused,
    NotAllowed,
    QueueFull,
    StorageFull,
    TooManyCalls,
    UnknownModel,
    UploadsOff,
)
from service.ingest.verdict import Manifest, Verdict
from service.jobs.room import is_full
from service.json_types import Json, JsonObject
from service.models.files.library import Library
from service.models.files.spec import InputSpec, Preprocessing
from service.models.files.uploads.record import Record, Unreadable, Visibility
from service.models.files.uploads.store import UploadStore
from service.models.graph.preprocess import InputShape, input_problem

log = structlog.get_logger(__name__)

READING_AT_A_TIME = 1
WAITING_AT_MOST = 4
# Of the places, where there are keys: one caller leaves another always some.
OWN_AT_MOST = WAITING_AT_MOST // 2
RETRY_AFTER_S = 30
UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
Ingest = Callable[[Path], Awaitable[Verdict]]


@dataclass(frozen=True)
class Wanted:
    """What a caller wants of an upload.

    `visibility` None leaves it as it is; `spec` holds the fields of a ModelSpec that a file cannot tell.
    """

    model_id: str
    visibility: Visibility | None
    spec: JsonObject


class Uploads:
    """The use cases around uploaded models. `owner` None is the administrator, who sees everyone's.

    `why_off` says why no models are taken, None where they are.
    """

    def __init__(
        self, store: UploadStore, library: Library, engines: EnginePool, ingest: Ingest, why_off: str | None
    ) -> None:
        self._store = store
        self._library = library
        self._engines = engines
        self._ingest = ingest
        self._why_off = why_off
        self._reading = asyncio.Semaphore(READING_AT_A_TIME)
        self._on_their_way: Counter[str] = Counter()

    @property
    def why_off(self) -> str | None:
        return self._why_off

    @asynccontextmanager
    async def receiving(self, owner: str, *, shared: bool = False) -> AsyncIterator[Path]:
        """A folder for the files of one upload, gone afterwards; `shared` is whether there are other callers.

        Raises UploadsOff, QueueFull, TooManyCalls or QuotaExceeded; a disk that is full, or cannot be written to,
        becomes StorageFull.
        """
        if self._why_off:
            raise UploadsOff(self._why_off)
        self._require_place(owner, shared=shared)
        self._on_their_way[owner] += 1
        folder = None
        try:
            await asyncio.to_thread(self._store.require_room, owner, 0)
            folder = await asyncio.to_thread(self._store.incoming)
            yield folder
        except OSError as error:
            if is_full(error):
                raise StorageFull("there is no room left where models are kept") from None
            if error.errno in UNWRITABLE:
                log.error("models cannot be kept", reason=error.strerror)
                raise StorageFull("models cannot be written where they are kept; the service's log says why") from None
            raise
        finally:
            self._on_their_way[owner] -= 1
            self._on_their_way += Counter()
            if folder:
                await asyncio.to_thread(shutil.rmtree, folder, True)

    def _require_place(self, owner: str, *, shared: bool) -> None:
        own, total = self._on_their_way[owner], self._on_their_way.total()
        if shared and own >= OWN_AT_MOST:
            raise TooManyCalls(
                f"{own} uploads of yours are on their way, and one key may have {OWN_AT_MOST}; wait for one",
                retry_after_s=RETRY_AFTER_S,
            )
        if total >= WAITING_AT_MOST:
            raise QueueFull(f"{total} uploads are on their way, the most allowed", retry_after_s=RETRY_AFTER_S)

    async def add(self, folder: Path, wanted: Wanted, owner: str) -> Record:
        """The model in `folder`, read and kept.

        Raises ModelExists, ModelRefused, QuotaExceeded, or InvalidParameter for a spec that does not fit it.
        """
        if wanted.model_id in self._library.specs() | self._library.broken():
            raise ModelExists(f"the model ID {wanted.model_id!r} is one of the service's own; choose another")
        await asyncio.to_thread(self._store.require_free, wanted.model_id, owner)
        async with self._reading:
            verdict = await self._ingest(folder)
        if verdict.manifest is None:
            log.warning("model refused", model=wanted.model_id, owner=owner, code=verdict.code, detail=verdict.detail)
            raise ModelRefused(verdict.detail, errors=[FieldError(("model",), verdict.code)])
        require_fits(wanted.spec, verdict.manifest)
        spec = wanted.spec
        if verdict.manifest.head and not spec.get("head"):
            # The training config is not kept, and only it says that linear units are logits.
            spec = spec | {"head": verdict.manifest.head}
        manifest = verdict.manifest.model_dump(mode="json")
        keeping = asyncio.to_thread(
            self._store.add,
            wanted.model_id,
            owner,
            wanted.visibility,
            spec,
            manifest,
            folder / verdict.manifest.file,
        )
        record = await _to_its_end(keeping)
        log.info("model uploaded", model=record.id, version=record.default, owner=owner)
        return record

    def known(self, model_id: str, owner: str | None) -> Record:
        """The record of an upload that `owner` may see. Raises UnknownModel for any other."""
        record = None if self._store.hidden(model_id, owner) else self._store.find(model_id)
        if record is None:
            raise UnknownModel(f"there is no model {model_id!r} that was uploaded")
        return record

    def numbers(self, model_id: str, owner: str | None) -> list[int]:
        """The versions of an upload that `owner` may see; none of any other model."""
        record = self._store.find(model_id)
        return [each.number for each in record.versions] if record and record.visible_to(owner) else []

    def own(self, model_id: str, owner: str | None) -> Record:
        """One that `owner` may change. Raises UnknownModel, or NotAllowed for one that is only shared with it."""
        record = self.known(model_id, owner)
        if owner not in (None, record.owner):
            raise NotAllowed(f"the model {model_id!r} may be changed by the key that uploaded it alone")
        return record

    def is_own(self, model_id: str, owner: str | None) -> bool:
        """Whether it is an upload that `owner` may change."""
        record = self._store.find(model_id)
        return record is not None and owner in (None, record.owner)

    def is_anothers(self, model_id: str, owner: str | None) -> bool:
        """Whether it is an upload that `owner` may not change."""
        return self._store.find(model_id) is not None and not self.is_own(model_id, owner)

    def hidden(self, model_id: str, owner: str | None) -> bool:
        """Whether it is an upload that `owner` must not know of."""
        return self._store.hidden(model_id, owner)

    def visible(self, owner: str | None) -> list[Record]:
        return [record for record in self._store.records() if record.visible_to(owner)]

    def unreadable(self, owner: str | None) -> list[Unreadable]:
        """Lists the uploads of which nothing can be said but why."""
        return [record for record in self._store.unreadable() if record.visible_to(owner)]

    async def change(self, model_id: str, default: int | None, visibility: Visibility | None) -> Record:
        """Raises UnknownModel."""
        return await asyncio.to_thread(self._store.change, model_id, default=default, visibility=visibility)

    async def remove(self, model_id: str) -> None:
        """`name@2`, or every version of `name`; what is computed with it is finished. Raises UnknownModel."""
        for version in await asyncio.to_thread(self._store.remove, model_id):
            await self._engines.unload(version)


async def _to_its_end(work: Coroutine[Any, Any, Record]) -> Record:
    """What `work` gives. Cancelled, it is still waited for: the folder that its thread moves files from goes next."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        raise


def require_fits(spec: JsonObject, manifest: Manifest) -> None:
    """Raises InvalidParameter with all that does not fit the file; `spec` is that of the upload, as JSON values."""
    found = [*_labels(spec.get("labels"), manifest), *_input(spec, manifest)]
    if found:
        raise InvalidParameter("; ".join(item.msg for item in found), errors=found)


def _labels(labels: Json, manifest: Manifest) -> list[FieldError]:
    classes = manifest.outputs[0][-1]
    if isinstance(labels, list | tuple) and classes is not None and len(labels) != classes:
        return [FieldError(("spec", "labels"), f"the spec has {len(labels)} labels, and the model {classes} classes")]
    return []


def _input(spec: JsonObject, manifest: Manifest) -> list[FieldError]:
    sizes = manifest.inputs[0][1:]
    if len(manifest.inputs) != 1 or len(sizes) not in (2, 3):
        # No picture is shown to such a model, so nothing is done with one.
        return []
    stated = InputSpec.model_validate(spec.get("input", {}))
    found = [
        FieldError(("spec", "input", name), f"the spec says {name} {given}, and the file {fixed}")
        for name, given, fixed in (("height", stated.height, sizes[0]), ("width", stated.width, sizes[1]))
        if given is not None and fixed is not None and given != fixed
    ]
    shape = InputShape(sizes[0] or 1, sizes[1] or 1, (sizes[2] or 3) if len(sizes) == 3 else 1)
    mode = Preprocessing.model_validate(spec.get("preprocessing", {}))
    if problem := input_problem(shape, stated, mode):
        found.append(FieldError(("spec", "input" if problem.startswith("'channels'") else "preprocessing"), problem))
    return found
