"""The multipart body of an upload → files in a folder, and what the caller says of the model."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from service.api.reading.json_text import json_object
from service.errors import FieldError, InvalidParameter, MalformedBody, TooSlow, UnsupportedMediaType
from service.errors.validation import field_errors, in_one
from service.file_kinds import HEAD_BYTES
from service.json_types import JsonObject
from service.models.files.opening.strangers import what_bytes_are
from service.models.files.spec import Frozen, HeadKind, InputSpec, ModelName, Preprocessing
from service.models.files.uploads.record import Visibility
from service.usecases.uploads import Wanted

MAX_FIELDS = 16
MAX_FIELD_BYTES = 1024**2
MODEL, ARCHITECTURE, WEIGHTS = "model", "architecture", "weights"
_MAGIC = {b"PK\x03\x04": "upload.keras", b"\x89HDF": "upload.h5"}
Label = Annotated[str, Field(max_length=200)]


class UploadSpec(Frozen):
    """What a file cannot tell of itself; as in `model.toml`."""

    title: str = Field("", max_length=200)
    input: InputSpec = InputSpec()
    preprocessing: Preprocessing | None = None
    labels: Literal["imagenet"] | tuple[Label, ...] | None = Field(None, max_length=100_000)
    head: HeadKind | None = None
    cam_layer: str | None = Field(None, max_length=300)
    licence: str = Field("", max_length=200)
    origin: str = Field("", max_length=500)


class UploadForm(Frozen):
    """The fields beside the files."""

    id: ModelName = Field(description="ID of the model; an ID of yours that is there already gets another version.")
    visibility: Visibility | None = Field(None, description="`private`: for the key that uploads; `shared`: for all.")
    spec: UploadSpec = Field(UploadSpec(), description="JSON of what the file cannot tell.")


async def received(request: Request, folder: Path, longest_s: float) -> Wanted:
    """Raises MalformedBody, InvalidParameter, UnsupportedMediaType, or TooSlow after `longest_s`."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise UnsupportedMediaType("send the model as multipart/form-data (curl: -F id=mine -F model=@mine.keras)")
    try:
        async with asyncio.timeout(longest_s):
            form = await request.form(max_files=2, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES)
    except TimeoutError:
        raise TooSlow(f"the model did not arrive within {longest_s:g} s, the longest an upload may take") from None
    except HTTPException as error:
        raise MalformedBody(f"the multipart body cannot be read: {error.detail}") from error
    try:
        wanted = _fields(form)
        await asyncio.to_thread(_store, form, folder)
        return wanted
    finally:
        await form.close()


def _fields(form: FormData) -> Wanted:
    names = [name for name, _ in form.multi_items()]
    if twins := sorted({name for name in names if names.count(name) > 1}):
        raise MalformedBody(f"the parts {', '.join(map(repr, twins))} are sent more than once; send each once")
    values: JsonObject = {name: value for name, value in form.multi_items() if isinstance(value, str)}
    try:
        if "spec" in values:
            text = values["spec"]
            values["spec"] = UploadSpec.model_validate_json(text)
            json_object(text.encode(), "the part 'spec'")
        parsed = UploadForm.model_validate(values)
    except ValidationError as error:
        if error.title == UploadForm.__name__:
            fields = field_errors(error.errors(), UploadForm)
        else:
            inner = field_errors(error.errors(), UploadSpec)
            fields = [FieldError(("spec", *item.loc), item.msg) for item in inner]
        raise InvalidParameter(in_one(fields), errors=fields) from None
    return Wanted(parsed.id, parsed.visibility, parsed.spec.model_dump(mode="json", exclude_none=True))


def _store(form: FormData, folder: Path) -> None:
    files = {name: value for name, value in form.multi_items() if isinstance(value, UploadFile)}
    if set(files) == {MODEL}:
        head = files[MODEL].file.read(HEAD_BYTES)
        magic = head[:4]
        if magic not in _MAGIC:
            raise UnsupportedMediaType(
                f"the file 'model' is neither a .keras archive nor HDF5 (.h5, .hdf5): {what_bytes_are(head)}"
            )
        _save(files[MODEL], folder / _MAGIC[magic])
    elif set(files) == {ARCHITECTURE, WEIGHTS}:
        _save(files[ARCHITECTURE], folder / "upload.json")
        _save(files[WEIGHTS], folder / "upload.weights.h5")
    else:
        given = ", ".join(sorted(files)) or "none"
        raise MalformedBody(f"the file parts are {given}; send 'model', or 'architecture' and 'weights'")


def _save(upload: UploadFile, path: Path) -> None:
    upload.file.seek(0)
    with path.open("xb") as file:
        shutil.copyfileobj(upload.file, file, 1024**2)
