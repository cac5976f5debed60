"""The jobs database, SQLite or PostgreSQL: connections, our own two tables, its clock, its errors in our words."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateTable

from service.errors import ConfigurationError, JobsUnavailable
from service.jobs.room import is_full, no_room_left, require_room
from service.json_types import JsonObject

RETRY_AFTER_S = 5
IDLE_TRANSACTION_S = 5
SQLITE_FULL = 13
# SQLITE_CORRUPT and SQLITE_NOTADB, in the low byte of an extended code.
SQLITE_DAMAGES = (11, 26)
WAL_ATTEMPTS = 100
WAL_PAUSE_S = 0.05
# PostgreSQL's codes.
DISK_FULL = "53100"
IDLE_TRANSACTION = "25P03"
TABLES_LOCK = 0x6B657261
# Keeps other threads from connecting to SQLite's file between the two calls that make it.
_making = threading.Lock()
SQLITE_CLOCK = "(julianday('now') - 2440587.5) * 86400.0"
POSTGRESQL_CLOCK = "extract(epoch from clock_timestamp())"

metadata = sa.MetaData()

WORKERS = sa.Table(
    "job_workers",
    metadata,
    sa.Column("executor", sa.Text, primary_key=True),
    sa.Column("beat", sa.Double, nullable=False),
)

BLOBS = sa.Table(
    "job_blobs",
    metadata,
    sa.Column("job", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("data", sa.LargeBinary),
    sa.Column("location", sa.Text),
    sa.Column("updated", sa.Double, nullable=False),
)


class Database:
    """Connects when first used. Every method raises JobsUnavailable while the database cannot be reached."""

    def __init__(self, url: str, *, connections: int) -> None:
        self._url = sa.make_url(url)
        self.stale = False
        self._opened: tuple[int, int] | None = None
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self.engine = _sqlite_engine(self._url, connections)
        elif self._url.get_backend_name() == "postgresql":
            self.engine = _postgresql_engine(self._url, connections)
        else:
            raise ConfigurationError(
                f"database_url: {self._url.drivername!r} is not supported; use sqlite:///… or postgresql://…"
            )

    @property
    def url(self) -> str:
        return self._url.render_as_string(hide_password=False)

    @property
    def now(self) -> sa.ColumnElement[float]:
        """Seconds since 1970 by the database's clock, which all workers share."""
        clock = SQLITE_CLOCK if self.is_sqlite else POSTGRESQL_CLOCK
        return sa.cast(sa.literal_column(clock), sa.Double)

    @contextlib.contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """One transaction, committed at the end of the block."""
        with self.reachable(), self.engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def reachable(self) -> Iterator[None]:
        """Turns the driver's errors into StorageFull and JobsUnavailable.

        After that, `renew` opens SQLite's file anew.
        """
        try:
            with _in_our_words():
                yield
        except JobsUnavailable:
            if self.is_sqlite:
                self.stale = True
            raise

    def renew(self) -> bool:
        """Closes what is open where SQLite's file could not be used, or has been moved away or replaced since: the file
        that is opened next may be another, without tables. Whether that was so."""
        if not self.is_sqlite:
            return False
        now = _identity(_file(self._url))
        if not self.stale and now == self._opened:
            return False
        self.engine.dispose()
        self.stale = False
        self._opened = now
        return True

    def opened(self) -> None:
        """Notes that the tables are there; to be called then."""
        self._opened = _identity(_file(self._url)) if self.is_sqlite else None

    def clock(self) -> float:
        with self.begin() as connection:
            return float(connection.execute(sa.select(self.now)).scalar_one())

    def create_tables(self) -> None:
        """Safe when several processes do it at once."""
        with self.begin() as connection:
            if not self.is_sqlite:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(TABLES_LOCK)))
            for table in metadata.sorted_tables:
                connection.execute(CreateTable(table, if_not_exists=True))

    def upsert(self, connection: sa.Connection, table: sa.Table, values: JsonObject) -> None:
        """Inserts a row, or replaces the one with the same primary key."""
        dialect = sqlite if self.is_sqlite else postgresql
        insert = dialect.insert(table).values(values)
        keys = [column.name for column in table.primary_key]
        changed = {name: insert.excluded[name] for name in values if name not in keys}
        connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=changed))

    def insert_new(self, connection: sa.Connection, table: sa.Table, values: JsonObject) -> bool:
        """False when a row with that primary key is there already; it stays as it is."""
        dialect = sqlite if self.is_sqlite else postgresql
        insert = dialect.insert(table).values(values).on_conflict_do_nothing().returning(*table.primary_key)
        return connection.execute(insert).first() is not None

    def require_room(self, size: int) -> None:
        """Raises StorageFull when SQLite's disk has none; a server's disk cannot be looked at from here."""
        if self.is_sqlite:
            # The write-ahead log holds a second copy for a while.
            require_room(_file(self._url).parent, 2 * size)

    def close(self) -> None:
        self.engine.dispose()


