"""`kerascope doctor`: what a machine has for the service, looked at before anything is started."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.options import DataDir, Host, ModelsDir, Port


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
