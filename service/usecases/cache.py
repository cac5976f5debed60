"""Answers kept for those who ask the same again: a cache that cannot tell of another model, image or parameter."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import asdict, dataclass

import orjson

from service import __version__
from service.usecases.request import ExplainRequest

# A larger share of the cache no single answer may take.
LARGEST_SHARE = 4


@dataclass(frozen=True)
class Kept:
    """An answer as it was sent."""

    content: bytes | memoryview
    media_type: str


class AnswerCache:
    """The answers used last, up to `limit` bytes in all; none with a limit of 0. For one thread: the event loop's."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self.bytes = 0
        self.hits = 0
        self.misses = 0

    @property
    def on(self) -> bool:
        return self._limit > 0

    def get(self, identity: str) -> Kept | None:
        kept = self._kept.get(identity)
        if kept is None:
            self.misses += 1
            return None
        self.hits += 1
        self._kept.move_to_end(identity)
        return kept

    def put(self, identity: str, kept: Kept) -> None:
        if len(kept.content) > self._limit // LARGEST_SHARE:
            return
        if old := self._kept.pop(identity, None):
            self.bytes -= len(old.content)
        self._kept[identity] = kept
        self.bytes += len(kept.content)
        while self.bytes > self._limit:
            self.bytes -= len(self._kept.popitem(last=False)[1].content)


def identity(request: ExplainRequest, fingerprint: str) -> str:
    """32 hex digits that are the same for equal questions to the same model, and for them only.

    Of the version of this service, the model's `fingerprint`, the image's bytes, the methods with all parameters,
    those left out as their defaults, and the form of the answer.
    """
    image = request.image
    said = {
        "version": __version__,
        "model": [request.model_id, fingerprint],
        "image": None if image is None else [hashlib.sha256(image.data).hexdigest(), image.npy],
        "methods": [[call.name, call.explainer.name, call.params.model_dump(mode="json")] for call in request.methods],
        "options": asdict(request.options),
        "preprocess": request.preprocess,
        "many": request.many,
    }
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]
