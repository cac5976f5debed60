"""An example's call, whatever language it is then written in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from pydantic import JsonValue

FOLDER = Path(__file__).parent.parent
REQUESTS = FOLDER / "requests"
# Parts of a form that are files, and what they hold.
FILE_PARTS = {"image": "image/png", "model": "application/octet-stream"}


@dataclass(frozen=True)
class Example:
    """`path` may hold `{job}`, the ID that `after` gives; `file` and the files of `form` lie in `FOLDER`.

    A text in `json` that ends with `.png` stands for the base64 of that file.
    """

    name: str
    about: str
    method: str
    path: str
    query: dict[str, JsonValue] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    file: str | None = None
    form: dict[str, str] = field(default_factory=dict)
    json: JsonValue = None
    after: str | None = None
    finished: bool = False

    @property
    def summary(self) -> str:
        """What it is about, as a sentence, with the example that has to be called before it.

        A job is submitted by the example itself, as its ID is needed; a model has a name and takes seconds to upload.
        """
        before = f" (after {self.after})" if self.after and not self.of_job else ""
        return self.about + before + ("" if self.about.endswith("?") and not before else ".")

    @property
    def target(self) -> str:
        return self.path + (f"?{urlencode(self.query, safe=',')}" if self.query else "")

    @property
    def of_job(self) -> bool:
        """Whether it needs the job that the example before it gives."""
        return self.finished or "{job}" in self.path

    @property
    def gives_picture(self) -> bool:
        return self.headers.get("Accept") == "image/png"

    @property
    def gives_events(self) -> bool:
        return self.headers.get("Accept") == "text/event-stream"

    @property
    def text_parts(self) -> dict[str, str]:
        return {name: value for name, value in self.form.items() if name not in FILE_PARTS}

    @property
    def file_parts(self) -> dict[str, str]:
        return {name: value for name, value in self.form.items() if name in FILE_PARTS}

    @property
    def pictures_sent(self) -> list[str]:
        """The files that `json` sends as base64, each once, in their order."""
        return list(dict.fromkeys(_files_in(self.json)))


def read(name: str) -> Example:
    """Gives the example of that name."""
    given = json.loads((REQUESTS / f"{name}.json").read_text(encoding="utf-8"))
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
        given.get("query", {}),
        headers,
        given.get("body"),
        given.get("form", {}),
        given.get("json"),
        given.get("after"),
        given.get("finished", False),
    )


def names() -> list[str]:
    return sorted(path.stem for path in REQUESTS.glob("*.json"))


def filename(path: str) -> str:
    """Gives `shapes.keras` for `../shapes/shapes.keras`."""
    return path.rsplit("/", 1)[-1]


def _files_in(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str) and value.endswith(".png"):
        yield value
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        yield from _files_in(part)
