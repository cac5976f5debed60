"""An example's call, whatever language it is then written in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from service.explainers import BY_NAME

FOLDER = Path(__file__).parent.parent
SUFFIX = ".request.json"
# Parts of a form that are files, and what they hold.
FILE_PARTS = {"image": "image/png", "model": "application/octet-stream"}


@dataclass(frozen=True)
class Example:
    """`path` may hold `{job}`, the ID that `after` gave; `file` and the files of `form` lie in `FOLDER`.

    A text in `json` that ends with `.png` stands for the base64 of that file.
    """

    name: str
    summary: str
    method: str
    path: str
    status: int
    query: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    file: str | None = None
    form: dict[str, str] | None = None
    json: dict[str, Any] | None = None
    after: Example | None = None
    finished: bool = False

    @property
    def target(self) -> str:
        return self.path + (f"?{urlencode(self.query, safe=',')}" if self.query else "")

    @property
    def of_job(self) -> bool:
        """Whether it needs the job that the example before it gave."""
        return self.finished or "{job}" in self.path

    @property
    def form_of_answer(self) -> str:
        """`nothing`, `png`, `events`, `text`, or `json` with the media type `application/json` or a problem's."""
        known = {"image/png": "png", "text/event-stream": "events", "text/plain": "text"}
        return "nothing" if self.status == 204 else known.get(self.headers.get("Accept", ""), "json")

    @property
    def pictures(self) -> str | None:
        """Where the JSON answer has pictures: in `images`, or in those of each of its `results`; None for none."""
        last = self.path.rsplit("/", 1)[-1]
        if self.status != 200 or self.form_of_answer != "json":
            return None
        if last == "explain":
            return "results"
        return "images" if last == "result" or (last in BY_NAME and last != "predict") else None

    @property
    def pictures_sent(self) -> list[str]:
        """The files that `json` sends as base64, each once, in their order."""
        return list(dict.fromkeys(_files_in(self.json)))


def read(name: str) -> Example:
    """The example of that name."""
    given = json.loads((FOLDER / f"{name}{SUFFIX}").read_text(encoding="utf-8"))
    headers = dict(given.get("headers", {}))
    if "accept" in given:
        headers["Accept"] = given["accept"]
    if "content_type" in given:
        headers["Content-Type"] = given["content_type"]
    return Example(
        name,
        given["summary"],
        given["method"],
        given["path"],
        given["status"],
        given.get("query", {}),
        headers,
        given.get("body"),
        given.get("form"),
        given.get("json"),
        read(given["after"]) if "after" in given else None,
        given.get("finished", False),
    )


def names() -> list[str]:
    return sorted(path.name.removesuffix(SUFFIX) for path in FOLDER.glob(f"*{SUFFIX}"))


def variable(file: str) -> str:
    """`triangle` for `triangle.png`."""
    return Path(file).stem


def _files_in(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value.endswith(".png"):
        yield value
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        yield from _files_in(part)
