"""The models that there are: the catalogue and the operator's folder."""

from __future__ import annotations

from pathlib import Path

import keras
import pytest

from service.errors import ModelNotLoadable, UnknownModel
from service.models.files.entries import spec_of_file
from service.models.files.library import Library, read_catalogue
from service.models.files.spec import labels_of


def write(folder: Path, *names: str, text: str = "") -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def library(folder: Path) -> Library:
    return Library(folder, shipped={})


def test_catalogue() -> None:
    specs = read_catalogue()
    assert {"shapes", "efficientnet-lite0", "vgg16", "resnet50", "mobilenetv2", "densenet121"} <= set(specs)
    shapes = specs["shapes"]
    assert shapes.labels == ("circle", "square", "triangle")
    assert [path.is_file() for path in shapes.files()] == [True]
    assert (specs["efficientnet-lite0"].preprocessing or shapes.preprocessing).mean == (127.0,) * 3  # type: ignore[union-attr]
    families = [spec for spec in specs.values() if spec.source == "application"]
    assert all(callable(getattr(keras.applications, spec.application or "")) for spec in families)
    assert len({spec.application for spec in families}) == len(families)


@pytest.mark.parametrize(
    ("model_id", "mode", "size"),
    [
        ("vgg16", "caffe", 224),
        ("resnet50", "caffe", 224),
        ("resnet50v2", "tf", 224),
        ("mobilenetv2", "tf", 224),
        ("inceptionv3", "tf", 299),
        ("xception", "tf", 299),
        ("densenet121", "torch", 224),
        ("efficientnetb0", "none", 224),
        ("nasnetmobile", "tf", 224),
        ("convnexttiny", "none", 224),
    ],
)
def test_families_have_their_preprocessing(model_id: str, mode: str, size: int) -> None:
    spec = read_catalogue()[model_id]
    assert spec.preprocessing is not None
    assert (spec.preprocessing.mode, spec.input.height, spec.input.width) == (mode, size, size)
    assert (spec.weights, spec.labels) == ("imagenet", "imagenet")


def test_without_a_folder(tmp_path: Path) -> None:
    assert Library(None).specs() == read_catalogue()
    assert library(tmp_path / "missing").specs() == {}


def test_bare_files_and_pairs(tmp_path: Path) -> None:
    write(tmp_path, "My Net (1).keras", "old.h5", "older.hdf5", ".hidden.keras", "notes.txt", "dir.keras/x")
    write(
        tmp_path, "one.json", "one.weights.h5", "two.json", "two.h5", "three.json", "three_weights.hdf5", "alone.json"
    )
    specs = library(tmp_path).specs()
    files = {name: [path.name for path in spec.files()] for name, spec in specs.items()}
    assert files == {
        "my-net-1": ["My Net (1).keras"],
        "old": ["old.h5"],
        "older": ["older.hdf5"],
        "one": ["one.json", "one.weights.h5"],
        "two": ["two.json", "two.h5"],
        "three": ["three.json", "three_weights.hdf5"],
    }


def test_folders_with_a_spec(tmp_path: Path) -> None:
    write(tmp_path, "Cats/model.toml", text='weights = "net.h5"\nlabels = ["cat", "tiger"]\ncam_layer = "c"\n')
    write(tmp_path, "other/model.toml", text='id = "named"\nweights = "net.h5"\n[input]\nresize = "pad"\n')
    write(tmp_path, "Cats/net.h5", "no_spec/net.h5")
    specs = library(tmp_path).specs()
    assert set(specs) == {"cats", "named", "no_spec"}
    assert specs["no_spec"].files() == [(tmp_path / "no_spec" / "net.h5").resolve()]
    assert specs["cats"].labels == ("cat", "tiger")
    assert specs["cats"].files() == [(tmp_path / "Cats" / "net.h5").resolve()]
    assert specs["named"].input.resize == "pad"


