"""`kerascope serve` and `kerascope worker`: the processes that stay."""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated

import typer

from service.cli.options import DataDir, Host, LogFormat, ModelsDir, Port


def serve(
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    models_dir: ModelsDir = None,
    log_format: LogFormat = None,
) -> None:
    """Start the service."""
    from service.process import modest

    modest()
    import structlog

    from service.api.server.server import Server
    from service.app import create_app
    from service.settings import load_settings, make_folders
    from service.telemetry import configure_logging

    settings = load_settings(host=host, port=port, data_dir=data_dir, models_dir=models_dir, log_format=log_format)
    make_folders(settings)
    configure_logging(settings.log_level, settings.log_format, process="api")
    server = Server(create_app(settings), settings)
    listener = server.listen()
    address, port = listener.getsockname()[:2]
    url = f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
    structlog.get_logger(__name__).info("listening", url=url, data_dir=str(settings.data_dir))
    # uvicorn hands the signal on once it has shut down; being told to stop is no failure.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        server.run(sockets=[listener])
    finally:
        structlog.get_logger(__name__).info("stopped")


def worker(
    data_dir: DataDir = None,
    models_dir: ModelsDir = None,
    log_format: LogFormat = None,
    name: Annotated[
        str | None, typer.Option(help="Its name among the workers; the same after a restart. A free one when absent.")
    ] = None,
) -> None:
    """Run background jobs without listening, on as many machines as there are."""
    from service.process import ONE_BLAS_THREAD

    os.environ.update(ONE_BLAS_THREAD)
    from service.configuration import engine_config, free_worker_name
    from service.settings import load_settings, make_folders
    from service.telemetry import configure_logging
    from service.worker import run

    settings = load_settings(data_dir=data_dir, models_dir=models_dir, log_format=log_format, run_jobs=True)
    make_folders(settings)
    configure_logging(settings.log_level, settings.log_format, process="worker")
    config = engine_config(settings, 0)
    alone = {"preload": (), "worker": name or free_worker_name(settings)}
    run(config.model_copy(update=alone), settings.shutdown_grace_s)
