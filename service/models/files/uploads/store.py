"""Uploaded models on disk: versions of an ID, whose they are, and what they take. Reads no weights, runs no code.

Every model has a folder named by the digest of its ID, with a record and a folder for each version; nothing a caller
wrote becomes a name on disk. A version appears at once and whole: its folder is renamed into place, then the record.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock
from pydantic import ValidationError

from service.errors import ModelExists, ModelNotLoadable, QuotaExceeded, Unavailable, UnknownModel
from service.files import FRESH, sync
from service.json_types import JsonObject
from service.models.files.spec import ModelSpec
from service.models.files.uploads.record import (
    RECORD,
    Record,
    Unreadable,
    Version,
    Visibility,
    canonical_name,
    read_record,
    split_id,
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
        self._read: dict[Path, tuple[tuple[int, int, int], Record | Unreadable]] = {}

    def incoming(self) -> Path:
        """A new folder to receive files in."""
        folder = self._folder / INCOMING / uuid.uuid4().hex
        folder.mkdir(parents=True, mode=0o700)
        return folder

    def find(self, model_id: str) -> Record | None:
        """The record of a model, without its version. Raises ModelNotLoadable for one that cannot be read, Unavailable
        where the disk does not give it."""
        record = self._record(self._place(split_id(model_id)[0]) / RECORD)
        if isinstance(record, Unreadable):
            raise ModelNotLoadable(record.reason)
        return record

    def _record(self, path: Path) -> Record | Unreadable | None:
        """Read once, and again when it has changed. Raises Unavailable."""
        try:
            state = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            self._read.pop(path, None)
            return None
        except OSError:
            return read_record(path)
        stamp = (state.st_mtime_ns, state.st_size, state.st_ino)
        known = self._read.get(path)
        if known is None or known[0] != stamp:
            found = read_record(path)
            if found is None:
                return None
            known = self._read[path] = (stamp, found)
        return known[1]

    def hidden(self, model_id: str, owner: str | None) -> bool:
        """Whether it is an upload that `owner` must not know of. Raises Unavailable."""
        record = self._record(self._place(split_id(model_id)[0]) / RECORD)
        if isinstance(record, Unreadable) and record.owner is None:
            # Whose it is cannot be said: it is shown under another name, and by this to the administrator alone.
            return owner is not None
        return record is not None and not record.visible_to(owner)

    def spec(self, model_id: str) -> ModelSpec | None:
        """The spec of `name`, in its default version, or of `name@2`.

        Raises UnknownModel for a version that is not, and ModelNotLoadable.
        """
        name, number = split_id(model_id)
        record = self.find(name)
        if record is None:
            return None
        version = record.version(number)
        fixed = {
            "id": f"{name}@{version.number}",
            "weights": canonical_name(str(version.manifest.get("keras", ""))),
            "sha256": str(version.manifest.get("canonical_digest")).removeprefix("sha256:"),
            "folder": self._place(name) / str(version.number),
            "trusted": False,
            "custom_objects": None,
        }
        try:
            return ModelSpec(**version.spec | fixed)
        except ValidationError as error:
            wrong = ", ".join(".".join(str(part) for part in item["loc"]) for item in error.errors()[:5])
            raise ModelNotLoadable(
                f"version {version.number} of this upload has a spec that this version of the service cannot use (at "
                f"fault: {wrong[:200]}); its files are kept"
            ) from None

    def records(self) -> list[Record]:
        """Every model whose record can be read, in the order of IDs."""
        return sorted((each for each in self._all() if isinstance(each, Record)), key=lambda record: record.id)

    def unreadable(self) -> list[Unreadable]:
        """The records that cannot be read; each hides its own model alone."""
        return [each for each in self._all() if isinstance(each, Unreadable)]

    def _all(self) -> Iterator[Record | Unreadable]:
        for path in self._paths():
            try:
                found = self._record(path)
            except Unavailable as error:
                found = Unreadable(error.detail, f"unreadable-{path.parent.name[:8]}")
            if found is not None:
                yield found

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob(f"*/{RECORD}"))

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
        """Raises ModelExists for an ID that is another's, or whose record cannot be read."""
        try:
            record = self.find(model_id)
        except ModelNotLoadable:
            raise ModelExists(f"the model ID {model_id!r} is taken; choose another") from None
        if record is not None and owner not in (None, record.owner):
            raise ModelExists(f"the model ID {model_id!r} is taken; choose another")

    def add(
        self,
        model_id: str,
        owner: str,
        visibility: Visibility | None,
        spec: JsonObject,
        manifest: JsonObject,
        file: Path,
    ) -> Record:
        """The next version of a model, from a canonical file that is moved; it becomes the default.

        Without `visibility` a model stays as visible as it is, and a new one is private.
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
            sync(place)
            made = Record(
                id=model_id,
                owner=owner,
                visibility=visibility or "private",
                default=number,
                last=number,
                versions=(version,),
            )
            if record:
                versions = (*record.versions, version)
                seen_by = visibility or record.visibility
                changed = {"visibility": seen_by, "default": number, "last": number, "versions": versions}
                made = record.model_copy(update=changed)
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
        """Deletes what processes that ended have left behind: half uploads, versions in no record. How many.

        Only what is known to be such a thing: a record that cannot be read, and what another version of the service has
        put beside one, stay.
        """
        old = time.time() - ABANDONED_S
        with self._locked():
            left = [path for path in (self._folder / INCOMING).glob("*") if path.lstat().st_mtime < old]
            for place in self._folder.glob("*"):
                if place.name != INCOMING:
                    left += self._left_in(place)
            for path in left:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        return len(left)

    def _left_in(self, place: Path) -> list[Path]:
        try:
            record = read_record(place / RECORD)
        except Unavailable:
            return []
        if isinstance(record, Unreadable):
            return []
        kept = {str(version.number) for version in record.versions} if record else set()
        with suppress(OSError):
            return [
                path for path in place.iterdir()
                if (path.name.isdecimal() and path.name not in kept) or path.name.startswith(FRESH)
            ]  # fmt: skip
        return []

    def _known(self, model_id: str) -> Record:
        record = self.find(model_id)
        if record is None:
            raise UnknownModel(f"there is no model {model_id!r} that was uploaded")
        return record

    def _place(self, name: str) -> Path:
        return self._folder / hashlib.sha256(name.encode()).hexdigest()[:32]

    def _locked(self) -> FileLock:
        # A soft lock is none of the kernel's: it would stay when its holder is killed.
        return FileLock(self._folder / "lock", fallback_to_soft=False)
