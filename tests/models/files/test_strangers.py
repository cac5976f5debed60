"""Files are told by what they are, whatever they are called."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from service.errors import ModelNotLoadable
from service.models.files.entries import spec_of_file
from service.models.files.library import Library
from service.models.files.opening.contents import contents_of_path
from service.models.loaded import load_model
from tests import nets


@pytest.mark.parametrize("name", ["net.H5", "net.HDF5", "net.KERAS", "Net.Keras", "net.h5"])
def test_endings_in_capitals_are_loaded(tmp_path: Path, name: str) -> None:
    """Told by the first bytes, whoever wrote the ending."""
    model = nets.pencil()
    plain = tmp_path / f"plain{Path(name).suffix.lower()}"
    model.save(plain)
    folder = tmp_path / "models"
    folder.mkdir()
    plain.rename(folder / name)
    for found in (Library(folder).get("net"), spec_of_file(folder / name)):
        loaded = load_model(found, tmp_path)
        np.testing.assert_allclose(nets.explain(loaded, "predict").scores, nets.LOGITS, rtol=1e-6)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "it is a pointer of Git LFS"),
        (bytes(128) + b"DICM" + bytes(2000), "it is a DICOM image; a model is a .keras archive or HDF5"),
        (b"\x89PNG\r\n\x1a\n", "it is a PNG image"),
        (b'{"class_name": "Sequential"}', "it is JSON; an architecture needs its weights beside it"),
        (b"\x93NUMPY\x01\x00", "it is a NumPy array"),
        (b"\x00\x01\x02\x03\x04\x05", "it starts with b'\\x00\\x01\\x02\\x03', neither a .keras archive nor HDF5"),
    ],
)
@pytest.mark.parametrize("name", ["net.h5", "net.H5", "net.keras"])
def test_what_is_no_model_is_named(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ModelNotLoadable, match=re.escape(said)):
        contents_of_path(tmp_path / name)
