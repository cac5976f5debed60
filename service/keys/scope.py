"""What an API key allows."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """`admin` implies every other."""

    EXPLAIN = "explain"
    MODELS_READ = "models:read"
    MODELS_WRITE = "models:write"
    JOBS = "jobs"
    ADMIN = "admin"


EVERY = frozenset(Scope)


def implied(scopes: frozenset[Scope]) -> frozenset[Scope]:
    """The scopes with those that follow from them."""
    return EVERY if Scope.ADMIN in scopes else scopes
