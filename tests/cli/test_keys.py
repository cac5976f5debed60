"""`kerascope keys` by several processes at once, and against a service that is being used."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.keys.key import new_key
from service.keys.scope import Scope
from service.keys.store import NAME, KeyStore
from tests.cli.test_command import kerascope, refused
from tests.conftest import ROOT, Service, start_service

AT_ONCE = 20


@pytest.mark.soak
def test_keys_made_by_20_processes_at_once(tmp_path: Path) -> None:
    """None is lost, each is another, all work."""
    environment = os.environ | {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "service", "keys", "create", "--scope", "explain", "--data-dir", str(tmp_path)]
    running = [
        subprocess.Popen([*command, "--name", f"key {number}"], stdout=subprocess.PIPE, env=environment, cwd=ROOT)
        for number in range(AT_ONCE)
    ]
    printed = [process.communicate(timeout=60)[0].decode().strip() for process in running]
    assert [process.returncode for process in running] == [0] * AT_ONCE
    assert len(set(printed)) == AT_ONCE
    store = KeyStore(tmp_path)
    found = [store.find(key) for key in printed]
    assert [key and key.name for key in found] == [f"key {number}" for number in range(AT_ONCE)]
    assert len(store.all()) == AT_ONCE
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [NAME, f"{NAME}.lock"]


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Path]]:
    """A service that starts open; its engine is not needed."""
    folder = tmp_path_factory.mktemp("used")
    running = start_service(folder, ready=False, preload="", run_jobs="false")
    yield running, folder / "data"
    running.stop()


def test_an_open_service_says_so_until_there_is_a_key(used: tuple[Service, Path], tmp_path: Path) -> None:
    service, _ = used
    (warning,) = service.told(event="open")
    assert warning["level"] == "warning"
    assert "no API keys" in str(warning["reason"])
    assert service.client.get("/v1/methods").status_code == 200
    KeyStore(tmp_path / "data").add(new_key("first", frozenset({Scope.JOBS}))[1])
    guarded = start_service(tmp_path, ready=False, preload="", run_jobs="false")
    try:
        assert [event for event in guarded.events() if event["event"] == "open"] == []
        assert guarded.client.get("/v1/methods").status_code == 401
    finally:
        guarded.stop()


@pytest.mark.soak
def test_a_key_that_is_revoked_while_it_is_used(used: tuple[Service, Path], tmp_path: Path) -> None:
    """What is asked once the command has ended is refused, what was asked before it began is answered; another key
    notices nothing."""
    service, data = used
    keys, answers = {}, {"gone": [(0.0, 0)], "kept": [(0.0, 0)]}
    for name in answers:
        keys[name], record = new_key(name, frozenset({Scope.JOBS}))
        KeyStore(data).add(record)
    over = threading.Event()

    def use(name: str) -> None:
        with httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {keys[name]}"}) as client:
            while not over.is_set():
                asked = time.monotonic()
                answers[name].append((asked, client.get("/v1/methods").status_code))

    callers = [threading.Thread(target=use, args=(name,)) for name in answers]
    for caller in callers:
        caller.start()
    time.sleep(0.3)
    began = time.monotonic()
    done = kerascope(tmp_path, "keys", "revoke", keys["gone"][3:11], "--data-dir", str(data))
    ended = time.monotonic()
    time.sleep(0.3)
    over.set()
    for caller in callers:
        caller.join()
    assert done.returncode == 0, done.stderr
    assert {status for asked, status in answers["kept"][1:]} == {200}
    before = [status for asked, status in answers["gone"][1:] if asked < began - 0.1]
    after = [status for asked, status in answers["gone"] if asked > ended]
    assert (set(before), set(after)) == ({200}, {401})
    assert min(len(before), len(after)) >= 5
    statuses = [status for _, status in answers["gone"][1:]]
    assert statuses == sorted(statuses), "never valid again"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "service.example"])
def test_another_address_than_loopback_needs_a_key(tmp_path: Path, host: str) -> None:
    sentence = refused(tmp_path, "serve", "--host", host, "--port", "0", "--data-dir", str(tmp_path / "data"))
    assert re.search(rf"host '{re.escape(host)}' is reachable from other machines, and there are no API keys", sentence)
    assert not (tmp_path / "data").exists()
