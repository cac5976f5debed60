"""Rows of a large picture in strips that fit the processor's cache, by as many threads as there are processors."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

STRIP_VALUES = 128 * 1024
# Below this, handing work to threads takes longer than doing it.
LEAST_SHARED = 1_000_000
MOST_THREADS = 4
Result = TypeVar("Result")


def strips(rows: int, values_a_row: int) -> list[slice]:
    """Cuts `rows` into slices of about STRIP_VALUES values."""
    tall = max(1, STRIP_VALUES // max(1, values_a_row))
    return [slice(start, min(start + tall, rows)) for start in range(0, rows, tall)]


def parts(rows: int, values_a_row: int) -> list[slice]:
    """Cuts `rows` into one slice a thread; one alone where the whole is small."""
    count = min(_threads(), rows) if rows * values_a_row >= LEAST_SHARED else 1
    bounds = [rows * place // count for place in range(count + 1)]
    return [slice(start, end) for start, end in zip(bounds[:-1], bounds[1:], strict=True)]


def side_by_side(work: Callable[[slice], Result], pieces: Iterable[slice]) -> list[Result]:
    """What `work` gives for each piece, in order; several at once where there are several. It must let go of the
    interpreter for most of its time, and ask for nothing side by side itself."""
    pieces = list(pieces)
    return [work(piece) for piece in pieces] if len(pieces) < 2 else list(_pool().map(work, pieces))


def sharing(pieces: Collection[slice]) -> int:
    """How many of the pieces are worked on at a time, at most."""
    return min(_threads(), max(1, len(pieces)))


def _threads() -> int:
    return min(MOST_THREADS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_threads(), thread_name_prefix="strip")
