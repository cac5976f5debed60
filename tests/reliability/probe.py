"""One who asks whether the service lives, in a process of its own: the load's event loop must not be in the figure."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from dataclasses import astuple

from tests.reliability.callers import Address, Outcome, Outcomes, call, request

EVERY_S = 0.02


class Probe:
    """A GET of `path` again and again, fifty times a second at most, until it is stopped."""

    def __init__(self, address: Address, path: str) -> None:
        self._command = [sys.executable, "-m", "tests.reliability.probe", address.host, str(address.port), path]

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(*self._command, stdout=asyncio.subprocess.PIPE)
        if self._process.stdout is not None:
            await self._process.stdout.readline()

    async def stop(self) -> Outcomes:
        """What came of its calls."""
        self._process.send_signal(signal.SIGINT)
        output, _ = await self._process.communicate()
        return Outcomes([Outcome(*one) for one in json.loads(output)])


async def ask(address: Address, path: str) -> Outcomes:
    found = Outcomes()
    data = request(path, method="GET")
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stopped.set)
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    while not stopped.is_set():
        found.of.append(await call(address, data))
        await asyncio.sleep(EVERY_S)
    return found


if __name__ == "__main__":
    outcomes = asyncio.run(ask(Address(sys.argv[1], int(sys.argv[2])), sys.argv[3]))
    sys.stdout.write(json.dumps([astuple(one) for one in outcomes.of]))
