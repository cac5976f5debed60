"""Answers of many megabytes: exact, read by every tool, and nothing of them is kept when they are over."""

from __future__ import annotations

import base64
import io
import itertools
import os
import re
import resource
import shutil
import signal
import subprocess
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.engine.child.segments import LEAST_BYTES
from service.engine.host.shared_memory import FOLDER
from service.process import DESCRIPTORS
from tests.checks import PNG, problem, saved, triangle
from tests.conftest import Service, start_service

PATH = "/v1/models/wide/activations"
PICTURE = saved(triangle(224, 224))
# Two of 3.2 MB, 1 MB and less.
LAYERS = "conv,relu,pool,small"
LARGE = 2 * 224 * 224 * 16 * 4
CALLS = 20
# What allocators keep and give back between two calls.
LEEWAY_BYTES = 4 * 1024**2


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    import keras
    from keras import layers

    folder = tmp_path_factory.mktemp("large")
    keras.utils.set_random_seed(3)
    x = keras.Input((224, 224, 3))
    y = layers.Conv2D(16, 3, padding="same", name="conv")(x)
    y = layers.ReLU(name="relu")(y)
    y = layers.MaxPooling2D(name="pool")(y)
    y = layers.Conv2D(4, 3, strides=4, name="small")(y)
    y = layers.Dense(3, name="scores")(layers.GlobalAveragePooling2D()(y))
    (folder / "models" / "wide").mkdir(parents=True)
    keras.Model(x, y).save(folder / "models" / "wide" / "wide.keras")
    spec = 'id = "wide"\nweights = "wide.keras"\nhead = "logits"\n[preprocessing]\nmode = "tf"\n'
    (folder / "models" / "wide" / "model.toml").write_text(spec)
    running = start_service(folder, models_dir=folder / "models", preload="wide", run_jobs="false")
    yield running
    running.stop()


def post(service: Service, **query: str) -> httpx.Response:
    answer = service.client.post(PATH, params={"layers": LAYERS, **query}, content=PICTURE, headers=PNG)
    assert answer.status_code == 200, answer.text
    return answer


def arrays_of(answer: httpx.Response) -> dict[str, Any]:
    with np.load(io.BytesIO(answer.content), allow_pickle=False) as found:
        return dict(found)


