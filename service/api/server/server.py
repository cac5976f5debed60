"""The HTTP server: uvicorn with deadlines, and a shutdown that drops nothing it took."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from types import FrameType

import structlog
import uvicorn
from fastapi import FastAPI

from service.api.server.connection import ConnectionLimits, protocol_with
from service.metrics import CallMetrics
from service.settings import Settings

log = structlog.get_logger(__name__)

# The exit code that uvicorn has for it.
NOT_LISTENING = 3


class Server(uvicorn.Server):
    """Serves until a signal. At the first one `/readyz` says 503, and calls are still taken for the drain delay; then
    those in flight have the grace time to end. A second signal ends it at once.
    """

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        metrics: CallMetrics = app.state.services.metrics
        limits = ConnectionLimits(
            settings.header_timeout_s,
            settings.body_timeout_s,
            settings.min_body_rate,
            settings.write_timeout_s,
            settings.max_connections,
            settings.max_connections_per_address,
            metrics.refused,
        )
        metrics.connections.set_function(limits.open.total)
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                http=protocol_with(limits),
                ws="none",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                timeout_graceful_shutdown=settings.shutdown_grace_s,
                server_header=False,
            )
        )
        self._app = app
        self._delay_s = settings.drain_delay_s

    def listen(self) -> socket.socket:
        """Takes the port. What keeps it from that is logged and ends the process."""
        host, port = self.config.host, self.config.port
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(self.config.backlog)
        except OSError as error:
            listener.close()
            log.error("not listening", detail=_why_not(error, host, port))
            sys.exit(NOT_LISTENING)
        listener.set_inheritable(True)
        return listener

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        log.info("stopping", longest_s=self.config.timeout_graceful_shutdown)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        again, self._app.state.draining = self._app.state.draining, True
        if again and self.should_exit:
            self.force_exit = True
        elif again or not self._delay_s:
            super().handle_exit(sig, frame)
        else:
            log.info("draining", seconds=self._delay_s)
            asyncio.get_running_loop().call_soon_threadsafe(self._exit_later, sig)

    def _exit_later(self, sig: int) -> None:
        asyncio.get_running_loop().call_later(self._delay_s, super().handle_exit, sig, None)


def _why_not(error: OSError, host: str, port: int) -> str:
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{place} is taken; --port or KERASCOPE_PORT chooses another port, and `kerascope doctor` says whether a "
            "Kerascope answers there"
        )
    if error.errno == errno.EACCES:
        return f"{place} may not be listened on by this user; --port or KERASCOPE_PORT chooses another port"
    return f"{place} cannot be listened on: {error.strerror}; --host or KERASCOPE_HOST chooses another address"
