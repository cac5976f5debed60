"""`Prefer` and `Idempotency-Key`, read as their standards say."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from service.api.reading.prefer import Prefer, idempotency_key, read
from service.errors import InvalidParameter


def headers(*values: str, name: str = "prefer") -> Headers:
    return Headers(raw=[(name.encode(), value.encode("latin-1")) for value in values])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((), Prefer()),
        (("respond-async",), Prefer(True)),
        (("Respond-Async, wait=10",), Prefer(True, 10)),
        (("wait = 10",), Prefer(False, 10)),
        (('wait="10"', "respond-async"), Prefer(True, 10)),
        (("handling=lenient; wait=3",), Prefer(False, 3)),
        (("wait=5, wait=9",), Prefer(False, 5)),
        (("wait=soon",), Prefer()),
        (("wait=-1",), Prefer()),
        (("wait=0",), Prefer(False, 0)),
        (("respond-asynchronously",), Prefer()),
    ],
)
def test_preferences(values: tuple[str, ...], expected: Prefer) -> None:
    assert read(headers(*values)) == expected


def test_what_was_applied() -> None:
    assert Prefer(True, 10).applied(finished=False) == "respond-async, wait=10"
    assert Prefer(True, 10).applied(finished=True) == "wait=10"
    assert Prefer(True).applied(finished=False) == "respond-async"
    assert Prefer().applied(finished=False) == ""


@pytest.mark.parametrize("key", ["a", "8e03978e-40d5-43dd-bc93-6894a57f9324", "x" * 255])
def test_keys(key: str) -> None:
    assert idempotency_key(headers(key, name="idempotency-key")) == key


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "ä"])
def test_keys_that_are_none(key: str) -> None:
    with pytest.raises(InvalidParameter, match="Idempotency-Key"):
        idempotency_key(headers(key, name="idempotency-key"))


def test_no_key() -> None:
    assert idempotency_key(headers()) is None