@contextlib.contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except sa.exc.DBAPIError as error:
        if getattr(error.orig, "sqlite_errorcode", None) == SQLITE_FULL or _sqlstate(error) == DISK_FULL:
            raise no_room_left() from error
        if _is_damage(error):
            raise JobsUnavailable(
                "the jobs database is damaged; the log of the service says how, and once it is repaired or moved away "
                "jobs go on by themselves",
                retry_after_s=RETRY_AFTER_S,
            ) from error
        lost = error.connection_invalidated or _sqlstate(error) == IDLE_TRANSACTION
        if lost or isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError):
            raise unavailable() from error
        raise
    except sa.exc.TimeoutError as error:
        raise unavailable() from error
    except OSError as error:
        raise (no_room_left() if is_full(error) else unavailable()) from error


def unavailable() -> JobsUnavailable:
    return JobsUnavailable("the jobs database cannot be reached right now", retry_after_s=RETRY_AFTER_S)


def _is_damage(error: BaseException | None) -> bool:
    """Whether SQLite's file is damaged, or none of SQLite's."""
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", None) or 0
    return code & 0xFF in SQLITE_DAMAGES


def _sqlstate(error: sa.exc.DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _file(url: sa.URL) -> Path:
    return Path(url.database or "jobs.db")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


def _sqlite_engine(url: sa.URL, connections: int) -> sa.Engine:
    engine = sa.create_engine(url, pool_size=connections, max_overflow=connections, pool_timeout=30)

    @sa.event.listens_for(engine, "do_connect")
    def make_file(*_: object) -> None:
        _make_file(_file(url))

    @sa.event.listens_for(engine, "connect")
    def set_up(connection: Any, _: object) -> None:
        connection.isolation_level = "IMMEDIATE"
        for pragma in ("busy_timeout=30000", "foreign_keys=ON", "synchronous=NORMAL"):
            connection.execute(f"PRAGMA {pragma}")
        _use_write_ahead_log(connection)

    return engine


def _make_file(path: Path) -> None:
    """Makes SQLite's file, unless it is there, for its owner alone; the log and index beside it take over its mode.

    It does not open a file that is there: a process that closes any descriptor of a file gives up all its POSIX locks
    on that file, SQLite's included. Another process would then delete the log that this one writes to, and its rows.
    """
    with _making:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Two processes that do this to a new file at once do not wait for each other, whatever the timeout."""
    for _ in range(WAL_ATTEMPTS):
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode=WAL")
            return
        time.sleep(WAL_PAUSE_S)
    connection.execute("PRAGMA journal_mode=WAL")


def _postgresql_engine(url: sa.URL, connections: int) -> sa.Engine:
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=connections,
        max_overflow=connections,
        pool_timeout=10,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 5, "tcp_user_timeout": 10_000},
    )

    @sa.event.listens_for(engine, "connect")
    def set_up(connection: Any, _: object) -> None:
        # A worker frozen within a transaction must not keep its locks from the one that takes over.
        connection.execute(f"set idle_in_transaction_session_timeout = '{IDLE_TRANSACTION_S}s'")
        connection.commit()

    return engine
