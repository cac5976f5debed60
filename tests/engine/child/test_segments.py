"""Large arrays through shared memory: exact, bounded, never another's, and nothing is left of those that died."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.contract.questions import AskStatus
from service.engine.child.segments import LEAST_BYTES, MOST_BYTES, WRITERS, Segments
from service.engine.host.shared_memory import SharedMemory
from service.engine.protocol import Call, NotTaken, Reply, pack, unpack
from tests.arrays import DTYPES, extremes
from tests.conftest import ROOT

REPLY = Reply(id="a", answer={"n": 1})
LARGE = np.arange(LEAST_BYTES, dtype=np.float32).reshape(4, -1)
SMALL = np.arange(10)
# A service that has written one segment, and lives on.
OTHER = """
import sys, time
from pathlib import Path
import numpy as np
from service.engine.child.segments import Segments
from service.engine.host.shared_memory import SharedMemory
memory = SharedMemory(Path(sys.argv[1]))
Segments(memory.open()).share({"x": np.ones(10**6)})
print(memory._name, flush=True)
time.sleep(60)
"""


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[SharedMemory]:
    found = SharedMemory(tmp_path)
    yield found
    found.close()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(found._name)]


@pytest.fixture
def others(tmp_path: Path) -> Iterator[Callable[[], tuple[subprocess.Popen[str], str]]]:
    started = []

    def start() -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-c", OTHER, str(tmp_path)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT))
        assert started[-1].stdout is not None
        return started[-1], started[-1].stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.communicate()


def sent(segments: Segments, arrays: dict[str, Any]) -> tuple[list[Any], int]:
    """The frames of a reply with these arrays, and how many of them are in shared memory."""
    places = segments.share(arrays)
    return pack(REPLY, arrays, places), len(places)


def there_and_back(memory: SharedMemory, segments: Segments, arrays: dict[str, Any]) -> dict[str, Any]:
    message, found = unpack(Reply, sent(segments, arrays)[0], memory.take)
    assert message.answer == {"n": 1}
    return found


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestRoundTrip:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("inline", [True, False])
    def test_every_dtype_bit_for_bit(self, memory: SharedMemory, dtype: str, inline: bool) -> None:
        size = np.dtype(dtype).itemsize
        least = np.resize(extremes(dtype), LEAST_BYTES // size)
        arrays = {"below": least[:-1], "at": least, "above": np.resize(extremes(dtype), (3, 5, LEAST_BYTES // size))}
        prefix = memory.open()
        found = there_and_back(memory, Segments("" if inline else prefix), arrays)
        assert list(found) == list(arrays)
        for name, array in arrays.items():
            assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
            assert found[name].tobytes() == array.tobytes()
            assert not found[name].flags.writeable

    @pytest.mark.parametrize(
        "view", [lambda array: array[::2], lambda array: array.T, lambda array: array.astype(">f4")]
    )
    def test_arrays_that_are_not_c_ordered(self, memory: SharedMemory, view: Any) -> None:
        array = view(np.resize(LARGE, (1500, 1000)))
        found = there_and_back(memory, Segments(memory.open()), {"x": array})["x"]
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, array)

    def test_what_is_taken_is_gone_and_can_still_be_read(self, memory: SharedMemory, tmp_path: Path) -> None:
        segments = Segments(memory.open())
        frames, shared = sent(segments, {"small": SMALL, **{f"{n}": LARGE + n for n in range(5)}})
        assert shared == 5
        assert len(frames) == 2, "the header and the small array"
        assert len(names(tmp_path)) == WRITERS + 1, "the lock and the segments"
        mode = {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
        assert mode == {0o600}
        _, found = unpack(Reply, frames, memory.take)
        assert len(names(tmp_path)) == 1
        for n in range(5):
            np.testing.assert_array_equal(found[f"{n}"], LARGE + n)

    def test_what_is_not_sent_after_all(self, memory: SharedMemory, tmp_path: Path) -> None:
        segments = Segments(memory.open())
        segments.remove(segments.share({"x": LARGE, "y": LARGE}))
        assert len(names(tmp_path)) == 1


class TestNoRoom:
    @pytest.mark.parametrize("most_bytes", [0, LARGE.nbytes - 1])
    def test_more_waits_than_may(self, memory: SharedMemory, tmp_path: Path, most_bytes: int) -> None:
        frames, shared = sent(Segments(memory.open(), most_bytes), {"x": LARGE})
        assert (shared, len(frames), len(names(tmp_path))) == (0, 2, 1)

    def test_what_was_taken_counts_no_longer(self, memory: SharedMemory) -> None:
        segments = Segments(memory.open(), LARGE.nbytes)
        first, shared = sent(segments, {"x": LARGE})
        assert (shared, sent(segments, {"x": LARGE})[1]) == (1, 0)
        unpack(Reply, first, memory.take)
        assert sent(segments, {"x": LARGE})[1] == 1

    def test_no_folder(self, tmp_path: Path) -> None:
        memory = SharedMemory(tmp_path / "none")
        assert memory.open() == ""
        memory.sweep()
        memory.close()
        assert sent(Segments(""), {"x": LARGE})[1] == 0
        assert sent(Segments(f"{tmp_path}/none/kerascope-"), {"x": LARGE})[1] == 0

    def test_full(self, memory: SharedMemory, tmp_path: Path) -> None:
        """A file may grow to a third of what is written: the rest of it finds no room."""
        segments = Segments(memory.open())
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGE.nbytes // 3, before[1]))
        try:
            frames, shared = sent(segments, {"x": LARGE, "small": SMALL})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert (shared, len(names(tmp_path))) == (0, 1)
        _, found = unpack(Reply, frames, memory.take)
        np.testing.assert_array_equal(found["x"], LARGE)

    def test_a_full_tmpfs(self, tmp_path: Path) -> None:
        folder = tmp_path / "small"
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={LARGE.nbytes * 3 // 2}", "tmpfs", folder]
        if subprocess.run(mount, capture_output=True, timeout=10).returncode:
            pytest.skip("mounting takes a privilege")
        memory = SharedMemory(folder)
        try:
            segments = Segments(memory.open())
            frames, shared = sent(segments, {"x": LARGE})
            more, none = sent(segments, {"x": LARGE})
            assert (shared, none, len(names(folder))) == (1, 0, 2)
            for each in (frames, more):
                np.testing.assert_array_equal(unpack(Reply, each, memory.take)[1]["x"], LARGE)
        finally:
            memory.close()
            subprocess.run(["umount", "--lazy", folder], check=True, timeout=10)


def announced(**place: Any) -> list[bytes]:
    array = {"name": "x", "dtype": "float32", "shape": LARGE.shape, "place": place}
    return [json.dumps({"id": "a", "arrays": [array]}).encode()]


class TestForged:
    @pytest.mark.parametrize(
        "place",
        [
            {"segment": "", "offset": 0},
            {"segment": "../../etc/passwd", "offset": 0},
            {"segment": "/" + "a" * 31, "offset": 0},
            {"segment": "A" * 32, "offset": 0},
            {"segment": "a" * 33, "offset": 0},
            {"segment": "a" * 32 + "\n", "offset": 0},
            {"segment": "a" * 31 + "\0", "offset": 0},
            {"segment": "a" * 32, "offset": 0},
            {"segment": "a" * 32, "offset": -1},
            {"segment": "a" * 32},
            {"segment": "b" * 32, "offset": 0},
            {"segment": "c" * 32, "offset": 0},
            {"segment": "d" * 32, "offset": 0},
            {"segment": "e" * 32, "offset": 1},
            {"segment": "e" * 32, "offset": 2**70},
        ],
    )
    def test_refused(self, memory: SharedMemory, tmp_path: Path, place: dict[str, Any]) -> None:
        """`b` is another's file behind a link, `c` a folder, `d` empty, and `e` as large as the array."""
        prefix = memory.open()
        theirs = tmp_path / "theirs"
        theirs.write_bytes(LARGE.tobytes())
        Path(prefix + "b" * 32).symlink_to(theirs)
        Path(prefix + "c" * 32).mkdir()
        Path(prefix + "d" * 32).touch()
        Path(prefix + "e" * 32).write_bytes(LARGE.tobytes())
        with pytest.raises(ValueError):  # noqa: PT011 - any ValueError will do
            unpack(Reply, announced(**place), memory.take)
        assert theirs.read_bytes() == LARGE.tobytes()
        Path(prefix + "c" * 32).rmdir()

    def test_that_of_another_engine(self, memory: SharedMemory, tmp_path: Path) -> None:
        memory.open()
        other = SharedMemory(tmp_path)
        frames, shared = sent(Segments(other.open()), {"x": LARGE})
        assert shared == 1
        with pytest.raises(ValueError, match="cannot be taken"):
            unpack(Reply, frames, memory.take)
        np.testing.assert_array_equal(unpack(Reply, frames, other.take)[1]["x"], LARGE)
        other.close()

    def test_for_which_there_is_no_descriptor(self, memory: SharedMemory) -> None:
        """It is gone, and whose answer it was is known."""
        prefix = memory.open()
        frames, shared = sent(Segments(prefix), {"x": LARGE})
        assert shared == 1
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            with pytest.raises(NotTaken, match="Too many open files") as raised:
                unpack(Reply, frames, memory.take)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert raised.value.id == json.loads(bytes(frames[0]))["id"]
        assert not list(Path(prefix).parent.glob(f"{Path(prefix).name}*"))

    def test_in_a_call(self, memory: SharedMemory) -> None:
        places = Segments(memory.open()).share({"x": LARGE})
        with pytest.raises(ValueError, match="may have none"):
            unpack(Call, pack(Call(id="a", question=AskStatus(), deadline_s=1), {"x": LARGE}, places))


