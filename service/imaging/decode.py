"""Untrusted bytes to pixels: one allow-listed decoder per file, sizes checked before anything is allocated.

Whatever the bytes are, only `UndecodableImage` and `ImageTooLarge` leave this module, and their sentences are its own.
"""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image
from PIL.ImageFile import ImageFile

from service.errors import ImageTooLarge, KerascopeError, UndecodableImage
from service.imaging.formats import ACCEPTED, MEDIA_TYPES, gif_frames, jpeg_scans, sniff, webp_size

__all__ = ["MEDIA_TYPES", "DecodeLimits", "DecodedImage", "decode", "decode_base64", "sniff", "to_rgb"]

Pixels = npt.NDArray[np.uint8]
_MAX_READS = 100_000
_MAX_JPEG_SCANS = 100
_ORIENTATION_TAG = 0x0112
# What undoes each orientation: whether the axes change places, and then what is flipped (0 up and down, 1 left and
# right, -1 both).
_UNDONE: dict[int, tuple[bool, int | None]] = {
    2: (False, 1), 3: (False, -1), 4: (False, 0), 5: (True, None), 6: (True, 1), 7: (True, -1), 8: (True, 0),
}  # fmt: skip


@dataclass(frozen=True)
class DecodeLimits:
    """What an image may measure, in pixels; more is refused before it is decoded."""

    max_pixels: int = 50_000_000
    max_side_px: int = 16_384

    def check(self, width: int, height: int) -> None:
        """Raises `UndecodableImage` for an empty image, `ImageTooLarge` beyond a limit."""
        if min(width, height) < 1:
            raise UndecodableImage(f"The image is {width} x {height} pixels: it has no pixel.")
        if width * height > self.max_pixels or max(width, height) > self.max_side_px:
            raise ImageTooLarge(
                f"The image is {width} x {height} pixels; at most {self.max_pixels} pixels in all and "
                f"{self.max_side_px} pixels a side are accepted."
            )


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """What a file shows, and how it was read.

    `pixels`: (H, W, 3) uint8 RGB, C-contiguous, read-only, upright. `format` and `mode` (Pillow's name) are the file's;
    `orientation` is the EXIF value that was undone, 1 to 8; `frames` counts an animation's pictures, of which the first
    is taken (a GIF's are counted up to 1000); `alpha` says that the file has transparency, composited on white.
    """

    pixels: Pixels
    format: str
    mode: str
    orientation: int
    frames: int
    alpha: bool

    @property
    def notes(self) -> dict[str, str | int | bool]:
        """How the image was read, ready for JSON; `width` and `height` are those of `pixels`."""
        height, width = self.pixels.shape[:2]
        fields = ("format", "mode", "orientation", "frames", "alpha")
        return {"width": width, "height": height} | {name: getattr(self, name) for name in fields}


def decode(data: bytes, limits: DecodeLimits) -> DecodedImage:
    """The first frame of an image file, upright, on white, as 8-bit RGB.

    Raises `UndecodableImage`, or `ImageTooLarge` before anything is decoded.
    """
    found = sniff(data)
    format_ = found.short
    try:
        if format_ == "webp":
            limits.check(*webp_size(data))
        if format_ == "jpeg" and jpeg_scans(data) > _MAX_JPEG_SCANS:
            raise UndecodableImage(f"The JPEG file has more than {_MAX_JPEG_SCANS} scans.")
        with found.opener(_Reader(data)) as image:
            limits.check(*image.size)
            if format_ == "jpeg" and (pixels := _jpeg_pixels(data, image)) is not None:
                orientation = _orientation(image)
                return DecodedImage(_upright(pixels, orientation), format_, image.mode, orientation, 1, alpha=False)
            image.load()
            orientation = _orientation(image)
            frames = gif_frames(data) if format_ == "gif" else getattr(image, "n_frames", 1)
            if format_ == "png" and "transparency" in image.info:
                image.info["transparency"] = _in_eight_bits(image.info["transparency"], data[24], image.mode)
            rgb, alpha = to_rgb(image)
            return DecodedImage(_upright(np.asarray(rgb), orientation), format_, image.mode, orientation, frames, alpha)
    except KerascopeError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(
            f"The image has too many pixels; at most {limits.max_pixels} in all and {limits.max_side_px} a side "
            "are accepted."
        ) from error
    except Exception as error:
        if found.is_cut_off(data):
            raise UndecodableImage(
                f"The {found.name} file ends too early ({len(data)} bytes arrived): it was cut off on its way."
            ) from error
        raise UndecodableImage(f"The {found.name} file is damaged: its pixels cannot be read.") from error


