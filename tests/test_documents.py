"""README and the pages of `docs`: every block is run as a newcomer would, every link leads somewhere.

The first block of the README starts the service, for all pages. The blocks of a page run in their order, the pages in
the order in which the README links them; that of the operator, who makes keys, is the last with blocks.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from service.models.files.spec import ModelSpec
from tests.conftest import ROOT

README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
LINKED = dict.fromkeys(re.findall(r"\(docs/([\w.-]+\.md)", README.read_text(encoding="utf-8")))
PAGES = [README, *(ROOT / "docs" / name for name in LINKED)]
OTHERS = [ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
PICTURES = ROOT / "openapi_examples" / "pictures"
START_LIMIT_S = 300
MAX_LINES = 200
# What no test can run: Docker, and a worker that goes on for ever.
NOT_RUN = {"docs/operations.md": 3}
# Text that no block prints: the drawing of the processes.
DRAWINGS = {"docs/design.md": 1}


@dataclass(frozen=True)
class Block:
    """A block of a page, with what the page says that it prints; None where it says nothing of that."""

    page: Path
    line: int
    language: str
    text: str
    prints: str | None

    @property
    def place(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in re.finditer(r"^```(.*)\n((?:.*\n)*?)^```$", text, re.MULTILINE):
        printed = re.match(r"\n\nIt prints:\n\n```text\n((?:.*\n)*?)```\n", text[match.end() :])
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, match[1], match[2], printed[1] if printed else None))
    return found


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
FIRST, *RUN = [block for block in BLOCKS if block.language in ("sh", "python")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the blocks write goes here; what they read is linked."""
    folder = tmp_path_factory.mktemp("documents")
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
            ["sh", "-c", FIRST.text], cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    base = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_LIMIT_S
        while not is_ready(base):
            if time.monotonic() > deadline or make.poll() is not None:
                raise RuntimeError((folder / "serve.log").read_text())
            time.sleep(0.1)
        yield base
    finally:
        if make.poll() is None:
            os.killpg(make.pid, signal.SIGTERM)
        make.wait(30)


def is_ready(base: str) -> bool:
    try:
        return httpx.get(f"{base}/readyz").status_code == 200
    except httpx.TransportError:
        return False


class TestBlocks:
    def test_the_first_is_make_serve(self) -> None:
        assert (FIRST.page, FIRST.text) == (README, "make serve\n")

    def test_each_has_a_known_language(self) -> None:
        assert {block.language for block in BLOCKS} == {"sh", "python", "console", "text", "toml"}

    def test_few_are_not_run(self) -> None:
        assert counted("console") == NOT_RUN

    def test_every_other_text_is_what_a_block_prints(self) -> None:
        printed = {name_of(page): sum(block.prints is not None for block in blocks_of(page)) for page in PAGES}
        drawn = {name: count - printed[name] for name, count in counted("text").items()}
        assert {name: count for name, count in drawn.items() if count} == DRAWINGS

    def test_keys_are_made_last(self) -> None:
        """Once there are keys, no block without one is answered any more."""
        assert RUN[-1].page.name == "operations.md"
        assert {block.page.name for block in RUN if "keys create" in block.text} == {"operations.md"}

    @pytest.mark.parametrize(
        "block", [block for block in BLOCKS if block.language == "toml"], ids=lambda block: block.place
    )
    def test_each_spec_is_read(self, block: Block) -> None:
        assert ModelSpec.model_validate(tomllib.loads(block.text)).id == "dogs"

    @pytest.mark.parametrize("block", RUN, ids=lambda block: block.place)
    def test_it_runs(self, block: Block, url: str, folder: Path) -> None:
        script = block.text.replace("localhost:8000", url.removeprefix("http://")).replace("curl -s ", "curl -sSf ")
        environment = {**os.environ, "HOME": str(folder), "KERASCOPE_DEVICE": "cpu", "KERASCOPE_URL": url}
        environment["KERASCOPE_PORT"] = url.rpartition(":")[2]
        command = ["sh", "-euc", script] if block.language == "sh" else [sys.executable, "-c", script]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
        if block.prints is not None:
            assert done.stdout == block.prints

    def test_what_they_wrote_is_what_the_text_says(self, url: str, folder: Path) -> None:
        with Image.open(folder / "cam.png") as picture:
            assert picture.size == (360, 240)
        heatmap = np.load(folder / "tabby.npy")
        assert heatmap.shape == (7, 7)
        assert heatmap.dtype == np.float32
        assert heatmap.max() > 0
        with np.load(folder / "maps.npz") as maps:
            assert sorted(maps)[:2] == ["gradcam++/heatmap", "gradcam/heatmap"]
            assert maps["gradcam/heatmap"].shape == (7, 7)
            assert maps["guided_backprop/gradient"].shape == (224, 224, 3)
        for name in ("layers.png", "channel.png", "filters.png", "job.png"):
            assert (folder / name).read_bytes().startswith(b"\x89PNG")

    @pytest.mark.parametrize(
        "name",
        ["cam", "activations", "layercam", "guided_gradcam", "integrated_gradients", "occlusion", "masked", "kernels"],
    )
    def test_the_pictures_are_those_that_the_blocks_wrote(self, name: str, url: str, folder: Path) -> None:
        with Image.open(folder / f"{name}.png") as picture, Image.open(PICTURES / f"{name}.png") as shown:
            given, wanted = (np.asarray(image.convert("RGB"), np.float32) for image in (picture, shown))
        assert given.shape == wanted.shape
        assert np.abs(given - wanted).mean() < 2


