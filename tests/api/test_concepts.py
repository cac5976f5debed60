"""Concepts over HTTP: sets as files, zips, base64 and folders, jobs by the real worker, and what is refused."""

from __future__ import annotations

import base64
import io
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image, ImageDraw

from service.errors import ConfigurationError
from service.settings import Settings
from service.settings.loading import make_folders
from tests import nets
from tests.checks import problem, saved
from tests.conftest import Service, start_service

SHAPES = "/v1/models/shapes/concepts"
CRAFT = {"concepts": "2", "draws": "4", "patch": "16", "target": "0"}


def drawn(kind: str, count: int, seed: int = 0) -> list[bytes]:
    """White shapes at random places on dark grounds, or grounds alone."""
    random = np.random.default_rng(seed)
    pictures = []
    for _ in range(count):
        image = Image.new("RGB", (48, 48), tuple(random.integers(0, 120, 3).tolist()))
        left, top = random.integers(4, 20, 2).tolist()
        corners = [(left + 10, top), (left, top + 22), (left + 24, top + 22)]
        pen = ImageDraw.Draw(image)
        if kind == "triangle":
            pen.polygon(corners, fill="white")
        elif kind == "square":
            pen.rectangle((left, top, left + 20, top + 20), fill="white")
        pictures.append(saved(image))
    return pictures


def as_zip(pictures: list[bytes], **more: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in [(f"{place:03d}.png", data) for place, data in enumerate(pictures)] + list(more.items()):
            archive.writestr(name, data)
    return stream.getvalue()


def parts(name: str, pictures: list[bytes]) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [(name, (f"{place}.png", data, "image/png")) for place, data in enumerate(pictures)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Path]]:
    """A service of its own with folders of pictures, a link out of them, and the pencil net."""
    models, root = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("pictures")
    nets.pencil().save(models / "pencil.keras")
    nets.in_keras_2(nets.pencil()).save(models / "pencil-2.h5")
    outside = tmp_path_factory.mktemp("outside")
    for place, picture in enumerate(drawn("triangle", 4)):
        for folder in (root / "shapes" / "triangles", outside):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{place}.png").write_bytes(picture)
    (root / "shapes" / "triangles" / "linked.png").symlink_to(outside / "0.png")
    (root / "out").symlink_to(outside)
    settings = {"preload": "", "pictures_dir": str(root)}
    running = start_service(tmp_path_factory.mktemp("folders"), models_dir=models, **settings)
    yield running, root
    running.stop()


