"""`kerascope settings`: every setting, and where it comes from."""

from __future__ import annotations

import typer

from service.cli.options import DataDir, Host, ModelsDir, Port


def show_settings(data_dir: DataDir = None, models_dir: ModelsDir = None, host: Host = None, port: Port = None) -> None:
    """Print every setting with its unit and where it came from."""
    from service.settings import SECRET, load_settings, origins

    flags = {"data_dir": data_dir, "models_dir": models_dir, "host": host, "port": port}
    for item in origins(load_settings(**flags), **flags):
        secret = item.name in SECRET and item.value
        value = "(set)" if secret else "" if item.value is None else item.value
        typer.echo(f"{item.name:<20} {value!s:<32} {item.unit:<10} {item.source:<28} {item.description}")