def counted(language: str) -> dict[str, int]:
    """Gives how many blocks of a language each page has, of those that have any."""
    counts = {name_of(page): sum(block.language == language for block in blocks_of(page)) for page in PAGES}
    return {name: count for name, count in counts.items() if count}


class TestPages:
    def test_the_readme_is_short(self) -> None:
        assert len(README.read_text(encoding="utf-8").splitlines()) <= MAX_LINES

    def test_the_readme_links_every_page(self) -> None:
        assert {path.name for path in DOCS} == set(LINKED)

    @pytest.mark.parametrize("page", DOCS, ids=name_of)
    def test_it_begins_with_for_whom_it_is(self, page: Path) -> None:
        title, blank, first = page.read_text(encoding="utf-8").splitlines()[:3]
        assert title.startswith("# ")
        assert blank == ""
        assert first.startswith("This page is for ")

    @pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=name_of)
    def test_every_link_leads_somewhere(self, page: Path) -> None:
        assert [link for link in links_of(page) if not leads_somewhere(page, link)] == []

    def test_the_newest_change_is_this_version_with_its_day(self) -> None:
        headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
        named = re.fullmatch(r"\[(.+)\] - (\d{4}-\d\d-\d\d)", headings[0])
        assert named
        assert named[1] == version("kerascope")
        assert date.fromisoformat(named[2])

    def test_a_link_that_leads_nowhere_is_noticed(self) -> None:
        assert {"docs/api.md", "CONTRIBUTING.md", "openapi_examples/pictures/cam.png"} <= set(links_of(README))
        assert "openapi_examples/pictures/kernels.png" in links_of(README)
        assert leads_somewhere(README, "docs/api.md#the-image")
        assert leads_somewhere(README, "#start")
        assert not leads_somewhere(README, "docs/api.md#the-picture")
        assert not leads_somewhere(README, "docs/apo.md")
        assert not leads_somewhere(README, "#nothing")


def without_code(page: Path) -> str:
    return re.sub(r"^```.*?^```$|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def links_of(page: Path) -> list[str]:
    """Gives the targets of links and pictures within the repository."""
    found = re.findall(r"\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"", without_code(page))
    return [link for pair in found if not (link := "".join(pair)).startswith(("https://", "http://"))]


def leads_somewhere(page: Path, link: str) -> bool:
    """Tells whether a relative link names a file or folder of the repository, and its anchor a heading."""
    path, _, fragment = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return target.is_relative_to(ROOT) and target.exists() and (not fragment or fragment in anchors_of(target))


def anchors_of(page: Path) -> set[str]:
    """Gives the anchors of a page's headings as GitHub makes them; none of ours has the same heading twice."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
