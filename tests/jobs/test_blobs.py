"""Small blobs in the database, large ones in files; replaced in one go, and fenced."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.jobs.blobs import LARGE, RUN, Blobs, RunOver
from service.jobs.config import JobsConfig
from service.jobs.database import BLOBS, Database
from service.jobs.store import Store


@pytest.fixture
def database(config: JobsConfig) -> Iterator[Database]:
    made = Database(config.database_url, connections=4)
    made.create_tables()
    yield made
    made.close()


@pytest.fixture
def blobs(config: JobsConfig, database: Database) -> Blobs:
    return Blobs(database, Store(config.result_store))


def files(config: JobsConfig) -> list[Path]:
    return [path for path in (config.data_dir / "results").rglob("*") if path.is_file()]


def test_put_get_replace_delete(blobs: Blobs) -> None:
    assert blobs.get("j", "a") is None
    assert not blobs.exists("j", "a")
    blobs.put("j", "a", b"")
    assert blobs.get("j", "a") == b""
    blobs.put("j", "a", b"two")
    blobs.put("j", "b", b"\x00\xff")
    blobs.put("k", "a", b"other")
    assert (blobs.get("j", "a"), blobs.get("j", "b")) == (b"two", b"\x00\xff")
    assert blobs.of_jobs(["j", "k", "l"], "a") == {"j": b"two", "k": b"other"}
    blobs.put("j", "c", b"instead", instead_of=["a"])
    assert (blobs.get("j", "a"), blobs.get("j", "c")) == (None, b"instead")
    blobs.delete("j", ["b"])
    assert blobs.get("j", "b") is None
    blobs.put("j", "b", b"again")
    blobs.delete("j", keep=["c"])
    assert (blobs.get("j", "b"), blobs.get("j", "c")) == (None, b"instead")
    blobs.delete("j")
    assert not blobs.exists("j", "c")
    assert blobs.get("k", "a") == b"other"


def test_up_to_20_mb_in_the_database_and_beyond_in_a_file(config: JobsConfig, database: Database, blobs: Blobs) -> None:
    blobs.put("j", "a", bytes(LARGE))
    assert files(config) == []
    blobs.put("j", "a", b"x" * (LARGE + 1))
    first = files(config)
    assert [path.stat().st_size for path in first] == [LARGE + 1]
    assert blobs.get("j", "a") == b"x" * (LARGE + 1)
    with database.begin() as connection:
        assert connection.execute(sa.select(BLOBS.c.data, BLOBS.c.location)).one().data is None
    blobs.put("j", "a", b"y" * (LARGE + 1))
    second = files(config)
    assert len(second) == 1
    assert second != first
    blobs.put("j", "a", b"small")
    assert files(config) == []
    blobs.put("j", "a", b"z" * (LARGE + 1))
    blobs.delete("j")
    assert files(config) == []
    assert list((config.data_dir / "results").iterdir()) == []


def test_a_reader_sees_old_or_new(sqlite_config: JobsConfig) -> None:
    """The file is replaced while it is read."""
    database = Database(sqlite_config.database_url, connections=4)
    database.create_tables()
    blobs = Blobs(database, Store(sqlite_config.result_store))
    blobs.put("j", "a", b"0" * (LARGE + 1))
    done = threading.Event()
    seen: set[bytes] = set()

    def read() -> None:
        while not done.is_set():
            data = blobs.get("j", "a")
            assert data is not None
            assert len(data) == LARGE + 1
            assert data == data[:1] * len(data)
            seen.add(data[:1])

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(1, 8):
        blobs.put("j", "a", b"%d" % number * (LARGE + 1))
        time.sleep(0.05)
    done.set()
    reader.join()
    assert len(seen) >= 3
    database.close()


class TestFence:
    def test_only_the_present_run_writes(self, config: JobsConfig, blobs: Blobs) -> None:
        blobs.put("j", RUN, b"first")
        blobs.put("j", "a", b"1", run="first")
        blobs.put("j", RUN, b"second")
        for data in (b"late", b"l" * (LARGE + 1)):
            with pytest.raises(RunOver):
                blobs.put("j", "a", data, run="first")
        assert blobs.get("j", "a") == b"1"
        assert files(config) == []
        blobs.put("j", "a", b"2", run="second")
        assert blobs.get("j", "a") == b"2"

    def test_a_job_that_never_began_is_not_written_to(self, blobs: Blobs) -> None:
        with pytest.raises(RunOver):
            blobs.put("j", "a", b"1", run="first")

    def test_a_run_cannot_begin_between_the_look_and_the_commit(self, database: Database, blobs: Blobs) -> None:
        """The second's claim waits for the first's transaction: what it then reads holds the first's last write."""
        blobs.put("j", RUN, b"first")
        claimed = threading.Event()

        def claim() -> None:
            blobs.put("j", RUN, b"second")
            claimed.set()

        with database.begin() as connection:
            connection.execute(sa.update(BLOBS).where(BLOBS.c.name == RUN).values(updated=1.0))
            thread = threading.Thread(target=claim)
            thread.start()
            assert not claimed.wait(0.3)
        thread.join(10)
        assert claimed.is_set()


def test_what_nobody_names_is_found(config: JobsConfig, database: Database, blobs: Blobs) -> None:
    store = Store(config.result_store)
    kept, stray = LARGE + 1, LARGE + 2
    blobs.put("j", "a", bytes(kept))
    store.put("k", "a", bytes(stray))
    blobs.delete_stray_files(3600)
    assert len(files(config)) == 2
    blobs.delete_stray_files(0)
    assert [path.stat().st_size for path in files(config)] == [kept]


def test_jobs_by_the_age_of_their_newest_blob(database: Database, blobs: Blobs) -> None:
    for job in ("a", "b", "c"):
        blobs.put(job, "image", b"")
    blobs.put("d", "progress", b"")
    middle = database.clock()
    time.sleep(0.01)
    blobs.put("b", "result", b"")
    found = blobs.jobs_unchanged_since(middle, other_than="progress", after="", limit=10)
    assert list(found) == ["a", "c"]
    assert all(abs(middle - written_at) < 5 for written_at in found.values())
    assert list(blobs.jobs_unchanged_since(middle, other_than="progress", after="a", limit=10)) == ["c"]
    assert list(blobs.jobs_unchanged_since(middle, other_than="progress", after="", limit=1)) == ["a"]
