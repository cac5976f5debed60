"""The `kerascope` command."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from service import __version__
from service.cli import demo, keys, models, serve
from service.cli.doctor import doctor
from service.cli.settings import show_settings
from service.errors import KerascopeError

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Shows what a Keras convolutional network sees.")
app.command()(serve.serve)
app.command()(serve.worker)
app.command()(doctor)
app.command("settings")(show_settings)
app.add_typer(models.app, name="models")
app.add_typer(demo.app, name="demo")
app.add_typer(keys.app, name="keys")


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
