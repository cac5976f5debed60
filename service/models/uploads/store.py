"""Uploaded models on disk: versions of an ID, whose they are, and what they take. Reads no weights, runs no code.

Every model has a folder named by the digest of its ID, with a record and a folder for each version; nothing a caller
wrote becomes a name on disk. A version appears at once and whole: its folder is renamed into place, then the record.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.errors import ModelExists, QuotaExceeded, Unavailable, UnknownModel
from service.models.spec import ModelSpec
from service.models.uploads.record import (
    RECORD,
    Record,
    Version,
    Visibility,
    canonical_name,
    read_record,
    split_id,
    sync_folder,
    write_record,
)

UPLOADS = "uploads"
INCOMING = "incoming"
# Uploads that take longer than this to arrive have been left behind.
ABANDONED_S = 3600


class UploadStore:
    """The uploads in one folder; safe for several processes. `quota_bytes` and `most` bound each owner's versions."""

    def __init__(self, folder: Path, *, quota_bytes: int = 0, most: int = 0) -> None:
        self._folder = folder
        self._quota_bytes = quota_bytes
        self._most = most

    def incoming(self) -> Path:
        """A new folder to receive files in."""
        folder = self._folder / INCOMING / uuid.uuid4().hex
        folder.mkdir(parents=True, mode=0o700)
        return folder

    def find(self, model_id: str) -> Record | None:
        """The record of a model, without its version."""
        return read_record(self._place(split_id(model_id)[0]) / RECORD)

    def spec(self, model_id: str) -> ModelSpec | None:
        """The spec of `name`, in its default version, or of `name@2`. Raises UnknownModel for a version that is not."""
        name, number = split_id(model_id)
        record = read_record(self._place(name) / RECORD)
        if record is None:
            return None
        version = record.version(number)
        folder = self._place(name) / str(version.number)
        digest = version.manifest["canonical_digest"].removeprefix("sha256:")
        fixed = {
            "id": f"{name}@{version.number}",
            "weights": canonical_name(str(version.manifest.get("keras", ""))),
            "sha256": digest,
            "folder": folder,
            "trusted": False,
            "custom_objects": None,
        }
        return ModelSpec(**version.spec | fixed)

    def records(self) -> list[Record]:
        """Every model, in the order of IDs."""
        found = []
        for path in sorted(self._folder.glob(f"*/{RECORD}")):
            # One that cannot be read hides its own model alone.
            with suppress(Unavailable):
                found.append(read_record(path))
        return sorted((record for record in found if record), key=lambda record: record.id)

    def require_room(self, owner: str, size: int) -> None:
        """Raises QuotaExceeded."""
        own = [version for record in self.records() if record.owner == owner for version in record.versions]
        if len(own) >= self._most:
            raise QuotaExceeded(f"this key keeps {len(own)} versions of models, the most it may; delete one")
        taken = sum(version.bytes for version in own)
        if taken + size > self._quota_bytes:
            raise QuotaExceeded(
                f"the models of this key take {taken} bytes, {size} more would pass its {self._quota_bytes}; delete one"
            )

    def require_free(self, model_id: str, owner: str | None) -> None:
        """Raises ModelExists for an ID that is another's."""
        record = self.find(model_id)
        if record is not None and owner not in (None, record.owner):
            raise ModelExists(f"the model ID {model_id!r} is taken; choose another")

    def add(
        self,
        model_id: str,
        owner: str,
        visibility: Visibility,
        spec: dict[str, Any],
        manifest: dict[str, Any],
        file: Path,
    ) -> Record:
        """The next version of a model, from a canonical file that is moved; it becomes the default.

        Raises ModelExists and QuotaExceeded.
        """
        with self._locked():
            self.require_free(model_id, owner)
            self.require_room(owner, file.stat().st_size)
            record = self.find(model_id)
            number = record.last + 1 if record else 1
            version = Version(
                number=number,
                created=datetime.now(UTC),
                bytes=file.stat().st_size,
                upload_digest=manifest["upload_digest"],
                parameters=manifest["parameters"],
                spec=spec,
                manifest=manifest,
            )
            ready = file.parent / "ready"
            ready.mkdir()
            file.chmod(0o400)
            os.replace(file, ready / canonical_name(str(manifest.get("keras", ""))))
            place = self._place(model_id)
            place.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(place / str(number), ignore_errors=True)
            os.replace(ready, place / str(number))
            sync_folder(place)
            earlier = record.versions if record else ()
            made = Record(
                id=model_id,
                owner=record.owner if record else owner,
                visibility=visibility,
                default=number,
                last=number,
                versions=(*earlier, version),
            )
            write_record(place / RECORD, made)
            return made

    def change(self, model_id: str, *, default: int | None = None, visibility: Visibility | None = None) -> Record:
        """Another default version, or visibility. Raises UnknownModel."""
        with self._locked():
            record = self._known(model_id)
            number = record.version(default).number
            changed = record.model_copy(update={"default": number, "visibility": visibility or record.visibility})
            write_record(self._place(model_id) / RECORD, changed)
            return changed

    def remove(self, model_id: str) -> list[str]:
        """Deletes `name@2`, or every version of `name`; gives the IDs of what has gone. Raises UnknownModel."""
        name, number = split_id(model_id)
        with self._locked():
            record = self._known(name)
            gone = record.versions if number is None else (record.version(number),)
            left = tuple(version for version in record.versions if version not in gone)
            place = self._place(name)
            if left:
                default = record.default if any(v.number == record.default for v in left) else left[-1].number
                write_record(place / RECORD, record.model_copy(update={"versions": left, "default": default}))
                for version in gone:
                    shutil.rmtree(place / str(version.number), ignore_errors=True)
            else:
                (place / RECORD).unlink()
                shutil.rmtree(place, ignore_errors=True)
        return [f"{name}@{version.number}" for version in gone]

    def sweep(self) -> int:
        """Deletes what processes that ended have left behind: half uploads, versions in no record. How many."""
        old = time.time() - ABANDONED_S
        with self._locked():
            left = [path for path in (self._folder / INCOMING).glob("*") if path.stat().st_mtime < old]
            for place in self._folder.glob("*"):
                try:
                    record = read_record(place / RECORD)
                except Unavailable:
                    continue
                kept = {str(version.number) for version in record.versions} | {RECORD} if record else set()
                if place.name != INCOMING and place.is_dir():
                    left += [path for path in place.iterdir() if path.name not in kept]
            for path in left:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        return len(left)

    def _known(self, model_id: str) -> Record:
        record = self.find(model_id)
        if record is None:
            raise UnknownModel(f"there is no model {model_id!r} that was uploaded")
        return record

    def _place(self, name: str) -> Path:
        return self._folder / hashlib.sha256(name.encode()).hexdigest()[:32]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
