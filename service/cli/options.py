"""Options that several subcommands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(help="TCP port; 0 takes a free one.")]
DataDir = Annotated[Path | None, typer.Option(help="Folder for the service's own files.")]
ModelsDir = Annotated[Path | None, typer.Option(help="Folder with your models.")]
LogFormat = Annotated[str | None, typer.Option(help="`json` or `console`.")]
