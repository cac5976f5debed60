"""M10, H8: uploads on disk. A version is there whole or not at all, nobody's room is passed, no name is a caller's."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ModelExists, ModelNotLoadable, QuotaExceeded, Unavailable, UnknownModel
from service.files import FRESH
from service.models.files.library import Library
from service.models.files.uploads.record import Record, split_id
from service.models.files.uploads.store import UploadStore
from tests.conftest import ROOT

MANIFEST = {"upload_digest": "sha256:" + "a" * 64, "canonical_digest": "sha256:" + "b" * 64, "parameters": 7}


def store(folder: Path, quota: int = 10**6, most: int = 10) -> UploadStore:
    return UploadStore(folder / "uploads", quota_bytes=quota, most=most)


def add(where: UploadStore, model_id: str = "mine", owner: str = "me", size: int = 100, **wanted: Any) -> Record:
    folder = where.incoming()
    file = folder / "canonical.keras"
    file.write_bytes(b"x" * size)
    return where.add(model_id, owner, wanted.pop("visibility", "private"), wanted, MANIFEST, file)


class TestVersions:
    def test_each_is_the_next(self, tmp_path: Path) -> None:
        where = store(tmp_path)
        assert [add(where).default for _ in range(3)] == [1, 2, 3]
        library = Library(None, where)
        assert library.get("mine").id == "mine@3"
        assert library.get("mine@1").id == "mine@1"
        assert library.get("mine@1").sha256 == "b" * 64, "loaded by the digest of the canonical file"
        with pytest.raises(UnknownModel, match="has no version 4; it has 1, 2, 3"):
            library.get("mine@4")

    def test_another_default(self, tmp_path: Path) -> None:
        where = store(tmp_path)
        for _ in range(2):
            add(where)
        assert where.change("mine", default=1).default == 1
        assert Library(None, where).get("mine").id == "mine@1"
        assert where.change("mine", visibility="shared").visibility == "shared"
        for number in (3, 10**6):
            with pytest.raises(UnknownModel):
                where.change("mine", default=number)
        with pytest.raises(UnknownModel):
            where.change("other", default=1)

    def test_a_number_is_never_given_twice(self, tmp_path: Path) -> None:
        where = store(tmp_path)
        for _ in range(2):
            add(where)
        assert where.remove("mine@2") == ["mine@2"]
        assert add(where).default == 3
        assert where.remove("mine") == ["mine@1", "mine@3"]
        assert where.records() == []
        assert list((tmp_path / "uploads").glob("*/1")) == []

    def test_the_default_after_its_removal(self, tmp_path: Path) -> None:
        where = store(tmp_path)
        for _ in range(3):
            add(where)
        where.remove("mine@3")
        found = where.find("mine")
        assert found
        assert found.default == 2

    @pytest.mark.parametrize(
        ("model_id", "parts"),
        [("a", ("a", None)), ("a@2", ("a", 2)), ("a@x", ("a@x", None)), ("a@", ("a@", None)), ("a@٢", ("a@٢", None))],
    )
    def test_an_id_with_a_version(self, model_id: str, parts: tuple[str, int | None]) -> None:
        assert split_id(model_id) == parts


class TestOwners:
    def test_an_id_belongs_to_who_came_first(self, tmp_path: Path) -> None:
        where = store(tmp_path)
        add(where)
        with pytest.raises(ModelExists, match="'mine' is taken"):
            add(where, owner="other")
        assert add(where, "yours", owner="other").default == 1

    def test_who_sees_it(self, tmp_path: Path) -> None:
        where = store(tmp_path)
        mine = add(where)
        assert [mine.visible_to(owner) for owner in ("me", "other", None)] == [True, False, True]
        assert add(where, visibility="shared").visible_to("other")

    def test_room(self, tmp_path: Path) -> None:
        where = store(tmp_path, quota=250, most=3)
        add(where, size=100)
        add(where, "other", size=100)
        with pytest.raises(QuotaExceeded, match="200 bytes, 100 more would pass its 250"):
            add(where, size=100)
        add(where, "theirs", owner="other", size=200)
        add(where, size=10)
        with pytest.raises(QuotaExceeded, match="keeps 3 versions"):
            add(where, size=1)
        where.remove("other")
        assert add(where, size=1).default == 3


class TestNames:
    @given(st.text(max_size=100))
    def test_h8_whatever_is_asked_for_lies_inside(self, name: str) -> None:
        where = UploadStore(Path("/nowhere/uploads"))
        assert where._place(name).parent == Path("/nowhere/uploads")
        assert where._place(name).name.isalnum()

    @pytest.mark.parametrize("name", ["..", "../../etc", "a/b", "a\x00b", "%2e%2e", "．．", "x" * 5000])
    def test_h8_names_that_lead_out(self, name: str, tmp_path: Path) -> None:
        where = store(tmp_path)
        add(where)
        assert where.find(name) is None
        with pytest.raises(UnknownModel):
            where.remove(name)


class TestM10Crashes:
    def test_what_is_left_behind_is_swept(self, tmp_path: Path) -> None:
        where = store(tmp_path)
        add(where)
        (place,) = [path.parent for path in (tmp_path / "uploads").glob("*/record.json")]
        (place / "2").mkdir()
        (place / "2" / "canonical.keras").write_bytes(b"half")
        (place / f"{FRESH}0-record.json").write_bytes(b"half")
        old = where.incoming()
        os.utime(old, (0, 0))
        fresh = where.incoming()
        where.sweep()
        assert fresh.is_dir(), "somebody may still be sending it"
        assert not old.exists()
        assert sorted(path.name for path in place.iterdir()) == ["1", "record.json"]
        assert add(where).default == 2

    def test_a_damaged_record_hides_its_model_alone(self, tmp_path: Path) -> None:
        where = store(tmp_path)
        add(where)
        add(where, "other")
        for path in (tmp_path / "uploads").glob("*/record.json"):
            if b'"mine"' in path.read_bytes():
                path.write_bytes(b"{")
        assert [record.id for record in where.records()] == ["other"]

    @pytest.mark.parametrize(
        "how", ["unknown fields", "missing fields", "another type", "no such default", "cut off", "nested deeply"]
    )
    def test_no_start_deletes_what_a_record_cannot_say(self, tmp_path: Path, how: str) -> None:
        """Its versions stay and its ID is taken, be it of a newer service, of an older one after it, or damaged."""
        where = store(tmp_path)
        add(where)
        add(where)
        (path,) = (tmp_path / "uploads").glob("*/record.json")
        record = json.loads(path.read_bytes())
        data = {
            "unknown fields": json.dumps(record | {"shared_with": ["a"], "versions": [
                version | {"precision": "fp16"} for version in record["versions"]
            ]}),
            "missing fields": json.dumps({key: value for key, value in record.items() if key != "last"}),
            "another type": json.dumps(record | {"default": "two"}),
            "no such default": json.dumps(record | {"default": 9}),
            "cut off": path.read_text()[:-20],
            "nested deeply": "[" * 100_000,
        }[how]  # fmt: skip
        path.write_text(data)
        (path.parent / "2-fp16").mkdir()
        for _ in range(3):
            store(tmp_path).sweep()
        assert {item.name for item in path.parent.iterdir()} == {"1", "2", "2-fp16", "record.json"}
        assert all((path.parent / number / "canonical.keras").is_file() for number in ("1", "2"))
        assert path.read_text() == data
        with pytest.raises(ModelExists):
            add(store(tmp_path), owner="somebody else")
        if how == "unknown fields":
            # What a newer service wrote is still there when this one has changed the record.
            assert add(store(tmp_path)).default == 3
            written = json.loads(path.read_bytes())
            assert written["shared_with"] == ["a"]
            assert [version.get("precision") for version in written["versions"]] == ["fp16", "fp16", None]
            return
        with pytest.raises(ModelNotLoadable, match="the record of this upload cannot be read"):
            where.spec("mine")
        (shown,) = store(tmp_path).unreadable()
        known = how in ("missing fields", "another type", "no such default")
        assert shown.shown_as == ("mine" if known else f"unreadable-{path.parent.name[:8]}")
        assert shown.visible_to("somebody else") is not known, "no other key learns of the ID"
        assert shown.visible_to("me")

    def test_a_spec_of_a_newer_service_hides_its_version_alone(self, tmp_path: Path) -> None:
        where = store(tmp_path)
        add(where)
        add(where, precision="fp16")
        with pytest.raises(ModelNotLoadable, match="version 2 of this upload has a spec .*at fault: precision"):
            where.spec("mine")
        found = where.spec("mine@1")
        assert found is not None
        assert found.id == "mine@1"

    def test_a_record_that_the_disk_does_not_give_loses_nothing(self, tmp_path: Path) -> None:
        """The memory of a process gives an input/output error at address 0."""
        where = store(tmp_path)
        add(where)
        add(where, "other")
        path = next(path for path in (tmp_path / "uploads").glob("*/record.json") if b'"mine"' in path.read_bytes())
        path.rename(tmp_path / "kept")
        path.symlink_to("/proc/self/mem")
        assert [record.id for record in where.records()] == ["other"]
        for call in (lambda: where.spec("mine@1"), lambda: add(where)):
            with pytest.raises(Unavailable, match="cannot be read right now"):
                call()
        assert where.sweep() == 0
        (tmp_path / "kept").replace(path)
        assert add(where).default == 2

    def test_killed_at_any_moment(self, tmp_path: Path) -> None:
        """`kill -9` while versions are added: afterwards each that is listed is there, whole and readable."""
        code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from tests.models.files.test_uploads import add, store
where = store(Path({str(tmp_path)!r}), quota=10**12, most=10**6)
while True:
    add(where, size=50_000)
"""
        for wait in (0.0, 0.003, 0.01, 0.02, 0.05, 0.08, 0.13, 0.2):
            process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, cwd=ROOT)
            before = store(tmp_path).find("mine")
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and store(tmp_path).find("mine") == before:
                time.sleep(0.002)
            time.sleep(wait)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            where = store(tmp_path)
            record = where.find("mine")
            assert record
            assert [version.number for version in record.versions] == list(range(1, record.last + 1))
            for version in record.versions:
                spec = where.spec(f"mine@{version.number}")
                assert spec
                assert spec.path(spec.weights or "").stat().st_size == 50_000
            where.sweep()
        assert record.last > 8


