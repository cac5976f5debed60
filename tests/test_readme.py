"""Every shell block of the README is run, in order, as a newcomer would; the first starts the service."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
START_LIMIT_S = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the blocks write goes here; what they read is linked."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("openapi_examples", "service", ".venv"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    """The service, started by the README's first block in a process group of its own, on a free port."""
    if not (ROOT / ".venv" / ".installed").is_file() or shutil.which("make") is None:
        pytest.skip("`make serve` would install: the tests do not run from the project's own virtual environment")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "HOME": str(folder),
        "KERASCOPE_PORT": str(port),
        "KERASCOPE_DEVICE": "cpu",
        "KERASCOPE_UPLOADS": "true",
    }
    with (folder / "serve.log").open("wb") as log:
        make = subprocess.Popen(
            ["sh", "-c", BLOCKS[0]], cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    base = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and make.poll() is None:
        try:
            if httpx.get(f"{base}/livez").status_code == 200:
                break
        except httpx.TransportError:
            time.sleep(0.1)
    else:
        raise RuntimeError((folder / "serve.log").read_text())
    yield base
    os.killpg(make.pid, signal.SIGTERM)
    make.wait(30)


def test_first_block_is_make_serve() -> None:
    assert BLOCKS[0] == "make serve\n"


@pytest.mark.parametrize("block", BLOCKS[1:], ids=lambda block: block.split("#")[0][:40])
def test_block_runs(block: str, url: str, folder: Path) -> None:
    script = block.replace("localhost:8000", url.removeprefix("http://")).replace("curl -s ", "curl -sSf ")
    environment = {**os.environ, "HOME": str(folder), "KERASCOPE_DEVICE": "cpu", "KERASCOPE_URL": url}
    environment["KERASCOPE_PORT"] = url.rpartition(":")[2]
    done = subprocess.run(
        ["sh", "-euc", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_the_blocks_wrote_is_what_the_text_says(url: str, folder: Path) -> None:
    with (
        Image.open(folder / "cam.png") as picture,
        Image.open(ROOT / "openapi_examples" / "pictures" / "cam.png") as shown,
    ):
        given, wanted = (np.asarray(image.convert("RGB"), np.float32) for image in (picture, shown))
    assert given.shape == wanted.shape == (240, 360, 3)
    assert np.abs(given - wanted).mean() < 2
    heatmap = np.load(folder / "tabby.npy")
    assert heatmap.shape == (7, 7)
    assert heatmap.dtype == np.float32
    assert heatmap.max() > 0
    with np.load(folder / "maps.npz") as maps:
        assert sorted(maps)[:2] == ["gradcam++/heatmap", "gradcam/heatmap"]
        assert maps["gradcam/heatmap"].shape == (7, 7)
        assert maps["guided_backprop/gradient"].shape == (224, 224, 3)
    for name in ("masked.png", "activations.png", "channel.png", "kernels.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
