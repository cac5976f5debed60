"""The body forms of a POST, and everything that can be wrong with them."""

from __future__ import annotations

import base64
import io
import json
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.api.conftest import KEY, MAX_BODY_BYTES
from tests.checks import CAM, JSON, NPY, PNG, as_npy, log_line, png_header, problem, saved, triangle
from tests.conftest import Service

PICTURE = saved(triangle())
BASE64 = base64.b64encode(PICTURE).decode()
BEARER = {"Authorization": f"Bearer {KEY}"}


def heatmap(response: httpx.Response) -> np.ndarray[Any, Any]:
    assert response.status_code == 200, response.text
    (array,) = response.json()["arrays"]
    return np.frombuffer(base64.b64decode(array["data"]), array["dtype"]).reshape(array["shape"])


def post_form(service: Service, *parts: bytes, content_type: str = "multipart/form-data; boundary=xx") -> Any:
    content = b"".join(b"--xx\r\n" + part + b"\r\n" for part in parts) + b"--xx--\r\n"
    return service.client.post(CAM, content=content, headers={"Content-Type": content_type})


def part(disposition: str, content: bytes, content_type: str = "") -> bytes:
    kind = f"Content-Type: {content_type}\r\n" if content_type else ""
    return f"Content-Disposition: form-data; {disposition}\r\n{kind}\r\n".encode() + content


IMAGE_PART = part('name="image"; filename="a.png"', PICTURE, "image/png")


class TestGoodForms:
    def test_every_form_gives_the_same_map(self, service: Service) -> None:
        client = service.client
        pixels = np.asarray(triangle())
        asked = {"target": "2", "alpha": "0.5", "arrays": "base64"}
        maps = {
            "image": client.post(CAM, params=asked, content=PICTURE, headers=PNG),
            "multipart": client.post(CAM, data=asked, files={"image": ("a.png", PICTURE, "image/png")}),
            "params part": client.post(CAM, data={"params": json.dumps(asked)}, files={"image": ("a", PICTURE)}),
            "json": client.post(CAM, json={"image": BASE64} | asked),
            "json values": client.post(CAM, json={"image": BASE64, "target": 2, "alpha": 0.5, "arrays": "base64"}),
            "data URI": client.post(CAM, json={"image": f"data:image/png;base64,{BASE64}"} | asked),
            "query and body": client.post(CAM, params={"target": "2"}, json={"image": BASE64, "arrays": "base64"}),
            "npy": client.post(CAM, params=asked, content=as_npy(pixels), headers=NPY),
            "npy part": client.post(CAM, data=asked, files={"image": ("a.npy", as_npy(pixels), NPY["Content-Type"])}),
        }
        expected = heatmap(maps.pop("image"))
        assert expected.dtype == np.float32
        assert expected.max() > 0
        for form, response in maps.items():
            np.testing.assert_array_equal(heatmap(response), expected, err_msg=form)
            assert response.json()["target"]["class_index"] == 2

    def test_content_type_is_read_as_http_says(self, service: Service) -> None:
        answer = service.client.post(CAM, content=PICTURE, headers={"Content-Type": "Image/PNG; name=cat.png"})
        assert answer.status_code == 200

    def test_a_list_may_be_repeated(self, service: Service) -> None:
        route = "/v1/models/shapes/activations"
        repeated = service.client.post(f"{route}?layers=conv2d&layers=1,3&arrays=none", content=PICTURE, headers=PNG)
        form = service.client.post(route, data={"layers": ["conv2d", "1,3"]}, files={"image": ("a.png", PICTURE)})
        for response in (repeated, form):
            assert response.json()["method"]["parameters"]["layers"] == ["conv2d", "conv2d_1", "dropout"]

    def test_preprocess_false_feeds_the_array_as_it_is(self, service: Service) -> None:
        values = np.random.default_rng(0).random((28, 28, 3), np.float32)
        scaled = service.client.post(CAM, params={"arrays": "base64"}, content=as_npy(values * 255), headers=NPY)
        raw = service.client.post(
            CAM, params={"arrays": "base64", "preprocess": "false"}, content=as_npy(values), headers=NPY
        )
        np.testing.assert_allclose(heatmap(raw), heatmap(scaled), atol=1e-5)
        assert raw.json()["image"] == {"format": "npy", "height": 28, "width": 28, "channels": 3}


