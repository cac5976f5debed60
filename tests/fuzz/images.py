"""Image files with bytes changed, cut off, doubled and mixed, sent to the running service."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.conftest import Service
from tests.fuzz.hooks import FORMATS, MODES, array, picture

AT_A_TIME = 4
NPY = "application/x-npy"


def seeds() -> list[tuple[str, bytes]]:
    """Honest files of every format and mode, with their media types."""
    found = [(media, picture(form, 23, 17, mode)) for media, form in FORMATS.items() for mode in MODES]
    return found + [
        (NPY, array(shape, kind)) for shape in ((9, 7, 3), (9, 7), (9, 7, 1)) for kind in ("uint8", "float32")
    ]


def mutated(seeded: random.Random, data: bytes, other: bytes) -> bytes:
    """One to eight changes of any kind."""
    found = bytearray(data)
    for _ in range(seeded.choice((1, 1, 2, 8))):
        place = seeded.randrange(len(found) or 1)
        how = seeded.randrange(6)
        if how == 0 and found:
            found[place] ^= 1 << seeded.randrange(8)
        elif how == 1:
            found[place : place + 4] = seeded.randbytes(4)
        elif how == 2:
            found[place:] = b""
        elif how == 3:
            found[place:place] = found[: seeded.randrange(64)]
        elif how == 4:
            found[place:] = other[place:]
        else:
            found[place : place + 4] = seeded.choice((b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff"))
    return bytes(found)


def fuzzed(service: Service, count: int, seed: int = 0) -> tuple[int, Counter[int]]:
    """How many files were sent, and how often each status came back."""
    seeded, honest = random.Random(seed), seeds()
    files = []
    for _ in range(count):
        media, data = seeded.choice(honest)
        files.append((media, mutated(seeded, data, seeded.choice(honest)[1])))

    def send(item: tuple[str, bytes]) -> int:
        media, data = item
        headers = {"Content-Type": media}
        return service.client.post("/v1/models/shapes/predict", content=data, headers=headers).status_code

    with ThreadPoolExecutor(AT_A_TIME) as threads:
        return count, Counter(threads.map(send, files))
