"""What the sandboxed child says of a file: one small JSON document, and nothing else is believed of it."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.models.files.spec import HeadKind
from service.models.files.uploads.record import canonical_name

MAX_BYTES = 64 * 1024
Code = Literal[
    "accepted",
    "model.forbidden_class",
    "model.forbidden_value",
    "model.bad_graph",
    "model.bad_json",
    "model.bad_archive",
    "model.bad_hdf5",
    "model.bad_weights",
    "model.not_finite",
    "model.not_buildable",
    "model.unsupported",
    "model.too_large",
    "model.too_costly",
    "model.unreadable",
    "model.no_sandbox",
]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Shape = tuple[int | None, ...]


class Refused(Exception):
    """A model file is not taken; `code` is for programs, the sentence for people."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Manifest(_Strict):
    """What was read, and what was written: digests of the upload and of the canonical file, and the model's size.

    `keras` is the version that wrote the canonical file, `head` what the training config says of the first output.
    """

    upload_digest: Digest
    canonical_digest: Digest
    parameters: int = Field(ge=0)
    classes: dict[Annotated[str, Field(max_length=200)], int] = Field(max_length=200)
    inputs: tuple[Shape, ...] = Field(max_length=64)
    outputs: tuple[Shape, ...] = Field(max_length=64)
    keras: str = Field(max_length=40)
    head: HeadKind | None = None
    tensorflow: str = Field(max_length=40)
    sandboxed: bool

    @property
    def file(self) -> str:
        """The name of the canonical file: Keras 2 is written as HDF5."""
        return canonical_name(self.keras)


class Verdict(_Strict):
    """`manifest` is there exactly when the file is accepted."""

    code: Code
    detail: str = Field("", max_length=2000)
    manifest: Manifest | None = None

    @model_validator(mode="after")
    def _manifest_belongs_to_accepted(self) -> Self:
        if (self.code == "accepted") != (self.manifest is not None):
            raise ValueError("a manifest goes with 'accepted', and with nothing else")
        return self

    @classmethod
    def refused(cls, code: Code, detail: str) -> Verdict:
        """The sentence is cut, and control characters in it are replaced: names in it are an uploader's."""
        return cls(code=code, detail=re.sub(r"[^\x20-\x7e\u00a0-\u2027\u2030-\u2065\u206a-\ud7ff]", "?", detail)[:1000])
