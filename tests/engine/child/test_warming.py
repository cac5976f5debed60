"""What an engine preloads: the models whose calls it gets, an upload by its plain name in its default version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from service.engine.child.warming import Preload
from service.engine.host.pool import engine_of
from service.models.files.library import Library
from service.models.files.uploads.store import UploadStore

MANIFEST: dict[str, Any] = {"upload_digest": "sha256:0", "canonical_digest": "sha256:" + "0" * 64, "parameters": 1}


def library(folder: Path, versions: int) -> tuple[Library, UploadStore]:
    """Makes a library with an upload `mine` of so many versions."""
    store = UploadStore(folder / "uploads", quota_bytes=2**20, most=10)
    for _ in range(versions):
        file = store.incoming() / "canonical.keras"
        file.write_bytes(b"x")
        store.add("mine", "ann", "private", {}, MANIFEST, file)
    return Library(None, store), store


def test_a_plain_name_is_the_default_version(tmp_path: Path) -> None:
    models, store = library(tmp_path, 2)
    assert Preload(["mine", "shapes"], models, number=0, engines=1).ids == ("mine@2", "shapes")
    store.change("mine", default=1)
    assert Preload(["mine", "mine@2"], models, number=0, engines=1).ids == ("mine@1", "mine@2")
    assert Preload(["mine", "mine@1"], models, number=0, engines=1).ids == ("mine@1",)


def test_each_model_belongs_to_one_engine(tmp_path: Path) -> None:
    models, _ = library(tmp_path, 3)
    names = ["shapes", "efficientnet-lite0", "vgg16", "mine", "mine@1", "mine@2", "gone"]
    found = [Preload(names, models, number=number, engines=4).ids for number in range(4)]
    assert sorted(model_id for ids in found for model_id in ids) == sorted({*names, "mine@3"} - {"mine"})
    for number, ids in enumerate(found):
        assert all(engine_of(model_id, 4) == number for model_id in ids)


def test_what_could_not_be_loaded_is_told_until_it_is(tmp_path: Path) -> None:
    preload = Preload(["shapes", "gone"], library(tmp_path, 0)[0], number=0, engines=1)
    assert (preload.waiting(), preload.missing(lambda _: False)) == (["gone", "shapes"], [])
    preload.ended("shapes", warm=True)
    preload.ended("gone", warm=False)
    assert (preload.waiting(), preload.missing(lambda model_id: model_id == "shapes")) == ([], ["gone"])
    assert preload.missing(lambda _: True) == []
    assert preload.missing(lambda _: False) == ["gone", "shapes"], "one that was unloaded is missing too"


def test_an_upload_that_was_deleted_is_not_missed(tmp_path: Path) -> None:
    models, store = library(tmp_path, 1)
    preload = Preload(["mine"], models, number=0, engines=1)
    preload.ended("mine@1", warm=True)
    assert preload.missing(lambda _: False) == ["mine@1"]
    store.remove("mine")
    assert preload.missing(lambda _: False) == []
