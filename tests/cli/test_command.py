"""The `kerascope` command as a user calls it: what it prints, how it exits, and that it never shows a traceback."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from service import __version__
from service.models.files.library import CATALOGUE
from tests.conftest import ROOT

SHAPES = CATALOGUE / "shapes" / "shapes.keras"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def kerascope(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("KERAS", "TF_", "CUDA"))}
    done = subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        env=environment | {"HOME": str(home), "COLUMNS": "200", "TERM": "dumb"} | variables,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


def refused(home: Path, *arguments: str, **variables: str) -> str:
    """The sentence on standard error of a command that exits 1."""
    done = kerascope(home, *arguments, **variables)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    return done.stderr


def test_version(home: Path) -> None:
    done = kerascope(home, "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{__version__}\n", "")


@pytest.mark.parametrize("line", ["", "models", "--help", "serve --help", "demo --help"])
def test_help(home: Path, line: str) -> None:
    done = kerascope(home, *line.split())
    assert "Usage" in done.stdout + done.stderr
    assert done.returncode == (0 if "--help" in line else 2)


@pytest.mark.parametrize(
    "arguments", [["sevre"], ["serve", "--prot", "1"], ["models", "check"], ["serve", "--port", "x"]]
)
def test_misspelled(home: Path, arguments: list[str]) -> None:
    done = kerascope(home, *arguments)
    assert done.returncode == 2
    assert "Usage" in done.stderr


class TestServe:
    def test_another_host_needs_keys(self, home: Path) -> None:
        sentence = refused(home, "serve", "--host", "0.0.0.0", "--port", "0")
        assert sentence.startswith("The configuration is not valid: host '0.0.0.0' is reachable from other machines")
        assert "127.0.0.1" in sentence
        assert "KERASCOPE_API_KEYS" in sentence

    def test_unknown_variable(self, home: Path) -> None:
        assert "'KERASCOPE_PORT'" in refused(home, "serve", KERASCOPE_PROT="1")

    def test_data_folder_that_cannot_be(self, home: Path) -> None:
        (home / "file").write_text("")
        sentence = refused(home, "serve", "--port", "0", "--data-dir", str(home / "file" / "data"))
        assert "data_dir: the folder" in sentence
        assert "Not a directory" in sentence

    def test_port_in_use(self, home: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            done = kerascope(home, "serve", "--port", str(port))
        assert done.returncode == 3
        line = json.loads(done.stderr)
        assert (line["event"], line["level"]) == ("not listening", "error")
        assert line["detail"] == (
            f"127.0.0.1:{port} is taken; --port or KERASCOPE_PORT chooses another port, and `kerascope doctor` says "
            "whether a Kerascope answers there"
        )


class TestSettings:
    def test_every_setting_with_unit_and_source(self, home: Path, tmp_path: Path) -> None:
        config = tmp_path / "kerascope.toml"
        config.write_text("queue_limit = 7\n")
        key = f"sha256:{'ab' * 32}"
        done = kerascope(
            home,
            "settings",
            "--port",
            "1234",
            KERASCOPE_CONFIG=str(config),
            KERASCOPE_API_KEYS=key,
            KERASCOPE_ENGINES="2",
        )
        assert done.returncode == 0
        lines = {line.split()[0]: line for line in done.stdout.splitlines()}
        assert re.search(r"^port +1234 +port +flag --port ", lines["port"])
        assert re.search(r"^engines +2 +processes +environment KERASCOPE_ENGINES ", lines["engines"])
        assert f"file {config}" in lines["queue_limit"]
        assert re.search(r"^max_pixels +50000000 +px +default +Most pixels", lines["max_pixels"])
        assert f"{home}/.local/share/kerascope" in lines["data_dir"]
        assert "(set)" in lines["api_keys"]
        assert key not in done.stdout

    def test_refused(self, home: Path) -> None:
        assert "port" in refused(home, "settings", "--port", "99999")


class TestModels:
    def test_list(self, home: Path, tmp_path: Path) -> None:
        folder = tmp_path / "models"
        (folder / "bad").mkdir(parents=True)
        (folder / "bad" / "model.toml").write_text("colour = 1\n")
        (folder / "My Net.keras").write_text("")
        done = kerascope(home, "models", "list", "--models-dir", str(folder))
        assert done.returncode == 0
        lines = {line.split()[0]: line for line in done.stdout.splitlines()}
        assert {"shapes", "efficientnet-lite0", "vgg16", "my-net", "bad"} <= set(lines)
        assert "not valid" in lines["bad"]
        assert "colour" in lines["bad"]

    def test_check(self, home: Path) -> None:
        done = kerascope(home, "models", "check", str(SHAPES))
        assert (done.returncode, done.stderr) == (0, "")
        for words in (
            r"id +shapes",
            r"digest +sha256:[0-9a-f]{64}",
            r"input +28×28 px, 3 channels",
            r"head +softmax, last activation softmax, 3 classes",
            r"CAM layer +conv2d_5",
            r" 0 conv2d +Conv2D",
            "… and 5 more",
        ):
            assert re.search(words, done.stdout), words

    def test_check_text(self, home: Path, tmp_path: Path) -> None:
        path = tmp_path / "notes.keras"
        path.write_text("I am no model.\n")
        sentence = refused(home, "models", "check", str(path))
        assert sentence.startswith("The model cannot be loaded: ")
        assert "'notes.keras'" in sentence

    def test_check_weights_only(self, home: Path, data: Path) -> None:
        sentence = refused(home, "models", "check", str(data / "models" / "rcmalli__squeezenet_notop.h5"))
        assert sentence.startswith("The model cannot be loaded: 'rcmalli__squeezenet_notop.h5' holds the weights")
        assert "model.to_json()" in sentence


class TestKeys:
    def test_create_list_revoke(self, home: Path, tmp_path: Path) -> None:
        where = ("--data-dir", str(tmp_path))
        more = ("--scope", "explain", "--scope", "jobs", "--expires", "90d")
        made = kerascope(home, "keys", "create", "--name", "notebook", *more, *where, KERASCOPE_HOST="0.0.0.0")
        assert made.returncode == 0, made.stderr
        key = made.stdout.strip()
        assert re.fullmatch(r"ks_[0-9a-f]{8}_[A-Za-z0-9_-]{43}", key)
        listed = kerascope(home, "keys", "list", *where).stdout
        assert re.match(rf"{key[3:11]} +notebook +explain,jobs +20\S+ +20\S+ +valid$", listed.strip())
        assert key[12:] not in listed
        assert kerascope(home, "keys", "revoke", key[3:11], *where).returncode == 0
        assert kerascope(home, "keys", "list", *where).stdout.strip().endswith("revoked")

    def test_refused(self, home: Path) -> None:
        create = ("keys", "create", "--scope", "jobs", "--name")
        (home / "file").write_text("")
        for arguments, sentence in {
            ("keys", "revoke", "nope"): "There is no such API key: there is no key 'nope'; `kerascope keys list` shows",
            (
                *create,
                "x",
                "--expires",
                "soon",
            ): "A parameter is not valid: the time 'soon' must be a number and",
            (*create, "x\ny"): r"A parameter is not valid: the name 'x\ny' of a key must be 1 to 100 printable",
            (*create, "x", "--data-dir", str(home / "file" / "a")): "The file of API keys cannot be used: the key file",
            ("keys", "list", "--data-dir", str(home / "file")): "The file of API keys cannot be used: the key file",
            ("models", "list", "--models-dir", str(home / "none")): "The configuration is not valid: models_dir: there",
            ("models", "check", str(home / "none.h5")): "The model cannot be loaded: there is no file 'none.h5'",
            ("demo", "train-shapes", "--out", str(home / "file" / "a")): "A parameter is not valid: out: the folder",
            ("worker", "--data-dir", str(home / "file" / "a")): "The configuration is not valid: data_dir: the folder",
        }.items():
            assert refused(home, *arguments).startswith(sentence), arguments
        create = create[:-1]
        assert kerascope(home, *create).returncode == 2
        assert kerascope(home, "keys", "create", "--name", "x", "--scope", "all").returncode == 2
