"""What all tests share: a clean environment, the test data where it is there, one real running service."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HOME = tempfile.TemporaryDirectory(prefix="kerascope-tests-")
# Before anything imports Keras or TensorFlow.
os.environ.update(
    {
        "KERAS_BACKEND": "tensorflow",
        "KERAS_HOME": _HOME.name,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
    }
)
for _name in [name for name in os.environ if name.startswith("KERASCOPE_") and name != "KERASCOPE_TEST_DATA"]:
    del os.environ[_name]

import httpx  # noqa: E402
import orjson  # noqa: E402
import pytest  # noqa: E402

from service.engine.protocol import EngineConfig  # noqa: E402
from tests.later import LONGEST, target_of  # noqa: E402

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("KERASCOPE_TEST_DATA", ROOT.parent / "shared" / "data"))
START_LIMIT_S = 90


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with real models and photographs; tests that need it are skipped where it is not."""
    if not DATA.is_dir():
        pytest.skip("the test data folder is not there (set KERASCOPE_TEST_DATA)")
    return DATA


@pytest.fixture(scope="module")
def frozen() -> Iterator[None]:
    """Has collections pass over what other files have left, as the engine has them pass over its imports.

    Files that collect often use it: a collection takes a second in a process that has run many others.
    """
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@dataclass
class Service:
    """A running `kerascope serve` and a client for it."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    log: Path

    @property
    def url(self) -> str:
        return str(self.client.base_url).rstrip("/")

    def events(self) -> list[dict[str, object]]:
        """The service's log lines so far."""
        lines = self.log.read_bytes().splitlines()
        return [orjson.loads(line) for line in lines if line.startswith(b"{")]

    def told(self, count: int = 1, *, limit_s: float = 10, **fields: object) -> list[dict[str, object]]:
        """The log lines with those fields, once there are so many: a line may be written after its answer has left."""
        until = time.monotonic() + limit_s
        while True:
            found = [event for event in self.events() if fields.items() <= event.items()]
            if len(found) >= count or time.monotonic() > until:
                return found
            time.sleep(0.02)

    def stop(self) -> int:
        self.client.close()
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(30)


def engine_config(folder: Path) -> EngineConfig:
    """An engine child of its own, on one thread."""
    return EngineConfig(
        socket="", data_dir=folder, models_dir=folder, registry_bytes=2**30, preload=(), device="cpu", threads=1,
        max_passes=5000, max_job_passes=50_000, max_pixels=10**7, max_side_px=5000, call_bytes=2**29, engines=1,
        max_step_s=120, max_load_s=600,
        trust_models_dir=False, allowed_layers=(),
        log_level="error", log_format="json", worker="test", jobs=None,
    )  # fmt: skip


def start_service(
    folder: Path,
    *,
    ready: bool = True,
    root: Path = ROOT,
    models_dir: Path | None = None,
    data_dir: Path | None = None,
    **settings: str,
) -> Service:
    """Starts the real service on a free loopback port and, unless told otherwise, waits until it is ready."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "service.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("KERAS", "TF_", "CUDA"))}
    environment |= {"HOME": str(folder), "KERASCOPE_DEVICE": "cpu"}
    # Each idle engine would take 5 % of a processor looking for jobs as often as it does by default, and seconds to
    # compile the methods of a network that most tests do not ask. What is measured runs by the defaults.
    if "PYTEST_VERSION" in os.environ:
        environment |= {"KERASCOPE_JOB_POLL_S": "0.3", "KERASCOPE_PRELOAD": "shapes"}
    environment |= {f"KERASCOPE_{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "service", "serve", "--port", "0", "--data-dir", str(data_dir or folder / "data")]
    if models_dir:
        command += ["--models-dir", str(models_dir)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, cwd=root)
    service = Service(process, httpx.Client(timeout=120), log)
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        found = re.search(rb"^.*listening.*$", log.read_bytes(), re.M)
        url = found and re.search(rb"http://[^\s\"]+", found[0])
        if url:
            service.client = httpx.Client(base_url=url[0].decode(), timeout=120)
            if not ready or wait_ready(service, deadline):
                return service
            break
        time.sleep(0.05)
    service.stop()
    raise RuntimeError(f"the service did not start:\n{log.read_text()}")


def wait_ready(service: Service, deadline: float) -> bool:
    while time.monotonic() < deadline:
        try:
            if service.client.get("/readyz").status_code == 200:
                return True
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    return False


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service with both shipped models and, where the test data is there, every model of it."""
    folder = tmp_path_factory.mktemp("service")
    models = DATA / "models" if DATA.is_dir() else None
    running = start_service(folder, models_dir=models, uploads="true", preload="shapes,efficientnet-lite0")
    yield running
    running.stop()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-examples", action="store_true", help="record the answers of openapi_examples/ anew")
    parser.addoption("--quick", action="store_true", help="run the benchmarks on small networks, to see that they work")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if target := target_of(item.nodeid):
            item.add_marker(target)
    # Files go to the two workers whole and in turn: what takes long comes first, so that neither waits for the other.
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))
