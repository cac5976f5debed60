"""Signs of life, and a single heir."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from service.jobs.config import JobsConfig
from service.jobs.database import WORKERS, Database
from service.jobs.lease import Lease


@pytest.fixture
def database(config: JobsConfig) -> Iterator[Database]:
    made = Database(config.database_url, connections=8)
    made.create_tables()
    yield made
    made.close()


def test_alive_while_it_beats(database: Database) -> None:
    one, two = (Lease(database, name, lease_s=0.5) for name in ("one", "two"))
    one.beat()
    two.beat()
    assert two.dead({"one", "two", "three"}) == {"three"}
    time.sleep(0.6)
    assert two.dead({"one", "two"}) == {"one"}
    assert one.dead({"one", "two"}) == {"two"}
    one.beat()
    assert two.dead({"one"}) == set()
    one.leave()
    assert two.dead({"one"}) == {"one"}


def test_of_eight_one_takes_over(database: Database) -> None:
    Lease(database, "dead", lease_s=0.2).beat()
    heirs = [Lease(database, f"heir-{number}", lease_s=0.2) for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        assert not any(threads.map(lambda heir: heir.claim("dead"), heirs))
        time.sleep(0.3)
        assert sum(threads.map(lambda heir: heir.claim("dead"), heirs)) == 1
        # One that has left no row, or none any more, has one heir too.
        assert sum(threads.map(lambda heir: heir.claim("unheard of"), heirs)) == 1


def test_the_long_dead_are_forgotten(database: Database) -> None:
    with database.begin() as connection:
        database.upsert(connection, WORKERS, {"executor": "old", "beat": database.now - 21 * 2})
        database.upsert(connection, WORKERS, {"executor": "dead", "beat": database.now - 19 * 2})
    Lease(database, "one", lease_s=2).beat()
    with database.begin() as connection:
        names = connection.execute(sa.select(WORKERS.c.executor).order_by(WORKERS.c.executor)).scalars().all()
    assert names == ["dead", "one"]


def test_after_a_gap_it_takes_nothing_over_for_a_lease(database: Database) -> None:
    lease = Lease(database, "one", lease_s=0.4)
    lease.beat()
    assert lease.steady
    time.sleep(0.25)
    lease.beat()
    assert not lease.steady
    for _ in range(5):
        time.sleep(0.1)
        lease.beat()
    assert lease.steady
