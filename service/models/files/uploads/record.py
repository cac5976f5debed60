"""What is written down about an uploaded model."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Self

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.errors import Unavailable, UnknownModel
from service.files import replacing
from service.json_types import Json, JsonObject

log = structlog.get_logger(__name__)

RECORD = "record.json"
Visibility = Literal["private", "shared"]


class Version(BaseModel):
    """One upload: its own bytes' digest, and that of the canonical file that is loaded instead.

    Fields of a newer service are kept as they are.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    number: int = Field(ge=1, lt=10**6)
    created: datetime
    bytes: int
    upload_digest: str
    parameters: int
    spec: JsonObject
    manifest: JsonObject


class Record(BaseModel):
    """Everything about one uploaded model; `last` numbers are never given twice. Fields of a newer service are kept."""

    model_config = ConfigDict(frozen=True, extra="allow")

    id: str
    owner: str
    visibility: Visibility
    default: int
    last: int
    versions: tuple[Version, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _numbers_belong_together(self) -> Self:
        numbers = [version.number for version in self.versions]
        if len(set(numbers)) < len(numbers) or self.default not in numbers or self.last < max(numbers):
            raise ValueError("'default' and 'last' are numbers of versions, and no two versions have one")
        return self

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


@dataclass(frozen=True)
class Unreadable:
    """A record that is damaged, or of another version of the service: its files stay, and its ID stays taken.

    `shown_as` is the model's ID where it is known whose it is, else a name made of its folder's, so that no other key
    learns of it.
    """

    reason: str
    shown_as: str
    owner: str | None = None
    shared: bool = True

    def visible_to(self, owner: str | None) -> bool:
        """Decides as a record does; `owner` None is the administrator."""
        return owner is None or self.shared or owner == self.owner


def canonical_name(keras: str) -> str:
    """The file that a model is kept as, by the version of Keras that wrote it: HDF5 for Keras 2."""
    return "canonical.h5" if keras.startswith("2.") else "canonical.keras"


def split_id(model_id: str) -> tuple[str, int | None]:
    """`("name", 2)` of `name@2`, `("name", None)` of `name`."""
    name, at, number = model_id.partition("@")
    return (name, int(number)) if at and number.isdecimal() and number.isascii() else (model_id, None)


def read_record(path: Path) -> Record | Unreadable | None:
    """Reads a record; None where there is none. Raises Unavailable where the disk does not give it."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        log.error("record not readable", path=str(path), reason=error.strerror)
        raise Unavailable("what is known of this model cannot be read right now; the log says why") from None
    try:
        return Record.model_validate_json(data)
    except ValidationError as error:
        return _unreadable(path, data, error)


def _unreadable(path: Path, data: bytes, error: ValidationError) -> Unreadable:
    """Describes a damaged record with as much as it still says about whose model it is."""
    wrong = ", ".join(".".join(str(part) for part in item["loc"]) or "all of it" for item in error.errors()[:5])
    reason = (
        f"the record of this upload cannot be read (at fault: {wrong[:200]}): it is damaged, or was written by another "
        "version of the service. Its files are kept, and nothing is deleted"
    )
    known: Json = None
    with suppress(ValueError, RecursionError):
        known = json.loads(data)
    said = known if isinstance(known, dict) else {}
    owner, model_id, visibility = said.get("owner"), said.get("id"), said.get("visibility")
    if isinstance(owner, str) and isinstance(model_id, str):
        return Unreadable(reason, model_id[:64], owner, visibility == "shared")
    return Unreadable(reason, f"unreadable-{path.parent.name[:8]}")


def write_record(path: Path, record: Record) -> None:
    """Writes the record at once and whole, also when the power goes."""
    with replacing(path) as fresh:
        fresh.write_bytes(record.model_dump_json().encode())
