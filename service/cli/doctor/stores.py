"""Where the service writes: its folder, the jobs database, the store of results; and its keys."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime

from service.cli.doctor.check import Check, failed, ok
from service.configuration import jobs_config
from service.errors import KerascopeError
from service.jobs.database import Database
from service.jobs.store import Store
from service.keys.store import KeyStore
from service.settings import Settings


def of_data_dir(settings: Settings) -> Check:
    """It can be made and written."""
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.data_dir) as probe:
            probe.write(b"kerascope")
    except OSError as error:
        advice = "give this user the right to write there, or set KERASCOPE_DATA_DIR"
        return failed("data folder", f"{settings.data_dir}: {error.strerror}", advice)
    return ok("data folder", f"{settings.data_dir} can be written")


def of_database(settings: Settings) -> Check:
    """One transaction: SQLite takes its write lock for it, PostgreSQL answers with its clock."""
    try:
        database = Database(jobs_config(settings).database_url, connections=1)
        name = "SQLite" if database.is_sqlite else "PostgreSQL"
        try:
            database.clock()
        finally:
            database.close()
    except ImportError:
        return failed("database", "PostgreSQL's driver is not installed", "install the extra `postgres`")
    except KerascopeError as error:
        advice = "check KERASCOPE_DATABASE_URL, that the server runs, and that this machine may connect"
        return failed("database", f"{error.detail}{_reason(error)}", advice)
    return ok("database", f"{name} answers")


def of_results(settings: Settings) -> Check:
    """A file is written, read and removed."""
    url = jobs_config(settings).result_store
    try:
        store = Store(url)
        location = store.put("doctor", "probe", b"kerascope")
        read = store.get(location)
        store.delete(location)
    except (KerascopeError, OSError) as error:
        detail = error.detail if isinstance(error, KerascopeError) else error.strerror
        return failed("result store", f"{url}: {detail}", "check KERASCOPE_RESULT_STORE and its rights")
    if read != b"kerascope":
        return failed("result store", f"{url} does not give back what was written", "use another store")
    return ok("result store", f"{url} can be written")


def of_keys(settings: Settings) -> Check:
    """Who may call."""
    try:
        now = datetime.now(UTC)
        kept = [key.state(now) for key in KeyStore(settings.data_dir).all()]
    except KerascopeError as error:
        return failed("keys", error.detail, "restore keys.json from a copy, or remove it and make new keys")
    valid = kept.count("valid") + len(settings.key_digests)
    if not kept and not valid:
        return ok("keys", f"open: everybody who reaches {settings.host} may use the service")
    if not valid:
        return failed("keys", f"all {len(kept)} keys are expired or revoked", "make one with `kerascope keys create`")
    return ok("keys", f"{valid} valid, {len(kept) - kept.count('valid')} expired or revoked")


def _reason(error: KerascopeError) -> str:
    """What the driver says, its first line: hosts and files, but never a password."""
    cause = getattr(error.__cause__, "orig", None)
    lines = str(cause).strip().splitlines() if cause else []
    return f" ({lines[0]})" if lines else ""
