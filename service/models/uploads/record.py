"""What is written down about an uploaded model."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from service.errors import Unavailable, UnknownModel

log = structlog.get_logger(__name__)

RECORD = "record.json"
Visibility = Literal["private", "shared"]


class Version(BaseModel):
    """One upload: its own bytes' digest, and that of the canonical file that is loaded instead."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    created: datetime
    bytes: int
    upload_digest: str
    parameters: int
    spec: dict[str, Any]
    manifest: dict[str, Any]


class Record(BaseModel):
    """Everything about one uploaded model; `last` numbers are never given twice."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    owner: str
    visibility: Visibility
    default: int
    last: int
    versions: tuple[Version, ...]

    def version(self, number: int | None) -> Version:
        """The default one for None. Raises UnknownModel."""
        for version in self.versions:
            if version.number == (number or self.default):
                return version
        numbers = ", ".join(str(version.number) for version in self.versions)
        raise UnknownModel(f"the model {self.id!r} has no version {number}; it has {numbers}")

    def visible_to(self, owner: str | None) -> bool:
        """`owner` None is the administrator."""
        return owner is None or self.visibility == "shared" or self.owner == owner


def canonical_name(keras: str) -> str:
    """The file that a model is kept as, by the version of Keras that wrote it: HDF5 for Keras 2."""
    return "canonical.h5" if keras.startswith("2.") else "canonical.keras"


def split_id(model_id: str) -> tuple[str, int | None]:
    """`("name", 2)` of `name@2`, `("name", None)` of `name`."""
    name, at, number = model_id.partition("@")
    return (name, int(number)) if at and number.isdecimal() and number.isascii() else (model_id, None)


def read_record(path: Path) -> Record | None:
    """None where there is none, or a damaged one. Raises Unavailable where the disk does not give it."""
    try:
        return Record.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None
    except OSError as error:
        log.error("record not readable", path=str(path), reason=error.strerror)
        raise Unavailable("what is known of this model cannot be read right now; the log says why") from None


def write_record(path: Path, record: Record) -> None:
    """At once and whole, also when the power goes."""
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        file.write(record.model_dump_json().encode())
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """What was renamed in it stays so when the power goes."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
