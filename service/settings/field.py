"""How one setting is written down."""

from __future__ import annotations

from typing import Any

from pydantic import Field


def setting(default: Any, unit: str, description: str, **bounds: Any) -> Any:
    """A field with its unit beside its sentence; a callable default is asked anew for each Settings."""
    kind = "default_factory" if callable(default) else "default"
    return Field(**{kind: default}, description=description, json_schema_extra={"unit": unit}, **bounds)