FULL = """
import asyncio, sys
from pathlib import Path
from service.errors import StorageFull
from service.models.files.library import Library
from service.usecases.uploads import Uploads
from tests.models.files.test_uploads import store
where = store(Path(sys.argv[1]))

async def upload():
    uploads = Uploads(where, Library(None, where), None, None, None)
    async with uploads.receiving("me") as folder:
        (folder / "upload.keras").write_bytes(bytes(8 * 2**20))

try:
    asyncio.run(upload())
except StorageFull as error:
    print(error.detail)
print(list((Path(sys.argv[1]) / "uploads" / "incoming").iterdir()), where.records())
"""


def test_m10_a_full_disk(tmp_path: Path) -> None:
    """An upload larger than what is left: refused, and nothing of it stays."""
    inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount = f"mount -t tmpfs -o size=4m none {tmp_path}"
    if not shutil.which("unshare") or subprocess.run([*inside, mount], capture_output=True).returncode:
        pytest.skip("this machine does not allow to mount a small disk (unshare)")
    command = f"{mount} && exec {sys.executable} -c {shlex.quote(FULL)} {tmp_path}"
    done = subprocess.run([*inside, command], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.stdout == "there is no room left where models are kept\n[] []\n", done.stderr


NO_PLACE = """
import asyncio, subprocess, sys
from pathlib import Path
from service.errors import QueueFull, StorageFull
from service.models.files.library import Library
from service.usecases.uploads import WAITING_AT_MOST, Uploads
from tests.models.files.test_uploads import store
disk = Path(sys.argv[1])
where = store(disk)

async def upload(uploads):
    try:
        async with uploads.receiving("me") as folder:
            return "received"
    except StorageFull as error:
        return error.detail

async def main():
    uploads = Uploads(where, Library(None, where), None, None, None)
    print(await upload(uploads))
    used = disk / "used"
    used.mkdir()
    try:
        for number in range(100):
            (used / str(number)).touch()
    except OSError as error:
        print(error.strerror)
    print({await upload(uploads) for _ in range(2 * WAITING_AT_MOST)})
    for file in used.iterdir():
        file.unlink()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    print({await upload(uploads) for _ in range(2 * WAITING_AT_MOST)})
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    print(await upload(uploads))

asyncio.run(main())
"""


def test_a1_a_disk_without_room_is_said_each_time_and_takes_no_place_for_good(tmp_path: Path) -> None:
    inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount = f"mount -t tmpfs -o size=4m,nr_inodes=20 none {tmp_path}"
    if not shutil.which("unshare") or subprocess.run([*inside, mount], capture_output=True).returncode:
        pytest.skip("this machine does not allow to mount a small disk (unshare)")
    command = f"{mount} && exec {sys.executable} -c {shlex.quote(NO_PLACE)} {tmp_path}"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([*inside, command], cwd=ROOT, env=environment, capture_output=True, text=True)
    said = [line for line in done.stdout.splitlines() if "models cannot be kept" not in line]
    assert said == [
        "received",
        "No space left on device",
        "{'there is no room left where models are kept'}",
        '{"models cannot be written where they are kept; the service\'s log says why"}',
        "received",
    ], done.stderr


def test_a_canonical_file_that_has_changed_is_not_loaded(tmp_path: Path) -> None:
    """A bit that flipped on the disk, or a hand that should not be there: known by the digest."""
    from service.errors import ModelNotLoadable
    from service.models.files.sources import load

    where = store(tmp_path)
    add(where)
    spec = where.spec("mine")
    assert spec
    with pytest.raises(ModelNotLoadable, match="has sha256:.* its spec says sha256:bbbb"):
        load(spec, tmp_path)
