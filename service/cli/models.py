"""`kerascope models list` and `kerascope models check`."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from service.cli.options import DataDir, ModelsDir
from service.errors import ConfigurationError

app = typer.Typer(no_args_is_help=True, help="Models that can be loaded.")


@app.command("list")
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


@app.command("check")
def check_model(path: Path, data_dir: DataDir = None) -> None:
    """Load a model file and print what was found in it, or why it cannot be loaded."""
    from service.models.backends.device import DeviceSettings, environment, quiet_start
    from service.settings import load_settings

    settings = load_settings(data_dir=data_dir)
    os.environ.update(environment(DeviceSettings("cpu"), str(settings.data_dir / "keras")))
    with quiet_start():
        from service.cli.check_model import report
    for line in report(path, settings.data_dir / "cache", trust_all=settings.trust_models_dir):
        typer.echo(line)