class TestUnusualPictures:
    def notes(self, service: Service, data: bytes, media_type: str) -> dict[str, Any]:
        answer = service.client.post(CAM, content=data, headers={"Content-Type": media_type})
        assert answer.status_code == 200, answer.text
        image: dict[str, Any] = answer.json()["image"]
        assert [(picture["width"], picture["height"]) for picture in answer.json()["images"]] == [
            (image["width"], image["height"])
        ] * 2
        return image

    def test_animated_gif_shows_its_first_frame(self, service: Service) -> None:
        frames = [triangle(), Image.new("RGB", (60, 40), "red"), Image.new("RGB", (60, 40), "green")]
        data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)
        notes = self.notes(service, data, "image/gif")
        assert (notes["format"], notes["frames"]) == ("gif", 3)

    def test_cmyk_jpeg(self, service: Service) -> None:
        notes = self.notes(service, saved(triangle().convert("CMYK"), "JPEG"), "image/jpeg")
        assert (notes["format"], notes["mode"]) == ("jpeg", "CMYK")

    def test_sixteen_bit_grey_png(self, service: Service) -> None:
        ramp = np.tile(np.linspace(0, 65535, 60).astype(np.uint16), (40, 1))
        notes = self.notes(service, saved(Image.fromarray(ramp)), "image/png")
        assert notes["mode"].startswith("I")

    @pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
    def test_every_media_type(self, service: Service, form: str) -> None:
        assert self.notes(service, saved(triangle(), form), f"image/{form.lower()}")["format"] == form.lower()

    def test_rotated_jpeg_is_answered_upright(self, service: Service) -> None:
        tags = Image.Exif()
        tags[0x0112] = 6
        data = saved(triangle(), "JPEG", exif=tags, quality=95)
        notes = self.notes(service, data, "image/jpeg")
        assert (notes["width"], notes["height"], notes["orientation"]) == (40, 60, 6)
        upright = np.rot90(np.asarray(Image.open(io.BytesIO(data))), -1)
        asked = {"arrays": "base64", "target": "1"}
        expected = service.client.post(CAM, params=asked, content=as_npy(upright.copy()), headers=NPY)
        sent = service.client.post(CAM, params=asked, content=data, headers={"Content-Type": "image/jpeg"})
        np.testing.assert_array_equal(heatmap(sent), heatmap(expected))


class TestNoImage:
    def test_empty_body(self, service: Service) -> None:
        problem(service.client.post(CAM, content=b"", headers=PNG), 400, "malformed-body", "empty", "image/png")

    def test_empty_json_body(self, service: Service) -> None:
        problem(service.client.post(CAM, content=b"", headers=JSON), 400, "malformed-body", "not valid JSON", "empty")

    @pytest.mark.parametrize("body", [{}, {"image": None}, {"alpha": 0.5}])
    def test_json_without_image(self, service: Service, body: dict[str, Any]) -> None:
        problem(service.client.post(CAM, json=body), 400, "malformed-body", "no image", "'image'")

    def test_form_without_image(self, service: Service) -> None:
        problem(post_form(service, part('name="target"', b"1")), 400, "malformed-body", "no image", "'image'")

    def test_empty_form(self, service: Service) -> None:
        problem(post_form(service), 400, "malformed-body", "no image")

    def test_empty_file_part(self, service: Service) -> None:
        answer = service.client.post(CAM, files={"image": ("a.png", b"", "image/png")})
        problem(answer, 422, "undecodable-image", "empty", "0 bytes")

    def test_empty_text(self, service: Service) -> None:
        problem(service.client.post(CAM, json={"image": ""}), 422, "undecodable-image", "empty")