def ended(service: Service, answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    until = time.monotonic() + 120
    while time.monotonic() < until:
        job: dict[str, Any] = service.client.get(answer.headers["Location"]).json()
        if job["state"] in ("succeeded", "failed", "cancelled"):
            return job
        time.sleep(0.1)
    raise AssertionError(job)


def result(service: Service, answer: httpx.Response, **query: str) -> httpx.Response:
    job = ended(service, answer)
    assert job["state"] == "succeeded", job
    found = service.client.get(f"{answer.headers['Location']}/result", params=query)
    assert found.status_code == 200, found.text
    return found


def test_a_set_in_every_form_gives_the_same(service: Service) -> None:
    pictures = drawn("triangle", 4)
    whole = as_zip(pictures)
    one = base64.b64encode(whole).decode()
    several = [base64.b64encode(each).decode() for each in pictures]
    sent: list[dict[str, Any]] = [
        {"files": parts("images", pictures), "data": CRAFT},
        {"files": [("images", ("set.zip", whole, "application/zip"))], "data": CRAFT},
        {"content": whole, "headers": {"Content-Type": "application/zip"}, "params": CRAFT},
        {"json": {"images": several, **CRAFT}},
        {"json": {"images": one, **CRAFT}},
    ]
    found = [
        np.load(io.BytesIO(result(service, service.client.post(SHAPES, **each), format="npz").content)) for each in sent
    ]
    for arrays in found[1:]:
        for name in found[0].files:
            np.testing.assert_array_equal(arrays[name], found[0][name])
    assert found[0]["importance"].shape == (2,)
    assert found[0]["heatmaps"].shape[0] == 4


def test_craft_tells_pictures_progress_and_what_was_left_out(service: Service) -> None:
    data = as_zip(drawn("triangle", 5), **{"bad.png": b"no picture", "__MACOSX/x": b""})
    answer = service.client.post(SHAPES, files={"images": ("s.zip", data)}, data=CRAFT)
    said = result(service, answer, format="json", arrays="list").json()
    assert said["image"] == {"images": {"pictures": 5, "left_out": ["bad.png"]}}
    (warning,) = [each for each in said["warnings"] if each["code"] == "pictures_left_out"]
    assert "'bad.png'" in warning["detail"]
    assert said["method"]["variant"] == "craft"
    assert said["method"]["parameters"]["pictures"] == 5
    assert len(said["statistics"]["concepts"]) == 2
    (picture,) = said["images"]
    assert picture["name"] == "sheet"
    sheet = result(service, answer, format="png")
    image = Image.open(io.BytesIO(sheet.content))
    assert image.size == (picture["width"], picture["height"])
    assert image.getpixel((2, 2)) == (255, 255, 255)


def test_tcav_of_a_planted_concept(service: Service) -> None:
    sets = {
        "images": drawn("triangle", 6), "concept": drawn("square", 14, 1), "random": drawn("nothing", 28, 2),
    }  # fmt: skip
    files = {name: (f"{name}.zip", as_zip(pictures)) for name, pictures in sets.items()}
    wishes = {"method": "tcav", "repeats": "3", "target": "0"}
    answer = service.client.post(SHAPES, files=files, data=wishes, headers={"Prefer": "wait=60"})
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert said["statistics"]["test"]["accuracy"] > 0.9
    assert said["image"] == {name: {"pictures": len(each), "left_out": []} for name, each in sets.items()}
    assert [row["name"] for row in said["images"]] == ["sheet"]
    assert {row["name"] for row in said["statistics"]["images"]} == {f"{place:03d}.png" for place in range(6)}


def test_a_job_is_cancelled(service: Service) -> None:
    heavy = {"concepts": "10", "draws": "512", "patch": "4", "layer": "0", "target": "0"}
    layers = service.client.get("/v1/models/shapes/layers").json()["layers"]
    heavy["layer"] = next(each["path"] for each in layers if each["class"].startswith("Conv"))
    answer = service.client.post(SHAPES, files=parts("images", drawn("triangle", 40)), data=heavy)
    assert answer.status_code == 202, answer.text
    service.client.delete(answer.headers["Location"])
    assert ended(service, answer)["state"] == "cancelled"


@pytest.mark.parametrize("model", ["pencil", "pencil-2"])
def test_a_folder_of_the_service(folders: tuple[Service, Path], model: str) -> None:
    service, _ = folders
    route = f"/v1/models/{model}/concepts"
    wishes = {"concepts": 2, "patch": 1, "target": 0}
    found = []
    for answer in (
        service.client.post(route, params={"images": "shapes/triangles", **wishes}),
        service.client.post(route, json={"images": {"folder": "shapes/triangles"}, **wishes}),
        service.client.post(
            route,
            files={"images": (None, "shapes/triangles"), "concepts": (None, "2")},
            params={"patch": 1, "target": 0},
        ),
    ):
        said = result(service, answer, format="json", arrays="list").json()
        assert said["image"]["images"] == {"pictures": 4, "left_out": []}, "the link is passed over"
        found.append(said["arrays"])
    assert found[0] == found[1] == found[2]


ESCAPES = [
    "..",
    "../outside",
    "shapes/../..",
    "/zebras",
    "out",
    "shapes/",
    "",
    ".hidden",
    "shapes//triangles",
    "a\\b",
    "nowhere",
    "x" * 300,
]


@pytest.mark.parametrize("name", ESCAPES)
def test_no_name_leads_out_of_the_folder(folders: tuple[Service, Path], name: str) -> None:
    service, root = folders
    answer = service.client.post("/v1/models/pencil/concepts", json={"images": {"folder": name}, "concepts": 2})
    problem(answer, 422, "invalid-parameter", "images: ")
    assert str(root) not in answer.text


def test_a_folder_without_enough_pictures(folders: tuple[Service, Path]) -> None:
    service, _ = folders
    answer = service.client.post("/v1/models/pencil/concepts", params={"images": "shapes"})
    problem(answer, 422, "invalid-parameter", "'images' has 0 good pictures, and takes 2 to 500")


def test_a_service_without_folders(service: Service) -> None:
    problem(
        service.client.post(SHAPES, params={"images": "zebras"}), 422, "invalid-parameter", "KERASCOPE_PICTURES_DIR"
    )


GOOD = drawn("triangle", 2)
REFUSED: list[tuple[dict[str, Any], int, str, list[str]]] = [
    ({}, 422, "invalid-parameter", ["'images' is missing", "pictures of the class"]),
    ({"files": parts("images", GOOD[:1])}, 422, "invalid-parameter", ["1 good picture, and takes 2"]),
    (
        {"files": [*parts("images", GOOD[:1]), ("images", ("b.png", b"bad"))]}, 422, "invalid-parameter",
        ["1 were left out", "'b.png'"],
    ),
    ({"files": [*parts("images", GOOD), ("images", ("z", as_zip(GOOD)))]}, 422, "invalid-parameter", ["one zip, or"]),
    ({"files": parts("picture", GOOD)}, 400, "malformed-body", ["'picture'", "'images'"]),
    ({"files": parts("images", GOOD) + parts("concept", GOOD)}, 422, "invalid-parameter", ["not look at 'concept'"]),
    ({"files": parts("images", GOOD), "data": {"method": "tcav"}}, 422, "invalid-parameter", ["'concept' is missing"]),
    ({"files": parts("images", GOOD), "data": {"repeats": "3"}}, 422, "invalid-parameter", ["craft does not take it"]),
    ({"files": parts("images", GOOD), "params": {"images": "zebras"}}, 422, "invalid-parameter", ["folder"]),
    ({"files": parts("images", GOOD), "data": {"preprocess": "false"}}, 422, "invalid-parameter", ["preprocess"]),
    ({"files": parts("images", GOOD), "data": {"target": "99"}}, 404, "unknown-class", ["99"]),
    ({"files": parts("images", GOOD), "data": {"target": "top2"}}, 422, "invalid-parameter", ["one target a call"]),
    ({"files": parts("images", GOOD), "data": {"layer": "no"}}, 404, "unknown-layer", ["no"]),
    ({"content": GOOD[0], "headers": {"Content-Type": "image/png"}}, 422, "invalid-parameter", ["one image is sent"]),
    ({"content": b"PK", "headers": {"Content-Type": "application/zip"}}, 422, "invalid-parameter", ["cut off"]),
    ({"json": {"images": 3}}, 400, "malformed-body", ["list of pictures"]),
    ({"json": {"images": ["%"]}}, 422, "invalid-parameter", ["images: ", "base64"]),
    ({"files": {"images": ("z", as_zip([bytes(2**24)])[:-1])}}, 422, "invalid-parameter", ["cut off"]),
    ({"files": {"images": ("z", as_zip([as_zip(GOOD), *GOOD]))}}, 422, "invalid-parameter", ["another zip"]),
]  # fmt: skip


@pytest.mark.parametrize("place", range(len(REFUSED)))
def test_refused(service: Service, place: int) -> None:
    sent, status, kind, words = REFUSED[place]
    problem(service.client.post(SHAPES, **sent), status, kind, *words)


def test_other_methods_take_no_sets(service: Service) -> None:
    answer = service.client.post("/v1/models/shapes/cam", files=parts("images", GOOD))
    problem(answer, 400, "malformed-body", "name it 'image'")
    asked = {"image": base64.b64encode(GOOD[0]).decode(), "methods": ["concepts"]}
    problem(service.client.post("/v1/models/shapes/explain", json=asked), 404, "unknown-method", "concepts")


def test_a_folder_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="pictures_dir: there is no folder"):
        make_folders(Settings(data_dir=tmp_path, pictures_dir=tmp_path / "none"))
