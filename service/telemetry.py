"""Structured logs with the IDs of request, model and job in context, across threads and processes."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Literal, TypeVar, TypeVarTuple

import structlog

# Of one value; callers may send paths of 64 kB. A traceback ends with what matters.
LONGEST = 1000
LONGEST_TRACEBACK = 16_000

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def request_id() -> str:
    """Gives the ID of the request whose work this is; empty for none."""
    return str(structlog.contextvars.get_contextvars().get("request_id", ""))


async def in_thread(threads: Executor, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
    """What `function` gives in one of the threads; its log lines have the IDs of the caller's."""
    run = contextvars.copy_context().run
    return await asyncio.get_running_loop().run_in_executor(threads, run, function, *arguments)


def configure_logging(level: str, form: Literal["json", "console"], process: str) -> None:
    """One line an event on standard error, as JSON or for people; library loggers go the same way."""

    def add_process(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        return {**event, "process": process}

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        add_process,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    tail: list[structlog.typing.Processor] = [structlog.processors.format_exc_info, bounded]
    if form == "json":
        tail.append(structlog.processors.JSONRenderer())
    else:
        plain = structlog.dev.plain_traceback
        console = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0, exception_formatter=plain)
        tail += [printable, console]
    structlog.configure(
        processors=[*shared, *tail],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        # Line and line end in one write: api, engine and worker share one standard error.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tail],
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def bounded(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """No value is longer than a line should be."""
    return {name: _cut(name, value) if isinstance(value, str) else value for name, value in event.items()}


def printable(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Nothing that a caller wrote begins a line or reaches the terminal as a command; JSON escapes it anyway."""
    return {name: _escaped(name, value) if isinstance(value, str) else value for name, value in event.items()}


def _cut(name: str, value: str) -> str:
    if name == "exception":
        return value if len(value) <= LONGEST_TRACEBACK else f"…{value[-LONGEST_TRACEBACK:]}"
    return value if len(value) <= LONGEST else f"{value[:LONGEST]}… ({len(value)} characters)"


def _escaped(name: str, value: str) -> str:
    if name == "exception":
        # Indented, so that none of its lines can be taken for another event.
        return "\n".join(f"    {_escaped('', line)}" for line in value.split("\n"))
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in value)
