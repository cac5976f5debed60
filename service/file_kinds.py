"""What a file is, told from its first bytes, for those who sent another than they meant."""

from __future__ import annotations

import re
from typing import Final

HEAD_BYTES: Final = 512
LFS_POINTER: Final = b"version https://git-lfs.github.com"
_KINDS: Final[list[tuple[bytes, str]]] = [
    (re.escape(LFS_POINTER), "a pointer of Git LFS and not the file itself (run 'git lfs pull' where it came from)"),
    (rb"\s*<svg|\s*<\?xml(?s:.)*<svg", "an SVG drawing"),
    (rb"(?i:\s*<(!doctype html|html|head|body))", "an HTML page, perhaps of a download that asked for a login"),
    (rb"\s*<\?xml|(?i:\s*<error)", "an XML document, perhaps the error of a download"),
    (rb"(?s:.{128})DICM|\x08\x00[\x00-\x18]\x00(?s:....)", "a DICOM image"),
    (rb"\x89PNG\r\n\x1a\n", "a PNG image"),
    (rb"\xff\xd8\xff", "a JPEG image"),
    (rb"GIF8[79]a", "a GIF image"),
    (rb"RIFF(?s:....)WEBP", "a WebP image"),
    (rb"RIFF(?s:....)WAVE", "a WAV recording"),
    (rb"RIFF(?s:....)AVI ", "a video"),
    (rb"II[*+]\x00|MM\x00[*+]", "a TIFF image"),
    (rb"(?s:....)ftypavi[fs]", "an AVIF image"),
    (rb"(?s:....)ftyp(hei|hev|mif1|msf1)", "a HEIC image"),
    (rb"(?s:....)ftyp|\x1aE\xdf\xa3", "a video"),
    (rb"\xff\x0a|\x00\x00\x00\x0cJXL ", "a JPEG XL image"),
    (rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (rb"8BPS", "a Photoshop document"),
    (rb"gimp xcf", "a GIMP document"),
    (rb"\x00\x00[\x01\x02]\x00", "an icon (ICO)"),
    (rb"P[1-6]\s+[#\d]|P7\n", "a Netpbm image (PBM, PGM, PPM or PAM)"),
    (rb"v/1\x01", "an OpenEXR image"),
    (rb"SIMPLE  =", "a FITS image"),
    (rb"(?s:.{344})n(\+1|i1)\x00", "a NIfTI volume"),
    (rb"\x5c\x01\x00\x00", "a NIfTI volume"),
    (rb"%PDF", "a PDF document"),
    (rb"%!PS", "a PostScript document"),
    (rb"\x93NUMPY", "a NumPy array"),
    (rb"\x89HDF", "an HDF5 file"),
    (rb"(?s:....)TFL3", "a TensorFlow Lite model"),
    (rb"GGUF", "a GGUF model"),
    (rb"(?s:.{8})\{\"", "a safetensors file"),
    (rb"MATLAB 5\.0", "a MATLAB file"),
    (rb"PK[\x03\x05\x07]", "a ZIP archive or an Office document"),
    (rb"\x1f\x8b", "a gzip archive"),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (rb"Rar!\x1a\x07", "a RAR archive"),
    (rb"BZh[1-9]|\xfd7zXZ\x00|\x28\xb5\x2f\xfd", "a compressed archive"),
    (rb"(?s:.{257})ustar", "a tar archive"),
    (rb"\x80[\x02-\x05]", "a pickle"),
    (rb"\x7fELF|MZ(?s:.)[\x00-\x03]", "a program"),
    (rb"ID3[\x02-\x04]|OggS|fLaC", "a recording"),
    (rb'\s*[{\[]\s*["{\[\]}\d]', "JSON"),
]


def kind_of(head: bytes) -> str | None:
    """Such as `a PDF document`, from at least the first `HEAD_BYTES` bytes of a file; None for what is not known."""
    head = head[:HEAD_BYTES].removeprefix(b"\xef\xbb\xbf")
    found = next((what for pattern, what in _KINDS if re.match(pattern, head)), None)
    return found or ("plain text" if _is_text(head) else None)


def _is_text(head: bytes) -> bool:
    """Whether the bytes are letters of any language; the last of them may be cut."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return len(head) % 2 == 0 and len(head) > 2
    for cut in range(4):
        try:
            text = head[: len(head) - cut].decode()
        except UnicodeDecodeError:
            continue
        return bool(text) and all(letter.isprintable() or letter in "\t\n\r\f" for letter in text)
    return False