def to_rgb(image: Image.Image) -> tuple[Image.Image, bool]:
    """An image of any Pillow mode as mode RGB, composited on white, and whether it had transparency.

    16-bit grey is scaled by 1/257 where Pillow would saturate it; floating-point grey is taken as 0 to 255.
    """
    if image.mode == "F":
        level = np.rint(np.clip(np.nan_to_num(np.asarray(image)), 0, 255)).astype(np.uint8)
        return Image.fromarray(level).convert("RGB"), False
    if image.mode.startswith("I"):
        values = np.clip(np.asarray(image), 0, 65535).astype(np.uint16)
        level = cv2.convertScaleAbs(values, alpha=1 / 257).astype(np.uint8, copy=False)
        transparent = image.info.get("transparency")
        if transparent is not None:
            level[values == transparent] = 255
        return Image.fromarray(level).convert("RGB"), transparent is not None
    if image.mode == "LAB":
        lab = np.asarray(image, np.uint8) ^ np.array([0, 128, 128], np.uint8)  # Pillow hands a and b out signed
        return Image.fromarray(np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.uint8)), False
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB"), False
    rgba = image.convert("RGBA")
    canvas = Image.new("RGB", image.size, "white")
    canvas.paste(rgba, mask=rgba)
    return canvas, True


def decode_base64(text: str) -> bytes:
    """The bytes of strict base64, bare or as a data URI of an accepted media type. Raises `UndecodableImage`."""
    text = text.removesuffix("\n").removesuffix("\r")
    if text[:5].lower() == "data:":
        head, comma, text = text.partition(",")
        media_type, *parameters = head[5:].lower().split(";")
        if media_type not in MEDIA_TYPES:
            raise UndecodableImage(f"The data URI is of type {media_type[:40]!r}; {ACCEPTED}.")
        if not comma or parameters[-1:] != ["base64"]:
            raise UndecodableImage(
                "The data URI is not base64: write data:image/png;base64,... with the text after it."
            )
    if not text:
        raise UndecodableImage("The image is empty: the base64 text has no character.")
    if re.search(r"\s", text):
        raise UndecodableImage("The base64 text contains white space or line breaks: send it in one piece.")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise UndecodableImage(
            "The image is not valid base64: letters, digits, + and / are allowed, padded with = to a multiple of 4."
        ) from error


class _Reader(io.BytesIO):
    """Bounds the Python loop over a file's chunks: a few MB of empty chunks would keep Pillow busy for a minute."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads > _MAX_READS:
            raise UndecodableImage("The file consists of too many small pieces.")
        return super().read(size)


def _orientation(image: ImageFile) -> int:
    """1 to 8; metadata that cannot be read is no reason to refuse the pixels."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:
        return 1
    return value if value in _UNDONE else 1


def _jpeg_pixels(data: bytes, image: ImageFile) -> Pixels | None:
    """The pixels of a JPEG of three colours, (H, W, 3) uint8 RGB, by libjpeg-turbo itself: as Pillow's, which copies
    them twice more. None for any other, and for one that is not quite in order: Pillow says what of it can be read.
    """
    if image.mode != "RGB":
        return None
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        if (width, height) != image.size:
            return None
        return np.asarray(simplejpeg.decode_jpeg(data, "RGB", strict=True), np.uint8)
    except ValueError:
        return None


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """The picture as its EXIF orientation says that it is to be seen, read-only."""
    turned, flipped = _UNDONE.get(orientation, (False, None))
    if turned:
        pixels = np.asarray(cv2.transpose(pixels), np.uint8)
    if flipped is not None:
        pixels = np.asarray(cv2.flip(pixels, flipped), np.uint8)
    pixels = np.ascontiguousarray(pixels)
    pixels.setflags(write=False)
    return pixels


def _in_eight_bits(sample: object, depth: int, mode: str) -> object:
    """A PNG's transparent colour in the units of the pixels: Pillow leaves it in those of the file."""
    if mode == "RGB" and depth == 16 and isinstance(sample, tuple):
        return tuple(value >> 8 for value in sample)
    if mode == "L" and depth < 8 and isinstance(sample, int):
        return sample * 255 // ((1 << depth) - 1)
    return sample
