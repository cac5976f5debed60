"""Errors by the names of their classes, as they are written down and sent between processes."""

from __future__ import annotations

from service import errors
from service.errors import KerascopeError


def error_named(kind: str) -> type[KerascopeError]:
    """The class of that name; KerascopeError for a name that is none, so that nothing unknown gets through."""
    found = getattr(errors, kind, None)
    return found if isinstance(found, type) and issubclass(found, KerascopeError) else KerascopeError
