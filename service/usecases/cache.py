"""Answers kept for those who ask the same again: a cache that cannot tell of another model, image or parameter."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass

import orjson
from cachetools import LRUCache

from service import __version__
from service.usecases.request import ExplainRequest

# A larger share of the cache no single answer may take.
LARGEST_SHARE = 4


@dataclass(frozen=True)
class Kept:
    """An answer as it was sent, and the fingerprint of the model that gave it."""

    content: bytes
    media_type: str
    fingerprint: str


class AnswerCache:
    """The answers used last, up to `limit` bytes in all; none with a limit of 0. For one thread: the event loop's."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: LRUCache[str, Kept] = LRUCache(limit, getsizeof=lambda kept: len(kept.content))
        self.hits = 0
        self.misses = 0

    @property
    def on(self) -> bool:
        return self._limit > 0

    @property
    def kept_bytes(self) -> int:
        """How many bytes the kept answers have in all."""
        return int(self._kept.currsize)

    def __contains__(self, question: str) -> bool:
        """Whether some model's answer is kept, be it today's model or not."""
        return question in self._kept

    def get(self, question: str, fingerprint: str | None) -> Kept | None:
        """The answer of that very model; None for a model of which nothing is known now."""
        kept = self._kept.get(question)
        if kept is None or kept.fingerprint != fingerprint:
            self.misses += 1
            return None
        self.hits += 1
        return kept

    def takes(self, size: int) -> bool:
        """Whether an answer of so many bytes is kept at all."""
        return size <= self._limit // LARGEST_SHARE

    def put(self, question: str, content: bytes | memoryview, media_type: str, fingerprint: str) -> None:
        """Keeps a copy: what was written piece by piece may lie in a buffer several times as large, of which the bound
        would know nothing."""
        if self.takes(len(content)):
            self._kept[question] = Kept(bytes(memoryview(content)), media_type, fingerprint)


def question_of(request: ExplainRequest) -> str:
    """32 hex digits that are the same for equal questions, and for them only.

    Of the version of this service, the model's ID, the bytes of the image and of sets, the methods with all parameters,
    those left out as their defaults, and the form of the answer.
    """
    image = request.image
    said = {
        "version": __version__,
        "model": request.model_id,
        "image": None if image is None else [hashlib.sha256(image.data).hexdigest(), image.npy],
        "sets": {name: hashlib.sha256(sent.data).hexdigest() for name, sent in request.sets.items()},
        "methods": [[call.name, call.explainer.name, call.params.model_dump(mode="json")] for call in request.methods],
        "options": asdict(request.options),
        "preprocess": request.preprocess,
        "many": request.many,
    }
    return _digest(orjson.dumps(said, option=orjson.OPT_SORT_KEYS))


def tag_of(question: str, fingerprint: str) -> str:
    """The entity tag of a model's answer to a question. Weak: an answer's times are those of the first who asked."""
    return f'W/"{_digest(f"{question} {fingerprint}".encode())}"'


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
