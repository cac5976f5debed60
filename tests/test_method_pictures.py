"""Every variant that draws something has its picture in `docs/pictures`, and no picture is of anything else."""

from __future__ import annotations

import sys

from PIL import Image

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "openapi_examples"))

from make_pictures import MOST_BYTES, PICTURES, SIDE_PX, file_of, shown

PAGE = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")


def test_every_variant_has_its_picture_and_no_picture_is_an_orphan() -> None:
    wanted = {file_of(explainer.name, variant).name for explainer, variant in shown()}
    assert {path.name for path in PICTURES.iterdir()} == wanted


def test_they_are_small_and_shown() -> None:
    for path in PICTURES.iterdir():
        assert path.stat().st_size <= MOST_BYTES, path.name
        with Image.open(path) as picture:
            assert picture.format == "WEBP"
            assert max(picture.size) <= SIDE_PX
        assert f"](pictures/{path.name})" in PAGE
