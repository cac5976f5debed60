"""Parsers under coverage-guided fuzzing (atheris): any exception but those they are written to raise is a find.

`python -m tests.fuzz.guided TARGET -runs=100000`; the options are libFuzzer's.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports():
    from service.api.reading.body import _collected
    from service.errors import KerascopeError
    from service.imaging.decode import DecodeLimits, decode, decode_base64
    from service.imaging.npy import decode_npy
    from service.ingest import archive, hdf5
    from service.ingest.config import Config
    from service.ingest.upload import strict_json
    from service.ingest.verdict import Refused
    from service.usecases.fetch import Fetcher

LIMITS = DecodeLimits(1_000_000, 4000)
FETCHER = Fetcher(["images.example.org"], timeout_s=1, max_bytes=1000)
FOLDER = Path(tempfile.mkdtemp(prefix="kerascope-guided-"))


def image(data: bytes) -> None:
    decode(data, LIMITS)


def npy(data: bytes) -> None:
    decode_npy(b"\x93NUMPY" + data, LIMITS)


def base64(data: bytes) -> None:
    decode_base64(data.decode("latin-1"))


def url(data: bytes) -> None:
    FETCHER._checked("https://" + data.decode("latin-1"))


def config(data: bytes) -> None:
    Config((), 100).check_model(strict_json(data, "it", 2**20, 64))


def zip_walk(data: bytes) -> None:
    path = FOLDER / "upload.keras"
    path.write_bytes(data)
    (FOLDER / "weights.h5").unlink(missing_ok=True)
    archive.read(path, FOLDER / "weights.h5", 2**20, 2**20)


def hdf5_walk(data: bytes) -> None:
    path = FOLDER / "upload.h5"
    path.write_bytes(hdf5.MAGIC + data)
    hdf5.arrays(path, 2**24, 2**16)


def query(data: bytes) -> None:
    text = data.decode("latin-1")
    _collected([part.partition("=")[::2] for part in text.split("&")])


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (image, npy, base64, url, config, zip_walk, hdf5_walk, query)
}


def main() -> None:
    target = TARGETS[sys.argv[1]]

    def once(data: bytes) -> None:
        with contextlib.suppress(KerascopeError, Refused):
            target(data)

    atheris.Setup([sys.argv[0], *sys.argv[2:]], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
