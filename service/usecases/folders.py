"""Folders of pictures that the operator keeps: callers name one of them instead of sending its pictures."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from service.errors import InvalidParameter, TooLarge
from service.imaging.picture_zip import MOST_MEMBERS, MOST_PICTURE_BYTES, zipped

NAME = re.compile(r"[^./\\\0][^/\\\0]{0,99}(/[^./\\\0][^/\\\0]{0,99}){0,7}")
# A folder is read into memory whole, before it is kept with its job.
MOST_BYTES = 2**28
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Folders:
    """The folders below `root`; none where it is None. Links are followed nowhere, not even within it."""

    def __init__(self, root: Path | None) -> None:
        self._root = root

    def zipped(self, name: str) -> bytes:
        """The ordinary files of the folder of that name, such as `zebras` or `animals/zebras`, as a zip; those within
        further folders, hidden ones and links are passed over. Takes its time: for a thread.

        Raises InvalidParameter where there is no such folder, and TooLarge where it holds too much.
        """
        if self._root is None:
            raise InvalidParameter(
                f"{name[:100]!r} is the name of a folder, and this service has no folders of pictures (setting "
                "KERASCOPE_PICTURES_DIR); send the pictures, or a zip of them, as files"
            )
        if not NAME.fullmatch(name):
            raise InvalidParameter(
                f"{name[:100]!r} cannot be the name of a folder of pictures: write it as 'zebras' or 'animals/zebras', "
                "without a dot in front"
            )
        with ExitStack() as stack:
            try:
                folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                stack.callback(os.close, folder)
                for part in name.split("/"):
                    folder = os.open(part, _OPEN | os.O_DIRECTORY, dir_fd=folder)
                    stack.callback(os.close, folder)
                names = sorted(each for each in os.listdir(folder) if not each.startswith("."))
            except OSError as error:
                raise InvalidParameter(f"there is no folder {name!r} among the folders of pictures") from error
            if len(names) > MOST_MEMBERS:
                raise TooLarge(f"the folder {name!r} holds {len(names)} files, more than the {MOST_MEMBERS} of one set")
            return zipped(self._files(folder, name, names))

    @staticmethod
    def _files(folder: int, name: str, names: list[str]) -> Iterator[tuple[str, bytes]]:
        """One after the other, so that each is there once beside the zip."""
        size = 0
        for each in names:
            try:
                file = os.open(each, _OPEN, dir_fd=folder)
            except OSError:
                continue
            if not stat.S_ISREG(os.fstat(file).st_mode):
                os.close(file)
                continue
            with os.fdopen(file, "rb") as stream:
                data = stream.read(MOST_PICTURE_BYTES + 1)
            size += len(data)
            if size > MOST_BYTES:
                raise TooLarge(f"the folder {name!r} holds more than the {MOST_BYTES} bytes that are taken of one")
            yield each, data
