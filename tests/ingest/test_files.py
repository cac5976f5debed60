"""M4, M5, M6, M7: zips, JSON and HDF5 that are not what they seem. Each is made here and refused before it is read."""

from __future__ import annotations

import io
import json
import random
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from service.ingest import archive, hdf5
from service.ingest.upload import checked, strict_json
from service.ingest.verdict import Refused
from tests.ingest.corpus import LIMITS, dense, functional, legacy, put
from tests.ingest.corpus import archive as made_archive
from tests.ingest.corpus import hdf5 as made_hdf5

CONFIG = functional(dense())


def refused(data: bytes, folder: Path, name: str | None = None) -> Refused:
    with pytest.raises(Refused) as caught:
        checked([put(folder, data, name)], folder, LIMITS)
    return caught.value


def written(change: Callable[[zipfile.ZipFile], None]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        change(file)
    return buffer.getvalue()


class TestM7Archive:
    def test_an_honest_one(self, tmp_path: Path) -> None:
        found = checked([put(tmp_path, made_archive(CONFIG))], tmp_path, LIMITS)
        assert dict(found.classes) == {"keras.layers:InputLayer": 1, "keras.layers:Dense": 1}
        assert found.arrays == {"/a": ((3,), "float32")}

    @pytest.mark.parametrize(
        "name", ["extra.txt", "assets/vocabulary.txt", "../evil", "/etc/passwd", "config.json/x", "a.npz"]
    )
    def test_a_member_that_does_not_belong(self, name: str, tmp_path: Path) -> None:
        """GHSA-hqp4-2352-xf5r among them: a member's path out of the folder."""
        assert refused(made_archive(CONFIG, **{name: b"x"}), tmp_path).code == "model.bad_archive"
        assert {path.name for path in tmp_path.iterdir()} == {"upload.keras"}

    def test_a_member_twice(self, tmp_path: Path) -> None:
        """It is a reader's own affair which of the two it takes: a scanner the one, a loader the other."""

        def change(file: zipfile.ZipFile) -> None:
            for text in (json.dumps(CONFIG), '{"class_name": "Lambda"}'):
                file.writestr("config.json", text)
            file.writestr("metadata.json", "{}")
            file.writestr("model.weights.h5", made_hdf5())

        with pytest.warns(UserWarning, match="Duplicate"):
            data = written(change)
        assert refused(data, tmp_path).code == "model.bad_archive"

    @pytest.mark.parametrize("where", ["before", "behind", "between"])
    def test_something_beside_the_members(self, where: str, tmp_path: Path) -> None:
        data = made_archive(CONFIG)
        if where == "before":
            data = b"GIF89a" + data
            assert put(tmp_path, data, "upload.keras")
            with pytest.raises(Refused):
                archive.read(tmp_path / "upload.keras", tmp_path / "w.h5", 2**20, 2**20)
            return
        if where == "behind":
            data += b"trailing"
        else:
            end = data.rindex(b"PK\x05\x06")
            start = struct.unpack("<I", data[end + 16 : end + 20])[0]
            data = data[:start] + b"hidden" + data[start:end] + data[end : end + 16]
            data += struct.pack("<I", start + 6) + b"\x06\x00hidden"
        assert refused(data, tmp_path).code in ("model.bad_archive", "model.unreadable")

    def test_a_member_that_no_directory_names(self, tmp_path: Path) -> None:
        """A reader that goes from record to record would take it for the architecture."""
        hidden = written(lambda file: file.writestr("config.json", '{"class_name": "Lambda"}'))
        hidden = hidden[: hidden.index(b"PK\x01\x02")]

        def change(file: zipfile.ZipFile) -> None:
            file.writestr("metadata.json", "{}")
            assert file.fp
            file.fp.write(hidden)
            file.start_dir = file.fp.tell()
            file.writestr("config.json", json.dumps(CONFIG))
            file.writestr("model.weights.h5", made_hdf5())

        assert refused(written(change), tmp_path).code == "model.bad_archive"

    def test_compressed_bytes_that_are_damaged(self, tmp_path: Path) -> None:
        """Whatever bit is wrong, it is refused or harmless, and never an error of a library."""
        names = ("config.json", "metadata.json", "model.weights.h5")
        texts = (json.dumps(CONFIG), "{}", made_hdf5())

        def change(file: zipfile.ZipFile) -> None:
            for name, text in zip(names, texts, strict=True):
                file.writestr(name, text, zipfile.ZIP_DEFLATED)

        honest, randoms, codes = written(change), random.Random(0), set()
        for _ in range(600):
            data = bytearray(honest)
            data[randoms.randrange(len(data))] ^= 1 << randoms.randrange(8)
            try:
                archive.read(put(tmp_path, bytes(data), "upload.keras"), tmp_path / "w.h5", 2**20, 2**20)
            except Refused as error:
                codes.add(error.code)
        assert {"model.unreadable", "model.bad_archive"} <= codes

    def test_an_encrypted_member(self, tmp_path: Path) -> None:
        data = bytearray(made_archive(CONFIG))
        for marker, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            data[data.index(marker) + offset] |= 1
        assert refused(bytes(data), tmp_path).code == "model.bad_archive"

    def test_a_link(self, tmp_path: Path) -> None:
        def change(file: zipfile.ZipFile) -> None:
            link = zipfile.ZipInfo("model.weights.h5")
            link.external_attr = 0o120777 << 16
            file.writestr(link, "/etc/passwd")
            file.writestr("config.json", json.dumps(CONFIG))
            file.writestr("metadata.json", "{}")

        assert refused(written(change), tmp_path).code == "model.bad_archive"

    def test_a_bomb(self, tmp_path: Path) -> None:
        """Zip bombs in config and weights (Keras 3.15.0), 64 MB of zeros in 64 kB."""
        for member in ("config.json", "model.weights.h5", "metadata.json"):

            def change(file: zipfile.ZipFile, member: str = member) -> None:
                for name, data in (("config.json", b"{}"), ("metadata.json", b"{}"), ("model.weights.h5", made_hdf5())):
                    kind = zipfile.ZIP_DEFLATED if name == member else zipfile.ZIP_STORED
                    file.writestr(name, bytes(64 * 2**20) if name == member else data, kind)

            tracemalloc.start()
            assert refused(written(change), tmp_path).code == "model.too_large"
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 80 * 2**20, "the bomb itself is made here; it is not unpacked beside"

    def test_a_size_that_lies(self, tmp_path: Path) -> None:
        data = bytearray(made_archive(CONFIG))
        place = data.rindex(b"PK\x01\x02")
        data[place + 24 : place + 28] = struct.pack("<I", 10)
        assert refused(bytes(data), tmp_path).code in ("model.bad_archive", "model.unreadable", "model.too_large")

    def test_what_is_no_zip(self, tmp_path: Path) -> None:
        cut = refused(b"PK\x03\x04" + bytes(100), tmp_path)
        assert cut.code == "model.unreadable"
        assert cut.detail == "the file is a damaged or incomplete zip archive; save it again, or send it again"
        assert refused(b"", tmp_path, "upload.h5").code == "model.unreadable"


class TestM5Json:
    def test_deep(self) -> None:
        for data in (b"[" * 200_000, b'{"a":' * 100_000, b'{"config":' + b"[" * 70 + b"]" * 70 + b"}"):
            with pytest.raises(Refused, match="deeper than 64"):
                strict_json(data, "it", 2**23, 64)
        assert strict_json(b'["[[[[", "\\"[["]', "it", 2**23, 1) == ["[[[[", '"[[']

    def test_long(self) -> None:
        with pytest.raises(Refused, match="8388609 bytes"):
            strict_json(b" " * (2**23 + 1), "it", 2**23, 64)

    @pytest.mark.parametrize("data", [b'{"a": 1, "a": 2}', b'[{"b": {"a": 1, "a": 1}}]'])
    def test_a_key_twice(self, data: bytes) -> None:
        with pytest.raises(Refused, match="'a' stands twice"):
            strict_json(data, "it", 2**23, 64)

    @pytest.mark.parametrize(
        "data", [b"NaN", b"[Infinity]", b'{"a": -Infinity}', b"\xff\xfe", b"{", b"[1,]", b"'a'", b""]
    )
    def test_what_is_none(self, data: bytes) -> None:
        with pytest.raises(Refused):
            strict_json(data, "it", 2**23, 64)


def external(file: h5py.Group, path: Path) -> None:
    file.create_dataset("d", (3,), "f4", external=[(str(path / "secret"), 0, 12)])


def virtual(file: h5py.Group, path: Path) -> None:
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource(str(path / "other.h5"), "d", (3,))
    file.create_virtual_dataset("d", layout)


def looped(file: h5py.Group, path: Path) -> None:
    file["loop"] = file


def twice(file: h5py.Group, path: Path) -> None:
    file["one"] = np.zeros(3, np.float32)
    file["other"] = file["one"]


def referring(file: h5py.Group, path: Path) -> None:
    file["one"] = np.zeros(3, np.float32)
    file.create_dataset("r", (1,), h5py.ref_dtype)[0] = file["one"].ref


def set_(name: str, value: Any) -> Callable[[h5py.Group, Path], None]:
    def change(file: h5py.Group, path: Path) -> None:
        file[name] = value

    return change


FEATURES: dict[str, Callable[[h5py.Group, Path], None]] = {
    "cve_2026_1669_external_storage": external,
    "cve_2026_1669_external_link": lambda file, path: file.__setitem__(
        "l", h5py.ExternalLink(str(path / "o.h5"), "/x")
    ),
    "cve_2026_12480_virtual": virtual,
    "soft_link": lambda file, path: file.__setitem__("l", h5py.SoftLink("/etc")),
    "hard_link_loop": looped,
    "two_names": twice,
    "object_reference": referring,
    "variable_length": set_("v", np.array(["a", "bc"], dtype=h5py.string_dtype())),
    "compound": set_("c", np.zeros(2, [("a", "f4"), ("b", "i4")])),
    "opaque": set_("o", np.void(b"abc")),
    "enum": lambda file, path: file.create_dataset("e", (2,), h5py.enum_dtype({"A": 1, "B": 2})) and None,
    "named_type": set_("t", np.dtype("f4")),
    "lzf_filter": lambda file, path: file.create_dataset("z", (100,), "f4", compression="lzf") and None,
    "nine_dimensions": set_("n", np.zeros((1,) * 9, np.float32)),
}


class TestM4Hdf5:
    @pytest.mark.parametrize("depth", [0, 1, 3])
    @pytest.mark.parametrize("feature", FEATURES)
    def test_a_feature(self, feature: str, depth: int, tmp_path: Path) -> None:
        path = tmp_path / "w.h5"
        with h5py.File(path, "w") as file:
            group = file
            for number in range(depth):
                group = group.create_group(f"g{number}")
            group["plain"] = np.ones(2, np.float32)
            FEATURES[feature](group, tmp_path)
        with pytest.raises(Refused) as caught:
            hdf5.arrays(path, 2**30, 2**20)
        assert caught.value.code in ("model.bad_hdf5", "model.unreadable")
        assert str(tmp_path) not in caught.value.detail

    def test_a_plug_in_is_not_looked_for(self, tmp_path: Path) -> None:
        """A filter that HDF5 does not know would make it load a library from a folder."""
        path = tmp_path / "w.h5"
        with h5py.File(path, "w") as file:
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_chunk((10,))
            plist.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, (1, 2))
            space = h5py.h5s.create_simple((10,))
            h5py.h5d.create(file.id, b"d", h5py.h5t.IEEE_F32LE, space, plist)
        with pytest.raises(Refused, match="filter that is not taken"):
            hdf5.arrays(path, 2**30, 2**20)

    @pytest.mark.parametrize("size", [10**9, 10**12])
    def test_cve_2026_0897_and_cve_2026_12570_a_shape_bomb(self, size: int, tmp_path: Path) -> None:
        """CVE-2026-0897, CVE-2026-12570: a dataset of a terabyte in a few kB."""
        path = tmp_path / "w.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("d", (size,), "f4", chunks=(2**16,), compression="gzip")
        assert path.stat().st_size < 10_000
        with pytest.raises(Refused, match="or more, with 0 stored"):
            hdf5.arrays(path, 2**42, 2**20)

    def test_many_small_bombs(self, tmp_path: Path) -> None:
        """None of them would be too large alone."""
        path = tmp_path / "w.h5"
        with h5py.File(path, "w") as file:
            for number in range(40):
                file.create_dataset(f"d{number}", (10**6,), "f4", chunks=(10**6,), compression="gzip")
        with pytest.raises(Refused) as caught:
            hdf5.arrays(path, 2**42, 2**20)
        assert caught.value.code == "model.too_large"

    def test_what_is_packed_well_but_honestly(self, tmp_path: Path) -> None:
        path = tmp_path / "w.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset(
                "d", data=np.zeros(10**6, np.float32), compression="gzip", shuffle=True, fletcher32=True
            )
        assert hdf5.arrays(path, 2**30, 2**20) == {"/d": ((10**6,), "float32")}

    def test_a_user_block(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "w.h5", "w", userblock_size=512) as file:
            file["d"] = np.zeros(3)
        with pytest.raises(Refused, match="something before it"):
            hdf5.arrays(tmp_path / "w.h5", 2**30, 2**20)

    def test_attributes(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "w.h5", "w") as file:
            for number in range(65):
                file.attrs[f"a{number}"] = 1
        with pytest.raises(Refused, match="more than 64 attributes"):
            hdf5.arrays(tmp_path / "w.h5", 2**30, 2**20)

    def test_deep(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "w.h5", "w") as file:
            file.create_group("/".join("g" * 1 for _ in range(40)))
        with pytest.raises(Refused, match="deeper than 32"):
            hdf5.arrays(tmp_path / "w.h5", 2**30, 2**20)


class TestM6Damaged:
    def test_cut_at_every_place(self, tmp_path: Path) -> None:
        """What is cut off is refused, whatever the place."""
        for data in (made_archive(CONFIG), legacy(CONFIG)):
            for end in range(0, len(data) - 1, max(1, len(data) // 150)):
                assert refused(data[:end] or b"x", tmp_path, "upload.h5")
                (tmp_path / "upload.h5").unlink()
                (tmp_path / "extracted.weights.h5").unlink(missing_ok=True)

    def test_flipped_bytes_of_an_archive(self, tmp_path: Path) -> None:
        """Archives in which nothing that counts has changed are taken; no other way out is there."""
        seeded, honest, taken = random.Random(0), made_archive(CONFIG), 0
        for _ in range(400):
            data = bytearray(honest)
            for _ in range(seeded.choice([1, 1, 4])):
                data[seeded.randrange(len(data))] ^= 1 << seeded.randrange(8)
            try:
                checked([put(tmp_path, bytes(data), "upload.keras")], tmp_path, LIMITS)
                taken += 1
            except Refused:
                pass
            (tmp_path / "extracted.weights.h5").unlink(missing_ok=True)
        assert taken < 200