class TestNotAnImage:
    def test_text_named_png(self, service: Service) -> None:
        answer = service.client.post(CAM, files={"image": ("cat.png", b"I am no cat.\n", "image/png")})
        problem(answer, 422, "undecodable-image", "plain text", "PNG, JPEG")

    def test_truncated_jpeg(self, service: Service) -> None:
        data = saved(triangle(), "JPEG")
        answer = service.client.post(CAM, content=data[: len(data) // 2], headers={"Content-Type": "image/jpeg"})
        problem(answer, 422, "undecodable-image", "JPEG", "cut off", f"{len(data) // 2} bytes")

    def test_png_header_of_30000_by_30000(self, service: Service) -> None:
        started = time.monotonic()
        answer = service.client.post(CAM, content=png_header(30000, 30000), headers=PNG)
        problem(answer, 413, "image-too-large", "30000 x 30000", "16384")
        assert time.monotonic() - started < 2

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("%%%", ["not valid base64"]),
            ("abc", ["not valid base64", "padded"]),
            ("iVBO Rw0K", ["white space"]),
            ("data:image/svg+xml;base64,PHN2Zz4=", ["image/svg+xml", "PNG"]),
            ("data:image/png,abc", ["not base64"]),
            ("data:text/html;base64,PGI+", ["text/html"]),
            (base64.b64encode(b"<svg xmlns=''/>").decode(), ["SVG"]),
        ],
    )
    def test_base64(self, service: Service, text: str, words: list[str]) -> None:
        problem(service.client.post(CAM, json={"image": text}), 422, "undecodable-image", *words)

    def test_npy_of_another_shape(self, service: Service) -> None:
        answer = service.client.post(CAM, content=as_npy(np.zeros((2, 3, 4, 5))), headers=NPY)
        problem(answer, 422, "undecodable-image", "(2, 3, 4, 5)", "(height, width, channels)")

    def test_npy_with_nan(self, service: Service) -> None:
        answer = service.client.post(CAM, content=as_npy(np.full((4, 4, 3), np.nan, np.float32)), headers=NPY)
        problem(answer, 422, "undecodable-image", "NaN")

    def test_npy_of_objects(self, service: Service) -> None:
        answer = service.client.post(CAM, content=as_npy(np.array([[{}]], object)), headers=NPY)
        problem(answer, 422, "undecodable-image", "object")

    def test_preprocess_false_with_the_wrong_shape(self, service: Service) -> None:
        answer = service.client.post(f"{CAM}?preprocess=false", content=as_npy(np.zeros((8, 9, 3))), headers=NPY)
        problem(answer, 422, "invalid-parameter", "(28, 28, 3)", "(8, 9, 3)")

    def test_preprocess_false_with_a_picture(self, service: Service) -> None:
        answer = service.client.post(f"{CAM}?preprocess=false", content=PICTURE, headers=PNG)
        problem(answer, 422, "invalid-parameter", "preprocess=false", "application/x-npy")


class TestBadJson:
    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"[1, 2]", ["an array", "JSON object"]),
            (b'"cat"', ["a text", "JSON object"]),
            (b"null", ["null", "JSON object"]),
            (b"17", ["a value", "JSON object"]),
            (b'{"image": "abc"', ["not valid JSON", "character"]),
            (b"{'image': 'abc'}", ["not valid JSON"]),
            (b'{"image": "\xff"}', ["not valid JSON", "UTF-8"]),
            (b'{"image": "\\ud800"}', ["not valid JSON"]),
            (b'{"image": "aGk=", "alpha": NaN}', ["not valid JSON"]),
            (b'{"image": "aGk=", "alpha": 1e999}', ["not valid JSON", "infinity"]),
            (b"[" * 100_000, ["not valid JSON", "depth"]),
            (b'{"a":' * 10_000, ["not valid JSON", "depth"]),
            (b'{"a":' * 100_000, ["100000 opening braces", "10000"]),
            (b'{"image": 7}', ["'image' must be a text", "base64"]),
            (b'{"image": ["aGk="]}', ["'image' must be a text"]),
            (b'{"image": {"url": "https://example.org/cat.png", "x": 1}}', ["'image' must be a text"]),
        ],
    )
    def test_malformed(self, service: Service, content: bytes, words: list[str]) -> None:
        problem(service.client.post(CAM, content=content, headers=JSON), 400, "malformed-body", *words)

    def test_image_url_is_off(self, service: Service) -> None:
        answer = service.client.post(CAM, json={"image": {"url": "https://example.org/cat.png"}})
        problem(answer, 422, "unfetchable-image", "fetches no URLs", "base64")


class TestBadForm:
    def test_wrong_part_name(self, service: Service) -> None:
        answer = service.client.post(CAM, files={"picture": ("a.png", PICTURE)})
        problem(answer, 400, "malformed-body", "'picture'", "name it 'image'")

    def test_two_files(self, service: Service) -> None:
        problem(post_form(service, IMAGE_PART, IMAGE_PART), 400, "malformed-body", "sent twice")

    def test_image_as_text(self, service: Service) -> None:
        answer = post_form(service, part('name="image"', BASE64.encode()))
        problem(answer, 400, "malformed-body", "text", "send it as a file")

    def test_params_is_no_object(self, service: Service) -> None:
        answer = post_form(service, IMAGE_PART, part('name="params"', b"[1]"))
        problem(answer, 400, "malformed-body", "'params'", "an array", "JSON object")

    def test_params_is_no_json(self, service: Service) -> None:
        answer = post_form(service, IMAGE_PART, part('name="params"', b"{alpha: 1}"))
        problem(answer, 400, "malformed-body", "'params'", "not valid JSON")

    def test_image_inside_params(self, service: Service) -> None:
        answer = post_form(service, IMAGE_PART, part('name="params"', b'{"image": "aGk="}'))
        problem(answer, 422, "invalid-parameter", "image", "unknown parameter")

    def test_too_many_fields(self, service: Service) -> None:
        answer = post_form(service, *(part(f'name="f{number}"', b"1") for number in range(70)))
        problem(answer, 400, "malformed-body", "too many fields")

    @pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=yy"])
    def test_boundary(self, service: Service, content_type: str) -> None:
        problem(post_form(service, IMAGE_PART, content_type=content_type), 400, "malformed-body", "multipart")

    @pytest.mark.parametrize("charset", ["unicode_escape", "utf-16", "idna", "undefined", "zlib", "no-such-charset"])
    def test_charset(self, service: Service, charset: str) -> None:
        content_type = f"multipart/form-data; boundary=xx; charset={charset}"
        answer = post_form(service, IMAGE_PART, part('name="\\ud800"', b"\\ud800"), content_type=content_type)
        problem(answer, 415, "unsupported-media-type", charset, "UTF-8")

    def test_charset_utf_8_is_fine(self, service: Service) -> None:
        content_type = "multipart/form-data; boundary=xx; charset=UTF-8"
        assert post_form(service, IMAGE_PART, content_type=content_type).status_code == 200


