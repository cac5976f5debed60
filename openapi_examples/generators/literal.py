"""JSON values as source text: on one line where that is short, else an item a line."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from pydantic import JsonValue

SHORT = 84


@dataclass(frozen=True)
class Literals:
    """How a language writes them; a text that ends with `.png` is what `picture` makes of that file's name."""

    true: str
    false: str
    null: str
    indent: str
    picture: str
    bare_keys: bool = False
    pad: str = ""
    last: str = ","  # what stands behind the last item of several lines

    def write(self, value: JsonValue, at: str = "") -> str:
        """The text of `value`, whose first line begins after `at`."""
        line = self._on_one_line(value)
        if len(line) <= SHORT or not isinstance(value, dict | list) or not value:
            return line
        inner = at + self.indent
        if isinstance(value, dict):
            items = [f"{inner}{self._key(key)}: {self.write(item, inner)}" for key, item in value.items()]
            return "{\n" + ",\n".join(items) + f"{self.last}\n{at}}}"
        return "[\n" + ",\n".join(f"{inner}{self.write(item, inner)}" for item in value) + f"{self.last}\n{at}]"

    def _on_one_line(self, value: JsonValue) -> str:
        if isinstance(value, dict):
            items = ", ".join(f"{self._key(key)}: {self._on_one_line(item)}" for key, item in value.items())
            return "{" + self.pad + items + self.pad + "}"
        if isinstance(value, list):
            return "[" + ", ".join(self._on_one_line(item) for item in value) + "]"
        if value is None:
            return self.null
        if isinstance(value, bool):
            return self.true if value else self.false
        if isinstance(value, str) and value.endswith(".png"):
            return self.picture.format(json.dumps(value))
        return json.dumps(value, ensure_ascii=False)

    def _key(self, key: str) -> str:
        return key if self.bare_keys and re.fullmatch(r"[A-Za-z_]\w*", key) else json.dumps(key)
