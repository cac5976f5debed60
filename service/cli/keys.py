"""The `kerascope keys` commands."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from service.cli.options import DataDir
from service.keys.key import new_key, span
from service.keys.scope import Scope
from service.keys.store import KeyStore

app = typer.Typer(no_args_is_help=True, help="API keys that callers send as `Authorization: Bearer <key>`.")


@app.command()
def create(
    name: Annotated[str, typer.Option(help="Whose key it is, for the list.")],
    scope: Annotated[list[Scope], typer.Option(help="What it allows; may be given several times.")],
    expires: Annotated[str | None, typer.Option(help="For how long, such as `90d`, `12h` or `30m`.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Make a key and print it, this once: only its digest is kept."""
    key, kept = new_key(name, frozenset(scope), span(expires) if expires is not None else None)
    _store(data_dir).add(kept)
    typer.echo(key)


@app.command("list")
def list_keys(data_dir: DataDir = None) -> None:
    """List every key: ID, name, scopes, created, expires, state."""
    now = datetime.now(UTC)
    for key in _store(data_dir).all():
        scopes = ",".join(sorted(key.scopes))
        expires = key.expires.isoformat() if key.expires else "never"
        typer.echo(f"{key.id}  {key.name:<24} {scopes:<32} {key.created.isoformat()}  {expires:<25}  {key.state(now)}")


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `kerascope keys list` shows it.")],
    data_dir: DataDir = None,
) -> None:
    """Refuse a key from now on, in a running service too."""
    key = _store(data_dir).revoke(key_id)
    typer.echo(f"revoked {key.id} {key.name}")


def _store(data_dir: Path | None) -> KeyStore:
    from service.settings import load_settings

    # The first key is made before the address that asks for one can be listened on.
    return KeyStore(load_settings(data_dir=data_dir, host="127.0.0.1").data_dir)
