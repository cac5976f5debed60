"""A file that is replaced is the old or the new one, whole, and nothing else is left in its folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from service.files import FRESH, replacing


def test_the_new_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(b"old, and longer")
    with replacing(path) as fresh:
        fresh.write_bytes(b"new")
        assert path.read_bytes() == b"old, and longer"
        assert fresh.name.startswith(FRESH)
        assert fresh.suffix == path.suffix
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("mode", "wanted"), [(0o600, 0o600), (0o666, 0o640)])
def test_its_mode_heeds_the_umask(tmp_path: Path, mode: int, wanted: int) -> None:
    before = os.umask(0o027)
    try:
        with replacing(tmp_path / "file", mode) as fresh:
            assert fresh.stat().st_mode & 0o777 == wanted
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == wanted


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_where_it_fails_nothing_has_changed(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write() -> None:
        with replacing(path) as fresh:
            fresh.write_bytes(b"half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_replaced_is_said(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError), replacing(tmp_path / "folder") as fresh:
        fresh.write_bytes(b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "none" / "file"):
        pass


def test_file_and_folder_are_synced_in_this_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    with replacing(tmp_path / "file") as fresh:
        fresh.write_bytes(b"new")
    assert synced == [str(fresh), str(tmp_path)]
