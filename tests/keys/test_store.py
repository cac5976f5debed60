"""The file of keys: what it holds, when it is read, and that damage never opens the service."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog

from service.errors import InvalidParameter, KeysUnavailable
from service.keys.key import KEY, Key, new_key, span
from service.keys.scope import Scope
from service.keys.store import NAME, KeyStore

EXPLAIN = frozenset({Scope.EXPLAIN})


def made(folder: Path, scopes: frozenset[Scope] = EXPLAIN, **changed: object) -> tuple[str, Key]:
    text, key = new_key("test", scopes)
    key = key.model_copy(update=changed)
    KeyStore(folder).add(key)
    return text, key


def test_the_file_holds_no_key_and_is_the_owners(tmp_path: Path) -> None:
    text, key = made(tmp_path)
    content = (tmp_path / NAME).read_text()
    assert KEY.fullmatch(text)
    assert text.rpartition(key.id)[2] not in content
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == [NAME, f"{NAME}.lock"]
    assert (tmp_path / f"{NAME}.lock").stat().st_mode & 0o777 == 0o600


def test_keys_that_are_added_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(lambda _: made(tmp_path)[1].id, range(16)))
    assert sorted(key.id for key in KeyStore(tmp_path).all()) == sorted(added)


def test_a_running_store_sees_every_change(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    assert not store.guarded()
    text, key = made(tmp_path)
    assert store.guarded()
    assert store.find(text) == key
    KeyStore(tmp_path).revoke(key.id)
    assert store.find(text) is None
    assert store.guarded()


def test_expiry_needs_no_change_of_the_file(tmp_path: Path) -> None:
    text, _ = made(tmp_path, expires=datetime.now(UTC) - timedelta(seconds=1))
    assert KeyStore(tmp_path).find(text) is None


@pytest.mark.parametrize("wrong", ["", "ks_", "ks_00000000_" + "a" * 43, "é", "ks_../../x", "\x00"])
def test_another_text_is_no_key(tmp_path: Path, wrong: str) -> None:
    text, _ = made(tmp_path)
    store = KeyStore(tmp_path)
    for given in (wrong, text[:-1], text + "a", text + "\n", text[:12] + "A" * 43):
        assert store.find(given) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"keys": [{}]}', b'{"keys": [], "more": 1}', b"\xff\xfe"])
def test_a_damaged_file_refuses_everybody_and_says_so_once(tmp_path: Path, content: bytes) -> None:
    text, _ = made(tmp_path)
    store = KeyStore(tmp_path)
    assert store.find(text)
    (tmp_path / NAME).write_bytes(content)
    with structlog.testing.capture_logs() as logs:
        assert [store.find(text), store.find(text)] == [None, None]
    assert store.guarded()
    assert [event["event"] for event in logs] == ["no key is valid"]
    assert "damaged" in logs[0]["reason"]
    with pytest.raises(KeysUnavailable, match="damaged"):
        made(tmp_path)
    assert (tmp_path / NAME).read_bytes() == content


def test_a_file_that_is_gone_does_not_open_the_service(tmp_path: Path) -> None:
    text, _ = made(tmp_path)
    store = KeyStore(tmp_path)
    assert store.find(text)
    os.remove(tmp_path / NAME)
    assert store.find(text) is None
    assert store.guarded()


def test_spans() -> None:
    assert [span("90d"), span("12h"), span("30m")] == [
        timedelta(days=90), timedelta(hours=12), timedelta(minutes=30),
    ]  # fmt: skip
    for wrong in ("", "0d", "-1d", "1", "1w", "٣d", "1d\n"):
        with pytest.raises(InvalidParameter, match="90d"):
            span(wrong)
