"""The shapes of what is said about uploaded models."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from service.contract.message import Message
from service.json_types import JsonObject
from service.models.files.uploads.record import Record, Visibility


class VersionOut(Message):
    """One version. `digest` is that of the file that was sent, `model_digest` that of the canonical file, by which
    answers name the model."""

    version: int
    created: datetime
    bytes: int
    digest: str
    model_digest: str
    parameters: int
    title: str


class UploadedModel(Message):
    """An uploaded model: `default` is the version that its plain ID stands for."""

    id: str
    visibility: Visibility
    default: int
    versions: list[VersionOut]


class ModelChange(BaseModel):
    """What is to be another."""

    model_config = ConfigDict(extra="forbid")

    default: int | None = Field(None, ge=1, description="The version that the plain ID stands for.")
    visibility: Visibility | None = Field(None, description="`private`: for its key alone; `shared`: for all.")


def uploaded_out(record: Record) -> JsonObject:
    versions = [
        {
            "version": version.number,
            "created": version.created,
            "bytes": version.bytes,
            "digest": version.upload_digest,
            "model_digest": str(version.manifest.get("canonical_digest", "")),
            "parameters": version.parameters,
            "title": title if isinstance(title := version.spec.get("title", ""), str) else "",
        }
        for version in record.versions
    ]
    return {"id": record.id, "visibility": record.visibility, "default": record.default, "versions": versions}
