"""JSON values as source text: on one line where that is short, else an item a line."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from generators.example import variable

SHORT = 84


@dataclass(frozen=True)
class Literals:
    """How a language writes them; a text that ends with `.png` is the variable that holds that file."""

    constants: dict[Any, str]
    indent: str
    bare_keys: bool = False
    pad: str = ""

    def write(self, value: Any, at: str = "") -> str:
        """The text of `value`, whose first line begins after `at`."""
        line = self._on_one_line(value)
        if len(line) <= SHORT or not isinstance(value, dict | list) or not value:
            return line
        inner = at + self.indent
        if isinstance(value, dict):
            items = [f"{inner}{self._key(key)}: {self.write(item, inner)},\n" for key, item in value.items()]
            return "{\n" + "".join(items) + at + "}"
        return "[\n" + "".join(f"{inner}{self.write(item, inner)},\n" for item in value) + at + "]"

    def _on_one_line(self, value: Any) -> str:
        if isinstance(value, dict):
            items = ", ".join(f"{self._key(key)}: {self._on_one_line(item)}" for key, item in value.items())
            return "{" + self.pad + items + self.pad + "}"
        if isinstance(value, list):
            return "[" + ", ".join(self._on_one_line(item) for item in value) + "]"
        if isinstance(value, bool) or value is None:
            return self.constants[value]
        if isinstance(value, str) and value.endswith(".png"):
            return variable(value)
        return json.dumps(value, ensure_ascii=False)

    def _key(self, key: str) -> str:
        return key if self.bare_keys and re.fullmatch(r"[A-Za-z_]\w*", key) else json.dumps(key)