BROKEN = {
    "not-toml": ("weights = ", "model.toml in the folder 'not-toml' cannot be read: Invalid value"),
    "unknown-key": ('weights = "x"\nwieghts = "y"', "is not valid: wieghts: unknown field; the closest is 'weights'"),
    "no-weights": ('title = "x"', "source 'file' needs 'weights'"),
    "escape": ('weights = "../x.h5"', "'../x.h5' points outside the model's folder"),
    "escape-labels": ('weights = "x.h5"\nlabels = "../../etc/passwd"', "points outside the model's folder"),
    "bad-id": (
        'id = "No Good"\nweights = "x"',
        "is not valid: id: it must be 1 to 64 of a-z, 0-9, '.', '_' and '-', the first of them a letter or digit, "
        "got 'No Good'",
    ),
    "bad-mode": (
        'weights = "x"\n[preprocessing]\nmode = "magic"',
        "is not valid: preprocessing.mode: input should be 'none', 'rescale01', 'tf', 'caffe', 'torch' or 'mean_std', "
        "got 'magic'",
    ),
    "label": ('weights = "x"\nlabel = ["cat"]', "is not valid: label: unknown field; the closest is 'labels'"),
    "no-labels": ('weights = "x"\nlabels = [7]', "is not valid: labels.0: input should be a valid string, got 7"),
    "digest": (
        'weights = "x"\nsha256 = "ab"',
        "sha256: it must be the 64 hex digits of a SHA-256, in small letters, got 'ab'",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_specs(tmp_path: Path, name: str) -> None:
    text, reason = BROKEN[name]
    write(tmp_path, "good.keras")
    write(tmp_path, f"{name}/model.toml", text=text)
    found = library(tmp_path)
    assert list(found.specs()) == ["good"]
    assert list(found.broken()) == [name]
    assert reason in found.broken()[name]
    assert str(tmp_path) not in found.broken()[name]
    with pytest.raises(ModelNotLoadable) as caught:
        found.get(name)
    assert caught.value.detail == found.broken()[name]


def test_a_spec_in_another_encoding(tmp_path: Path) -> None:
    write(tmp_path, "latin/model.toml")
    (tmp_path / "latin" / "model.toml").write_bytes(b'title = "\xe4"')
    assert "cannot be read: 'utf-8' codec" in library(tmp_path).broken()["latin"]


def test_a_name_that_gives_no_id(tmp_path: Path) -> None:
    write(tmp_path, "猫.keras")
    assert library(tmp_path).specs() == {}
    assert library(tmp_path).broken() == {
        "unnamed": "the file name '猫' gives no model ID; use letters, digits, '.', '_' and '-'"
    }


def test_a_link_that_leads_outside(tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/net.keras", "models/other.keras")
    (tmp_path / "models" / "net.keras").symlink_to(tmp_path / "elsewhere" / "net.keras")
    found = library(tmp_path / "models")
    assert list(found.specs()) == ["other"]
    assert found.broken() == {
        "net": "the file 'net.keras' cannot be used: 'net.keras' points outside the model's folder"
    }


def test_the_folder_goes_before_the_catalogue(tmp_path: Path) -> None:
    write(tmp_path, "shapes.keras")
    spec = Library(tmp_path).get("shapes")
    assert spec.folder == tmp_path
    assert spec.labels is None


def test_new_files_need_no_restart(tmp_path: Path) -> None:
    found = library(tmp_path)
    with pytest.raises(UnknownModel, match="there is no model 'net'"):
        found.get("net")
    write(tmp_path, "net.keras")
    assert found.get("net").weights == "net.keras"
    (tmp_path / "net.keras").unlink()
    with pytest.raises(UnknownModel):
        found.get("net")


def test_unknown_model_gives_the_closest() -> None:
    with pytest.raises(UnknownModel, match=r"there is no model 'resnet5'; the closest are 'resnet50'"):
        Library(None).get("resnet5")


def test_spec_of_file(tmp_path: Path) -> None:
    write(tmp_path, "net.keras", "pair.json", "pair.h5", "alone.json")
    write(tmp_path, "folder/model.toml", text='weights = "net.h5"\n')
    write(tmp_path, "bad/model.toml", text="nonsense")
    assert spec_of_file(tmp_path / "net.keras").weights == "net.keras"
    assert spec_of_file(tmp_path / "pair.json").architecture == "pair.json"
    assert spec_of_file(tmp_path / "folder").id == "folder"
    assert spec_of_file(tmp_path / "folder" / "model.toml").id == "folder"
    for name, reason in (
        ("missing.keras", "there is no file 'missing.keras'"),
        ("alone.json", "'alone.json' is an architecture; its weights must lie beside it as one of alone.weights.h5"),
        ("bad", "model.toml in the folder 'bad' cannot be read"),
    ):
        with pytest.raises(ModelNotLoadable, match=reason):
            spec_of_file(tmp_path / name)


class TestFoldersThatAreModels:
    def test_teachable_machines_export(self, tmp_path: Path) -> None:
        """A zip of theirs holds `keras_model.h5` and `labels.txt`, whose lines begin with their own number."""
        write(tmp_path, "fruit/labels.txt", text="0 Good Apple\n1 Bad Apple\n2 Hand\n")
        write(tmp_path, "fruit/keras_model.h5")
        spec = library(tmp_path).specs()["fruit"]
        assert spec.files() == [(tmp_path / "fruit" / "keras_model.h5").resolve()]
        assert (spec.labels, spec.labels_found) == ("labels.txt", True)
        assert labels_of(spec) == ("Good Apple", "Bad Apple", "Hand")

    @pytest.mark.parametrize(
        ("text", "labels"),
        [
            ("0 a\n1 b\n", ("a", "b")),
            ("0: a b\n1: c\n", ("a b", "c")),
            ("1 a\n2 b\n", ("1 a", "2 b")),
            ("7 up\n0 x\n", ("7 up", "0 x")),
        ],
    )
    def test_numbers_before_labels(self, tmp_path: Path, text: str, labels: tuple[str, ...]) -> None:
        write(tmp_path, "net.h5")
        write(tmp_path, "net.labels.txt", text=text)
        assert labels_of(library(tmp_path).specs()["net"]) == labels

    def test_saved_models_and_unpacked_archives(self, tmp_path: Path) -> None:
        write(tmp_path, "saved/saved_model.pb", "saved/variables/variables.index", "saved/keras_metadata.pb")
        write(tmp_path, "unpacked/config.json", "unpacked/metadata.json", "unpacked/model.weights.h5")
        write(tmp_path, "several/a.h5", "several/b.h5", "empty/notes.txt")
        specs = library(tmp_path).specs()
        found = {name: [path.name for path in specs[name].files()] for name in ("saved", "unpacked")}
        assert found == {
            "saved": ["keras_metadata.pb", "saved_model.pb", "variables.index"],
            "unpacked": ["config.json", "metadata.json", "model.weights.h5"],
        }
        assert not {"several", "empty"} & set(specs)

    def test_one_that_cannot_be_read_hides_itself_alone(self, tmp_path: Path) -> None:
        write(tmp_path, "good.h5")
        (tmp_path / "dangling.keras").symlink_to(tmp_path / "nowhere")
        loop = tmp_path / "loop.h5"
        loop.symlink_to(loop)
        found = library(tmp_path)
        assert "good" in found.specs()
        assert set(found.broken()) == {"dangling", "loop"}
        assert "cannot be read" in found.broken()["dangling"]

    @pytest.mark.parametrize(
        ("name", "data", "said"),
        [
            ("net.tflite", b"\x1c\x00\x00\x00TFL3", "it is a TensorFlow Lite model"),
            ("net.onnx", b"\x08\x07", "it is an ONNX model"),
            ("net.pth", b"\x80\x02}", "it is a pickle; pickles are never opened"),
            ("net.h5", b"version https://git-lfs.github.com/spec/v1\n", "run 'git lfs pull' where it came from"),
            ("NET.H5", b"version https://git-lfs.github.com/spec/v1\n", "it is a pointer of Git LFS"),
            ("net.safetensors", b'\x10\0\0\0\0\0\0\0{"__metadata__"', "it is a safetensors file; only models of"),
            ("frozen.pb", b"\x0a", "name the folder that holds saved_model.pb"),
        ],
    )
    def test_strangers_are_named(self, tmp_path: Path, name: str, data: bytes, said: str) -> None:
        (tmp_path / name).write_bytes(data)
        assert said in library(tmp_path).broken()[name.partition(".")[0].lower()]