class TestSweeping:
    def test_what_an_ended_engine_left(self, memory: SharedMemory, tmp_path: Path) -> None:
        prefix = memory.open()
        other = SharedMemory(tmp_path)
        theirs = Segments(other.open()).share({"x": LARGE})
        assert Segments(prefix).share({"x": LARGE})
        memory.sweep()
        assert names(tmp_path) == sorted([memory._name, other._name, f"{other._name}-{theirs['x'].segment}"])
        assert Segments(prefix).share({"x": LARGE}), "the next engine writes under the same name"
        other.close()

    def test_what_a_killed_service_left(self, memory: SharedMemory, tmp_path: Path, others: Any) -> None:
        """The next one to start sweeps it, also what lies there without a lock; of one that lives it takes nothing."""
        (victim, left), (_, living) = others(), others()
        orphan = f"kerascope-{'0' * 32}-{'1' * 32}"
        foreign = ["kerascope-pg-1", "kerascope-" + "f" * 31, f"other-{'0' * 32}"]
        for name in (orphan, *foreign):
            (tmp_path / name).touch()
        (tmp_path / f"kerascope-{'2' * 32}").symlink_to(tmp_path / foreign[0])
        victim.send_signal(signal.SIGKILL)
        victim.wait(10)
        assert len([name for name in names(tmp_path) if name.startswith(left)]) == 2
        memory.open()
        found = names(tmp_path)
        assert not [name for name in found if name.startswith((left, orphan))]
        assert len([name for name in found if name.startswith(living)]) == 2
        assert set(foreign) < set(found)

    def test_one_that_opens_and_closes_beside_others(self, tmp_path: Path, others: Any) -> None:
        (_, living) = others()
        for _ in range(20):
            one, two = SharedMemory(tmp_path), SharedMemory(tmp_path)
            assert one.open() != two.open()
            one.close()
            two.close()
            two.close()
        assert {name[: len(living)] for name in names(tmp_path)} == {living}


def test_what_may_wait_is_what_compose_gives() -> None:
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert f"shm_size: {MOST_BYTES // 1024**2}m" in compose
    assert os.sysconf("SC_PAGE_SIZE") <= LEAST_BYTES
