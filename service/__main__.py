"""The `kerascope` command."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from service import __version__
from service.cli.keys import app as keys_app
from service.errors import ConfigurationError, InvalidParameter, KerascopeError

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Shows what a Keras convolutional network sees.")
models_app = typer.Typer(no_args_is_help=True, help="Models that can be loaded.")
demo_app = typer.Typer(no_args_is_help=True, help="The small network that is trained from scratch.")
app.add_typer(models_app, name="models")
app.add_typer(demo_app, name="demo")
app.add_typer(keys_app, name="keys")

Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(help="TCP port; 0 takes a free one.")]
DataDir = Annotated[Path | None, typer.Option(help="Folder for the service's own files.")]
ModelsDir = Annotated[Path | None, typer.Option(help="Folder with your models.")]
LogFormat = Annotated[str | None, typer.Option(help="`json` or `console`.")]


@app.command()
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


@app.command()
def worker(
    data_dir: DataDir = None,
    models_dir: ModelsDir = None,
    log_format: LogFormat = None,
    name: Annotated[
        str | None, typer.Option(help="Its name among the workers; the same after a restart. A free one when absent.")
    ] = None,
) -> None:
    """Run background jobs without listening, on as many machines as there are."""
    from service.models.backends.device import ONE_BLAS_THREAD

    os.environ.update(ONE_BLAS_THREAD)
    from service.app import engine_config, free_worker_name
    from service.settings import load_settings, make_folders
    from service.telemetry import configure_logging
    from service.worker import run

    settings = load_settings(data_dir=data_dir, models_dir=models_dir, log_format=log_format, run_jobs=True)
    make_folders(settings)
    configure_logging(settings.log_level, settings.log_format, process="worker")
    config = engine_config(settings, 0)
    alone = {"preload": (), "worker": name or free_worker_name(settings)}
    run(config.model_copy(update=alone), settings.shutdown_grace_s)


@app.command()
def doctor(
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    models_dir: ModelsDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of lines.")] = False,
) -> None:
    """Check what this machine has for the service; exits 1 when something is missing."""
    import json

    from service.cli.doctor.check import Level
    from service.cli.doctor.examine import examine

    checks = []
    for check in examine(host=host, port=port, data_dir=data_dir, models_dir=models_dir):
        checks.append(check)
        if not as_json:
            typer.echo(check.line)
    if as_json:
        typer.echo(json.dumps({"checks": [check.values for check in checks]}, indent=1))
    if any(check.level is Level.FAILED for check in checks):
        raise typer.Exit(1)


@app.command("settings")
def show_settings(data_dir: DataDir = None, models_dir: ModelsDir = None, host: Host = None, port: Port = None) -> None:
    """Print every setting with its unit and where it came from."""
    from service.settings import SECRET, load_settings, origins

    flags = {"data_dir": data_dir, "models_dir": models_dir, "host": host, "port": port}
    for item in origins(load_settings(**flags), **flags):
        secret = item.name in SECRET and item.value
        value = "(set)" if secret else "" if item.value is None else item.value
        typer.echo(f"{item.name:<20} {value!s:<32} {item.unit:<10} {item.source:<28} {item.description}")


@models_app.command("list")
def list_models(data_dir: DataDir = None, models_dir: ModelsDir = None) -> None:
    """List the shipped models and those in the model folder."""
    from service.models.files.library import Library
    from service.settings import load_settings

    if models_dir is not None and not models_dir.is_dir():
        raise ConfigurationError(f"models_dir: there is no folder {str(models_dir)!r}")
    library = Library(load_settings(data_dir=data_dir, models_dir=models_dir).models_folder)
    seen = library.all()
    for spec in seen.specs.values():
        if spec.id not in seen.problems:
            typer.echo(f"{spec.id:<24} {spec.source:<20} {spec.title or spec.weights}")
    for model_id, reason in (seen.broken | seen.problems).items():
        typer.echo(f"{model_id:<24} {'not valid':<20} {reason}")


@models_app.command("check")
def check_model(path: Path, data_dir: DataDir = None) -> None:
    """Load a model file and print what was found in it, or why it cannot be loaded."""
    from service.models.backends.device import DeviceSettings, environment, quiet_start
    from service.settings import load_settings

    settings = load_settings(data_dir=data_dir)
    os.environ.update(environment(DeviceSettings("cpu"), str(settings.data_dir / "keras")))
    with quiet_start():
        from service.usecases.check_model import report
    for line in report(path, settings.data_dir / "cache", trust_all=settings.trust_models_dir):
        typer.echo(line)


@demo_app.command("train-shapes")
def train_shapes(
    out: Annotated[Path, typer.Option(help="Folder for weights, history and curves.")] = Path("shapes"),
    seed: Annotated[int, typer.Option(help="Everything random follows from it.")] = 0,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training pictures.")] = 20,
) -> None:
    """Draw circles, squares and triangles and train the network that tells them apart."""
    from service.models.backends.device import DeviceSettings, environment, quiet_start
    from service.settings import load_settings

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidParameter(f"out: the folder {str(out)!r} cannot be made: {error.strerror}") from None
    os.environ.update(environment(DeviceSettings("cpu"), str(load_settings().data_dir / "keras")))
    with quiet_start():
        from service.demo.training import train
    done = train(
        out,
        seed=seed,
        epochs=epochs,
        progress=lambda epoch, total: typer.echo(
            f"epoch {epoch.epoch}/{total}  accuracy {epoch.accuracy:.4f}  loss {epoch.loss:.4f}  "
            f"val_accuracy {epoch.val_accuracy:.4f}  val_loss {epoch.val_loss:.4f}"
        ),
    )
    typer.echo(f"kept epoch {done.best.epoch}, accuracy on unseen pictures {done.test_accuracy:.4f}")
    typer.echo(f"wrote {done.model_path}, {done.history_path}, {done.curves_path}")


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if show:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Runs the command; a domain error ends it with its sentence and exit code 1."""
    try:
        app()
    except KerascopeError as error:
        typer.echo(f"{error.title()}: {error.detail}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