class TestMediaType:
    @pytest.mark.parametrize("media_type", ["text/plain", "image/svg+xml", "image/tiff", "application/octet-stream"])
    def test_not_supported(self, service: Service, media_type: str) -> None:
        answer = service.client.post(CAM, content=PICTURE, headers={"Content-Type": media_type})
        problem(answer, 415, "unsupported-media-type", repr(media_type), "image/png", "multipart/form-data")

    def test_missing(self, service: Service) -> None:
        answer = service.client.post(CAM, content=PICTURE)
        problem(answer, 415, "unsupported-media-type", "Content-Type", "none", "image/png")

    def test_urlencoded_form(self, service: Service) -> None:
        answer = service.client.post(CAM, data={"image": BASE64})
        said = (
            "the Content-Type is 'application/x-www-form-urlencoded': curl adds that itself where no other is given, "
            "and -H 'Content-Type: image/png' is what is missing; send one of image/"
        )
        problem(answer, 415, "unsupported-media-type", said, "multipart/form-data")


class TestSize:
    def connect(self, service: Service) -> socket.socket:
        address = urlsplit(service.url)
        assert address.hostname is not None
        return socket.create_connection((address.hostname, address.port or 80), timeout=10)

    def test_two_gigabytes_are_refused_before_they_are_sent(self, service: Service) -> None:
        head = f"POST {CAM} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        head += f"Content-Length: {2 * 1024**3}\r\n\r\n"
        started = time.monotonic()
        with self.connect(service) as connection:
            connection.sendall(head.encode())
            answer = b""
            while b"\r\n\r\n{" not in answer or not answer.endswith(b"}"):
                answer += (received := connection.recv(65536))
                assert received, "the connection ended within the answer"
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"urn:kerascope:problem:body-too-large" in answer
        assert str(32 * 1024**2).encode() in answer
        assert time.monotonic() - started < 2

    @pytest.mark.parametrize("headers", [PNG, NPY, JSON, {"Content-Type": "multipart/form-data; boundary=xx"}])
    def test_chunked_body_beyond_the_limit(self, guarded: Service, headers: dict[str, str]) -> None:
        def chunks() -> Iterator[bytes]:
            yield b"--xx\r\n" + part('name="image"; filename="a.png"', b"") if "boundary" in str(headers) else b"{"
            for _ in range(MAX_BODY_BYTES // 1024 + 1):
                yield b"x" * 1024

        answer = guarded.client.post(CAM, content=chunks(), headers=headers | BEARER)
        problem(answer, 413, "body-too-large", str(MAX_BODY_BYTES))

    def test_announced_body_beyond_the_limit(self, guarded: Service) -> None:
        answer = guarded.client.post(CAM, content=b"x" * (MAX_BODY_BYTES + 1), headers=PNG | BEARER)
        problem(answer, 413, "body-too-large", str(MAX_BODY_BYTES))

    def test_more_pixels_than_the_operator_allows(self, guarded: Service) -> None:
        answer = guarded.client.post(CAM, content=saved(triangle(101, 100)), headers=PNG | BEARER)
        problem(answer, 413, "image-too-large", "101 x 100", "10000")

    def test_a_caller_that_leaves_halfway_is_no_failure(self, service: Service) -> None:
        head = f"POST {CAM} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n"
        with self.connect(service) as connection:
            connection.sendall(f"{head}X-Request-Id: left-halfway\r\n\r\nabc".encode())
            time.sleep(0.2)
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        line = log_line(service, "left-halfway")
        assert (line["event"], line["status"]) == ("request", 400)