def lock_of(service: Service) -> Path:
    """The lock of the service's shared memory, which it holds open."""
    found = set()
    for entry in Path(f"/proc/{service.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(os.readlink(entry))
    (lock,) = {name for name in found if re.fullmatch(rf"{FOLDER}/kerascope-[0-9a-f]{{32}}", name)}
    return Path(lock)


def segments_of(service: Service) -> list[str]:
    lock = lock_of(service)
    return [path.name for path in FOLDER.iterdir() if path.name.startswith(f"{lock.name}-")]


def resident(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def engine_pid(service: Service) -> int:
    """The engine child, once the list of children shows it: what starts or ends meanwhile may hide it."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
        for pid in children:
            with suppress(OSError):
                if b"service.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return int(pid)
        time.sleep(0.02)
    raise AssertionError(f"the api has no engine child among {children}")


def test_npz_holds_what_json_holds_bit_for_bit(own: Service) -> None:
    """JSON has statistics beside the arrays, for which another plan computes them."""
    body = post(own, arrays="base64").json()
    found = arrays_of(post(own, format="npz"))
    assert sum(array.nbytes >= LEAST_BYTES for array in found.values()) == 2
    assert [each["name"] for each in body["arrays"]] == list(found)
    for each in body["arrays"]:
        array = found[each["name"]]
        assert (array.dtype.name, list(array.shape)) == (each["dtype"], each["shape"])
        assert array.tobytes() == base64.b64decode(each["data"])
    assert set(body["statistics"]) == set(found)
    alone = post(own, layers="relu", format="npy")
    assert np.load(io.BytesIO(alone.content), allow_pickle=False).tobytes() == found["relu"].tobytes()


def test_every_tool_reads_the_npz(own: Service, tmp_path: Path) -> None:
    answer = post(own, format="npz")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [f"{name}.npy" for name in LAYERS.split(",")]
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    file = tmp_path / "answer.npz"
    file.write_bytes(answer.content)
    for tool in ("unzip", "bsdtar", "7z"):
        if path := shutil.which(tool):
            test = {"unzip": ["-t"], "bsdtar": ["-tf"], "7z": ["t"]}[tool]
            done = subprocess.run([path, *test, file], capture_output=True, text=True, timeout=30)
            assert done.returncode == 0, done.stdout + done.stderr


def test_the_answer_has_its_length_a_tag_and_its_times(own: Service) -> None:
    first, second = post(own, format="npz"), post(own, format="npz")
    for answer in (first, second):
        assert "transfer-encoding" not in answer.headers
        assert int(answer.headers["content-length"]) == len(answer.content) > LARGE
        assert answer.headers["etag"].startswith('W/"')
        assert re.match(r"decode;dur=[\d.]+, .*total;dur=[\d.]+\Z", answer.headers["server-timing"])
    assert (first.content, first.headers["etag"]) == (second.content, second.headers["etag"])


def test_a_head_has_the_length_and_no_body(own: Service) -> None:
    path = "/v1/models/wide/layers/conv/kernels?format=npz"
    whole, head = own.client.get(path), own.client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == whole.headers["content-length"] == str(len(whole.content))
    tag = {"If-None-Match": whole.headers["etag"]}
    assert (own.client.get(path, headers=tag).status_code, own.client.head(path, headers=tag).status_code) == (304, 304)


def test_twenty_large_answers_leave_nothing(own: Service) -> None:
    for _ in range(CALLS):
        post(own, format="npz")
    pid = own.process.pid
    before, files = resident(pid), len(list(Path(f"/proc/{pid}/fd").iterdir()))
    for _ in range(CALLS):
        post(own, format="npz")
    assert resident(pid) - before < LEEWAY_BYTES
    assert len(list(Path(f"/proc/{pid}/fd").iterdir())) <= files
    assert segments_of(own) == []


def test_calls_that_are_given_up_leave_nothing(own: Service) -> None:
    """By their deadline and by callers who go, at every moment between the question and the answer's end."""
    query = {"layers": LAYERS, "format": "npz"}
    statuses, gone = set(), 0
    for number in range(30):
        wish = PNG | {"X-Timeout": f"{0.002 + number * 0.002:.3f}"}
        statuses.add(own.client.post(PATH, params=query, content=PICTURE, headers=wish).status_code)
        try:
            httpx.post(own.url + PATH, params=query, content=PICTURE, headers=PNG, timeout=0.003 + number * 0.002)
        except httpx.TimeoutException:
            gone += 1
    assert statuses <= {200, 504}
    assert gone > 0
    until = time.monotonic() + 10
    while (left := segments_of(own)) and time.monotonic() < until:
        time.sleep(0.05)
    assert left == []
    post(own, format="npz")


def test_a_killed_engine_leaves_nothing_and_takes_nothing_of_others(own: Service) -> None:
    """The api is stopped while the engine writes segments, so that nobody takes them, and the engine is killed."""
    lock = lock_of(own)
    left = FOLDER / f"{lock.name}-{'3' * 32}"
    beside = start_service(own.log.parent / "beside", preload="", run_jobs="false")
    try:
        theirs = FOLDER / f"{lock_of(beside).name}-{'2' * 32}"
        theirs.touch()
        # Each order of layers is traced anew, which leaves time to stop the api once it has asked.
        orders = ("relu,conv,pool", "pool,conv,relu", "small,relu,conv", "pool,relu,conv", "relu,pool,small")
        for layers, asked_s in zip(orders, (0.05, 0.03, 0.08, 0.15, 0.02), strict=True):
            left.touch()
            seen = _killed_while_it_writes(own, lock, layers, asked_s)
            post(own, format="npz")
            if seen:
                break
        else:
            pytest.fail("the engine was never seen to write")
        assert segments_of(own) == []
        assert lock.exists()
        assert theirs.exists()
    finally:
        beside.stop()
    assert not theirs.exists(), "a service that ends takes what is its own along"


def _killed_while_it_writes(service: Service, lock: Path, layers: str, asked_s: float) -> bool:
    """Whether the engine had written a segment when it was killed; its call is answered all the same."""
    before = len(segments_of(service))
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(post, service, format="npz", layers=layers)
        time.sleep(asked_s)
        os.kill(service.process.pid, signal.SIGSTOP)
        try:
            until = time.monotonic() + 3
            while len(written := list(FOLDER.glob(f"{lock.name}-*"))) <= before and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(0.1)
            os.kill(engine_pid(service), signal.SIGKILL)
        finally:
            os.kill(service.process.pid, signal.SIGCONT)
        assert set(arrays_of(call.result(60))) == set(layers.split(","))
    return len(written) > before


def test_without_descriptors_one_call_fails_and_no_engine(own: Service) -> None:
    post(own, format="npz")
    engine, limits = engine_pid(own), resource.prlimit(own.process.pid, resource.RLIMIT_NOFILE)
    taken = {int(entry.name) for entry in Path(f"/proc/{own.process.pid}/fd").iterdir()}
    # One is left, for looking into folders; a segment takes two.
    least = next(number for number in itertools.count() if number not in taken) + 1
    resource.prlimit(own.process.pid, resource.RLIMIT_NOFILE, (least, limits[1]))
    try:
        refused = own.client.post(PATH, params={"layers": LAYERS, "format": "npz"}, content=PICTURE, headers=PNG)
    finally:
        resource.prlimit(own.process.pid, resource.RLIMIT_NOFILE, limits)
    problem(refused, 503, "engine-unavailable", "Too many open files")
    assert refused.headers["retry-after"] == "5"
    assert segments_of(own) == []
    assert arrays_of(post(own, format="npz"))
    assert engine_pid(own) == engine


def test_an_idle_service_holds_nothing_of_its_last_answer(own: Service) -> None:
    """Nor of those that were answered at the second try, when their engine had been killed."""
    post(own, format="npz")
    time.sleep(0.5)
    held = Path(f"/proc/{own.process.pid}/maps").read_text()
    assert re.findall(f"{lock_of(own)}-.*", held) == []


def test_as_many_descriptors_as_the_system_allows(own: Service) -> None:
    soft, hard = resource.prlimit(own.process.pid, resource.RLIMIT_NOFILE)
    assert soft == min(hard, DESCRIPTORS) if hard != resource.RLIM_INFINITY else soft >= DESCRIPTORS


def test_more_than_an_answer_may_hold_is_refused(tmp_path: Path, own: Service) -> None:
    models = own.log.parent / "models"
    small = start_service(tmp_path, models_dir=models, preload="wide", run_jobs="false", max_response_bytes=str(LARGE))
    try:
        answer = small.client.post(PATH, params={"layers": LAYERS, "format": "npz"}, content=PICTURE, headers=PNG)
        problem(answer, 413, "too-large", "raw arrays have", "fewer layers or channels")
        assert segments_of(small) == []
        lock = lock_of(small)
    finally:
        small.stop()
    assert not lock.exists()
