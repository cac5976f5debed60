"""Sets of pictures as callers send them → one zip a set: file parts, a zip, base64, or the name of a folder."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from service.errors import FieldError, InvalidParameter, KerascopeError, MalformedBody
from service.explainers.base import Explainer
from service.explainers.picture_sets import MOST_PICTURES
from service.imaging.decode import decode_base64
from service.imaging.picture_zip import ZIP, zipped
from service.json_types import Json, JsonObject
from service.usecases.folders import Folders
from service.usecases.request import SentSet

ZIP_TYPES = ("application/zip", "application/x-zip-compressed")
FOLDER = "folder"
# One more than a set may have, so that it is told what is too much.
MOST_FILES = MOST_PICTURES + 1
File = tuple[str, bytes]


@dataclass(frozen=True)
class SetReader:
    """Reads the sets of these names; `folders` are those that callers may name."""

    names: tuple[str, ...]
    folders: Folders

    @classmethod
    def of(cls, explainer: Explainer, folders: Folders) -> SetReader | None:
        """The reader for a method that looks at sets; None for any other."""
        return cls(tuple(each.name for each in explainer.sets), folders) if explainer.sets else None

    async def of_files(self, files: dict[str, list[File]]) -> dict[str, SentSet]:
        """Reads file parts, by the names of their sets: pictures, or one zip. Raises InvalidParameter."""
        return {name: await asyncio.to_thread(_of_files, name, own) for name, own in files.items()}

    async def of_text(self, params: JsonObject) -> dict[str, SentSet]:
        """Takes those that are named in a query or a form, as folders, out of `params`. Raises InvalidParameter."""
        found = {}
        for name in self.names:
            if name in params:
                found[name] = await self._of_folder(name, params.pop(name))
        return found

    async def of_json(self, params: JsonObject) -> dict[str, SentSet]:
        """Takes those of a JSON body out of `params`: a list of pictures or one zip, as base64, or `{"folder": …}`.

        Raises InvalidParameter, MalformedBody.
        """
        found = {}
        for name in self.names:
            value = params.pop(name, None)
            if isinstance(value, dict) and set(value) == {FOLDER}:
                found[name] = await self._of_folder(name, value[FOLDER])
            elif value is not None:
                found[name] = await asyncio.to_thread(_of_base64, name, value)
        return found

    async def _of_folder(self, name: str, folder: Json) -> SentSet:
        if not isinstance(folder, str):
            raise _invalid(name, "write the name of one folder of pictures")
        try:
            return SentSet(await asyncio.to_thread(self.folders.zipped, folder))
        except InvalidParameter as error:
            raise _invalid(name, error.detail) from error


def joined(name_of: Sequence[dict[str, SentSet]]) -> dict[str, SentSet]:
    """All that was sent; raises InvalidParameter for a set that is given in two ways."""
    found: dict[str, SentSet] = {}
    for sent in name_of:
        for name, each in sent.items():
            if name in found:
                raise _invalid(name, "the set is given in two ways; give it once")
            found[name] = each
    return found


def _of_files(name: str, files: list[File]) -> SentSet:
    zips = [data for _, data in files if data.startswith(ZIP)]
    if zips and len(files) > 1:
        raise _invalid(name, "several files are sent and one is a zip; send one zip, or pictures")
    if len(files) > MOST_PICTURES:
        raise _invalid(name, f"more than {MOST_PICTURES} pictures are sent, the most that a set may have")
    return SentSet(zips[0] if zips else zipped(files))


def _of_base64(name: str, value: Json) -> SentSet:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise MalformedBody(
            f'{name!r} must be a list of pictures as base64, the base64 of one zip, or {{"{FOLDER}": "<name>"}}'
        )
    try:
        return _of_files(name, [(f"{place + 1:03d}", decode_base64(text)) for place, text in enumerate(texts)])
    except KerascopeError as error:
        raise _invalid(name, error.detail) from error


def _invalid(name: str, detail: str) -> InvalidParameter:
    return InvalidParameter(f"{name}: {detail}", errors=[FieldError((name,), detail)])
