"""`make oracles`: the peers' environments, what they are given, what they give, and the comparison."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PEERS = HERE / ".peers"


def environment(name: str) -> Path:
    """Makes the virtual environment of `<name>.txt` where it is not there or not current; gives its Python."""
    requirements, folder = HERE / f"{name}.txt", PEERS / name
    wanted, installed, python = requirements.read_text(encoding="utf-8"), folder / ".installed", folder / "bin/python"
    if not (installed.is_file() and installed.read_text(encoding="utf-8") == wanted):
        run(sys.executable, "-m", "venv", "--clear", folder)
        run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--requirement", requirements)
        installed.write_text(wanted, encoding="utf-8")
    return python


def run(*command: str | Path) -> None:
    """Runs a step; its errors are shown, and end everything."""
    subprocess.run(command, check=True, env=os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"})


def main() -> None:
    run(sys.executable, "-m", "tests.oracles.given")
    for name in ("torch", "tensorflow"):
        run(environment(name), HERE / f"of_{name}.py")
        run(environment(name), HERE / f"metrics_of_{name}.py")
    run(sys.executable, "-m", "tests.oracles.compare")


if __name__ == "__main__":
    main()
