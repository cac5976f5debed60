"""The bytes of a file in pieces: what is large stays where it is and is not copied to stand beside the rest."""

from __future__ import annotations

from collections.abc import Iterator

# What is smaller is copied to what stands before it: a piece of its own costs more.
COPIED_BYTES = 64 * 1024
# The most that is handed on at a time, as what is handed on may be copied.
PIECE_BYTES = 1024**2


class Pieces:
    """A file that is written from its beginning to its end, and read once it is whole. `size` counts its bytes."""

    def __init__(self) -> None:
        self.size = 0
        self._pieces: list[bytearray | memoryview] = []

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Adds bytes that nobody changes any more."""
        view = memoryview(data)
        last = self._pieces[-1] if self._pieces else None
        if view.nbytes >= COPIED_BYTES:
            self._pieces.append(view)
        elif isinstance(last, bytearray):
            last += view
        else:
            self._pieces.append(bytearray(view))
        self.size += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        """Does nothing: what is written is there."""

    def close(self) -> None:
        """Does nothing: a file in pieces holds nothing open."""

    def __iter__(self) -> Iterator[memoryview]:
        for piece in self._pieces:
            whole = memoryview(piece)
            for start in range(0, whole.nbytes, PIECE_BYTES):
                yield whole[start : start + PIECE_BYTES]

    def joined(self) -> bytes:
        return b"".join(self._pieces)
