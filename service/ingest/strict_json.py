"""JSON that means one thing only: no key twice, no NaN, not too deep, not too long."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from service.ingest.verdict import Refused


def parse(data: bytes, what: str, max_bytes: int, max_depth: int) -> Any:
    """The value. Raises Refused with `model.bad_json`, or `model.too_large`."""
    if len(data) > max_bytes:
        raise Refused("model.too_large", f"{what} has {len(data)} bytes, and {max_bytes} are the most")
    _check_depth(data, what, max_depth)
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refused("model.bad_json", f"{what} is not valid JSON: {str(error)[:200]}") from None


def _check_depth(data: bytes, what: str, most: int) -> None:
    """Counts brackets outside of texts, so that no parser has to go down before it is known how deep it is."""
    depth, in_text, escaped = 0, False, False
    for byte in data:
        if in_text:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_text = False
        elif byte == 0x22:
            in_text = True
        elif byte in (0x5B, 0x7B):
            depth += 1
            if depth > most:
                raise Refused("model.bad_json", f"{what} is nested deeper than {most} levels")
        elif byte in (0x5D, 0x7D):
            depth -= 1


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:80]!r} stands twice in one object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
