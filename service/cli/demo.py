"""`kerascope demo train-shapes`: the small network that is trained from scratch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from service.errors import InvalidParameter

app = typer.Typer(no_args_is_help=True, help="The small network that is trained from scratch.")


@app.command("train-shapes")
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


@app.callback()
def demo() -> None:
    """The small network that is trained from scratch."""
