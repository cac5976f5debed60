"""M3: what a process in the sandbox cannot do, shown by one that tries. Skipped where the kernel has none."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from service.ingest import sandbox
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(sandbox.why_not() is not None, reason=str(sandbox.why_not()))

ATTEMPTS = """
import json, os, socket, subprocess, sys
from pathlib import Path
folder, secret, port = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
from service.ingest import sandbox
assert sandbox.enter(folder, 3 * 2**30, 60, 2**20)

def tried(what):
    try:
        what()
    except BaseException as error:
        return type(error).__name__
    return "done"

def tcp(host="127.0.0.1"):
    socket.create_connection((host, port), 2).close()

def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(b"x", ("127.0.0.1", port))

def large():
    with (folder / "large").open("wb") as file:
        file.write(bytes(2**21))

print(json.dumps({
    "own file": tried(lambda: (folder / "mine").write_text("x")),
    "own folder": tried(lambda: (folder / "inner").mkdir()),
    "python": tried(lambda: __import__("colorsys")),
    "secret": tried(lambda: Path(secret).read_text()),
    "passwd": tried(lambda: Path("/etc/passwd").read_text()),
    "home": tried(lambda: os.listdir("/root")),
    "others": tried(lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes()),
    "beside": tried(lambda: (folder.parent / "beside").write_text("x")),
    "tmp": tried(lambda: Path("/tmp/kerascope-escaped").write_text("x")),
    "code": tried(lambda: Path(sandbox.__file__).open("a")),
    "link out": tried(lambda: (os.symlink(secret, folder / "link"), (folder / "link").read_text())),
    "up": tried(lambda: (folder / ".." / "beside").write_text("x")),
    "tcp": tried(tcp),
    "udp": tried(udp),
    "unix": tried(lambda: socket.socket(socket.AF_UNIX).connect(str(folder / "neighbour"))),
    "pair": tried(lambda: [end.close() for end in socket.socketpair()]),
    "session": tried(os.setsid),
    "group": tried(lambda: os.setpgid(0, 0)),
    "exec": tried(lambda: subprocess.run(["/bin/true"], check=True)),
    "large file": tried(large),
    "memory": tried(lambda: bytearray(4 * 2**30)),
    "signal": tried(lambda: os.kill(os.getppid(), 0)),
}))
"""


# A pair of sockets leads nowhere else.
OWN = {"own file", "own folder", "python", "pair"}


def test_what_it_cannot_do(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    secret = tmp_path / "secret"
    secret.write_text("canary")
    visited: list[str] = []
    with (
        socket.create_server(("127.0.0.1", 0)) as canary,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        socket.socket(socket.AF_UNIX) as neighbour,
    ):
        neighbour.bind(str(folder / "neighbour"))
        neighbour.listen()
        port = canary.getsockname()[1]
        datagrams.bind(("127.0.0.1", port))
        datagrams.settimeout(0.2)
        canary.settimeout(0.2)

        def watch() -> None:
            for name, wait in (("tcp", canary.accept), ("udp", lambda: datagrams.recv(10))):
                try:
                    wait()
                    visited.append(name)
                except TimeoutError:
                    pass

        done = subprocess.run(
            [sys.executable, "-c", ATTEMPTS, str(folder), str(secret), str(port)],
            cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}, capture_output=True, text=True,
            timeout=60,
        )  # fmt: skip
        watcher = threading.Thread(target=watch)
        watcher.start()
        watcher.join()
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {name for name, what in found.items() if what == "done"} == OWN, found
    assert visited == []
    assert not (tmp_path / "beside").exists()
    assert not Path("/tmp/kerascope-escaped").exists()


def test_the_canary_would_be_seen() -> None:
    """Without the sandbox every one of these attempts succeeds, so that the test above can fail."""
    assert Path("/etc/passwd").read_text()
    with socket.create_server(("127.0.0.1", 0)) as canary:
        socket.create_connection(canary.getsockname(), 2).close()
    subprocess.run(["/bin/true"], check=True)


def test_no_setting_of_a_caller_reaches_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from service.ingest.run import _environment

    monkeypatch.setenv("KERASCOPE_DATABASE_URL", "postgresql://user:password@host/x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    environment = _environment(tmp_path)
    assert not [name for name in environment if name.startswith(("KERASCOPE_", "AWS_"))]
    assert environment["HOME"] == environment["TMPDIR"] == environment["KERAS_HOME"] == str(tmp_path)
    assert environment["CUDA_VISIBLE_DEVICES"] == "-1"
