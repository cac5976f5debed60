"""An answer takes the form that is asked for, and every form says the same."""

from __future__ import annotations

import base64
import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from service.api.answering.negotiate import choose
from service.errors import NotAcceptable
from tests.checks import CAM, MODEL, PNG, problem, saved, triangle
from tests.conftest import Service

PICTURE = saved(triangle())
MEDIA = {"json": "application/json", "png": "image/png", "npy": "application/x-npy", "npz": "application/x-npz"}


class TestChoose:
    @pytest.mark.parametrize(
        ("accept", "expected"),
        [
            (None, "json"),
            ("", "json"),
            ("*/*", "json"),
            ("application/*", "json"),
            ("image/*", "png"),
            ("image/png", "png"),
            ("IMAGE/PNG", "png"),
            ("application/x-npz", "npz"),
            ("image/png, application/json", "png"),
            ("application/json, image/png", "json"),
            ("application/json;q=0.5, image/png", "png"),
            ("application/json; q=0.5, image/png; q=0.4, application/x-npy;q=0.6", "npy"),
            ("application/json;q=0, */*", "png"),
            ("application/json;q=0, application/*", "npy"),
            ("image/png;q=0.1, */*;q=0.9", "json"),
            ("text/html, image/webp, */*;q=0.8", "json"),
            ("text/html, image/png;q=0.3", "png"),
            ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", "webp"),
            ("image/jpeg", "jpeg"),
            ("image/jpeg;q=0.8, image/webp;q=0.9", "webp"),
            ("application/json;q=nonsense, image/png;q=0.1", "png"),
            ("application/json;q=nan, image/png;q=0.1", "png"),
            ("image/png;charset=x;q=0.2, application/x-npy;q=0.3", "npy"),
        ],
    )
    def test_accept(self, accept: str | None, expected: str) -> None:
        assert choose(None, accept) == expected

    def test_a_stated_format_goes_first(self) -> None:
        assert choose("npz", "image/png") == "npz"
        assert choose("npz", "text/html") == "npz"

    @pytest.mark.parametrize("accept", ["text/html", "image/avif", "image/png;q=0", "*/*;q=0", ";;,,", "png"])
    def test_nothing_of_ours(self, accept: str) -> None:
        with pytest.raises(NotAcceptable, match="can be given; this route gives application/json, image/png"):
            choose(None, accept)


class TestForms:
    @pytest.mark.parametrize("form", MEDIA)
    def test_format_and_accept_agree(self, service: Service, form: str) -> None:
        stated = service.client.post(f"{CAM}?format={form}", content=PICTURE, headers=PNG)
        wanted = service.client.post(CAM, content=PICTURE, headers=PNG | {"Accept": f"{MEDIA[form]}, */*;q=0.1"})
        for response in (stated, wanted):
            assert response.status_code == 200, response.text
            assert response.headers["content-type"] == MEDIA[form]
        if form != "json":
            assert stated.content == wanted.content

    def test_all_forms_hold_the_same_numbers(self, service: Service) -> None:
        def post(query: str) -> bytes:
            return service.client.post(f"{CAM}?{query}", content=PICTURE, headers=PNG).content

        expected = np.load(io.BytesIO(post("format=npy")))
        assert (expected.dtype, expected.shape) == (np.float32, (3, 3))
        with np.load(io.BytesIO(post("format=npz"))) as archive:
            assert archive.files == ["heatmap"]
            np.testing.assert_array_equal(archive["heatmap"], expected)
        for encoding in ("base64", "list"):
            answer = service.client.post(f"{CAM}?arrays={encoding}", content=PICTURE, headers=PNG).json()
            (array,) = answer["arrays"]
            assert array["encoding"] == encoding
            assert (array["name"], array["dtype"], array["shape"]) == ("heatmap", "float32", [3, 3])
            assert (array["min"], array["max"]) == (expected.min(), expected.max())
            data = array["data"]
            flat = np.frombuffer(base64.b64decode(data), "<f4") if encoding == "base64" else np.array(data, "<f4")
            np.testing.assert_array_equal(flat.reshape(3, 3), expected)

    def test_arrays_are_left_out_by_default(self, service: Service) -> None:
        assert service.client.post(CAM, content=PICTURE, headers=PNG).json()["arrays"] == []

    def test_npz_members_are_the_layers(self, service: Service) -> None:
        query = "format=npz&layers=conv2d_5,conv2d,dense&channels=0"
        answer = service.client.post(f"{MODEL}/activations?{query}", content=PICTURE, headers=PNG)
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.namelist() == ["conv2d_5.npy", "conv2d.npy", "dense.npy"]
            assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        with np.load(io.BytesIO(answer.content)) as arrays:
            assert [arrays[name].shape for name in arrays.files] == [(3, 3, 1), (28, 28, 1), (1, 512, 1)]

    def test_png_is_the_picture_of_the_json(self, service: Service) -> None:
        overlay = service.client.post(f"{CAM}?format=png", content=PICTURE, headers=PNG).content
        heatmap = service.client.post(f"{CAM}?format=png&outputs=heatmap", content=PICTURE, headers=PNG).content
        images = service.client.post(CAM, content=PICTURE, headers=PNG).json()["images"]
        assert [image["name"] for image in images] == ["overlay", "heatmap"]
        assert [base64.b64decode(image["data"]) for image in images] == [overlay, heatmap]
        assert Image.open(io.BytesIO(overlay)).size == (60, 40)

    def test_equal_requests_give_equal_bytes(self, service: Service) -> None:
        for form in ("png", "npy", "npz"):
            first, second = (
                service.client.post(f"{CAM}?format={form}", content=PICTURE, headers=PNG).content for _ in range(2)
            )
            assert first == second

    def test_accept_that_cannot_be_served(self, service: Service) -> None:
        answer = service.client.post(CAM, content=PICTURE, headers=PNG | {"Accept": "text/html"})
        problem(answer, 406, "not-acceptable", "text/html", "image/png", "application/x-npz")

    @pytest.mark.parametrize("headers", [{}, {"Accept": "image/png"}])
    def test_a_method_without_pictures_gives_no_png(self, service: Service, headers: dict[str, str]) -> None:
        query = "" if headers else "?format=png"
        answer = service.client.post(f"{MODEL}/predict{query}", content=PICTURE, headers=PNG | headers)
        problem(
            answer, 406, "not-acceptable", "this route gives application/json, application/x-npy, application/x-npz"
        )

    def test_no_outputs_no_png(self, service: Service) -> None:
        answer = service.client.post(f"{CAM}?format=png&outputs=", content=PICTURE, headers=PNG)
        problem(answer, 406, "not-acceptable", "'cam'", "outputs")
