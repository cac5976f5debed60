"""Files under the names that Keras chooses its readers by."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.errors import ModelNotLoadable
from service.json_types import Json, JsonObject


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder of one's own, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="kerascope-") as folder:
        yield Path(folder)


@contextmanager
def named(path: Path, suffix: str) -> Iterator[Path]:
    """`path` under a name with the ending by which Keras chooses its reader."""
    if path.name.removeprefix(path.name.split(".")[0]) == suffix:
        yield path
        return
    with scratch() as folder:
        link = folder / f"model{suffix}"
        link.symlink_to(path.resolve())
        yield link


@contextmanager
def extracted(archive: Path, member: str) -> Iterator[Path]:
    """A member of a zip, or of an unpacked one, as a file. Raises ModelNotLoadable where it is not there."""
    if archive.is_dir():
        yield archive / member
        return
    with scratch() as folder, zipfile.ZipFile(archive) as opened:
        info = next((info for info in opened.infolist() if info.filename.replace("\\", "/") == member), None)
        if info is None:
            raise ModelNotLoadable(f"{archive.name!r} holds no weights: it has no {member}")
        target = folder / Path(member).name
        with opened.open(info) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
        yield target


@contextmanager
def archive_with(path: Path, config: JsonObject | None) -> Iterator[Path]:
    """A `.keras` file, or the folder of an unpacked one, as a `.keras` file; with another architecture where one is
    given."""
    if path.is_file() and config is None:
        with named(path, ".keras") as link:
            yield link
        return
    with scratch() as folder:
        packed = folder / "model.keras"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as target:
            for name, source in _members(path):
                with source as data, target.open(name, "w", force_zip64=True) as member:
                    if name == "config.json" and config is not None:
                        member.write(json.dumps(config).encode())
                    else:
                        shutil.copyfileobj(data, member, 1 << 20)
        yield packed


def _members(path: Path) -> Iterator[tuple[str, Json]]:
    if path.is_dir():
        for file in sorted(item for item in path.rglob("*") if item.is_file()):
            yield file.relative_to(path).as_posix(), file.open("rb")
        return
    with zipfile.ZipFile(path) as source:
        for info in source.infolist():
            if not info.is_dir():
                yield info.filename.replace("\\", "/"), source.open(info)
