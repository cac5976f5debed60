"""A caller who waits: how long, in whose place, and whether still at all."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from fastapi import Request
from starlette.datastructures import Headers

from service.api.guarding.keys import NOBODY, owner_of
from service.engine.host.pool import Place
from service.engine.host.queue import Deadline
from service.errors import InvalidParameter

TIMEOUT_HEADER = "X-Timeout"
T = TypeVar("T")


class CallerGone(Exception):
    """The connection ended before the answer was there."""


def place_of(request: Request, longest_s: float) -> Place:
    """The caller's place in a queue, until the deadline of the service or an earlier one of the caller's own.

    Raises InvalidParameter.
    """
    owner = owner_of(request)
    return Place(owner, Deadline.after(timeout_s(request.headers, longest_s)), shared=owner != NOBODY)


def timeout_s(headers: Headers, longest_s: float) -> float:
    """Seconds of `X-Timeout`, at most `longest_s`, which counts where there is none. Raises InvalidParameter."""
    given = headers.get(TIMEOUT_HEADER)
    if given is None:
        return longest_s
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        raise InvalidParameter(f"the header {TIMEOUT_HEADER} is {given[:40]!r}; it must be a number of seconds above 0")
    return min(seconds, longest_s)


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives; it is cancelled, and CallerGone raised, once nobody listens. The body has been read."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise CallerGone
    finally:
        for task in (working, gone):
            task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await working


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
