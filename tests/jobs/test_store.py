"""Files of the result store, on the disk and in memory."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from service.errors import ConfigurationError, JobsUnavailable
from service.jobs.store import Store


@pytest.mark.parametrize("url", ["{folder}", "file://{folder}", "memory://{folder}"])
def test_put_get_delete(url: str, tmp_path: Path) -> None:
    store = Store(url.format(folder=tmp_path / "results"))
    first, second = store.put("j", "result", b"one"), store.put("j", "result", b"two")
    assert re.fullmatch(r"j/result\.\d{10}\.[0-9a-f]{8}", first)
    assert first != second
    assert (store.get(first), store.get(second)) == (b"one", b"two")
    assert sorted(store.older_than(0)) == sorted([first, second])
    assert store.older_than(60) == []
    store.delete(first)
    store.delete(first)
    assert store.get(first) is None
    assert store.older_than(0) == [second]
    store.delete(second)


def test_its_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    Store(str(tmp_path / "a" / "results")).put("j", "result", b"")
    assert stat.S_IMODE((tmp_path / "a" / "results").stat().st_mode) == 0o700


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / "a.1.txt").touch()
    assert Store(str(tmp_path)).older_than(3600) == ["a.1.txt"]


def test_no_folder_has_no_files(tmp_path: Path) -> None:
    assert Store(str(tmp_path / "none")).older_than(0) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JobsUnavailable, match="store of the jobs' results"):
        Store(str(tmp_path / "file" / "results")).put("j", "result", b"")


def test_a_store_that_is_none() -> None:
    with pytest.raises(ConfigurationError, match="result_store: 'nosuch://bucket' cannot be used"):
        Store("nosuch://bucket")
