"""THE table: operation → scopes. What is in no row needs `admin`."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Depends, Request
from fastapi.params import Depends as Dependency

from service.api.guarding.keys import caller_of, is_open
from service.explainers import EXPLAINERS
from service.explainers.base import Explainer
from service.json_types import JsonObject
from service.keys.scope import EVERY, Scope

Need = tuple[frozenset[Scope], ...]

# Each set: at least one of its scopes.
NONE: Need = ()
ANY_KEY: Need = (EVERY,)
READS: Need = (frozenset({Scope.MODELS_READ, Scope.EXPLAIN}),)
EXPLAINS: Need = (frozenset({Scope.EXPLAIN}),)
ALWAYS_JOBS: Need = (*EXPLAINS, frozenset({Scope.JOBS}))
WRITES: Need = (frozenset({Scope.MODELS_WRITE}),)
JOBS: Need = (frozenset({Scope.JOBS}),)
ADMIN: Need = (frozenset({Scope.ADMIN}),)


# Methods whose name is a verb already.
VERBS = frozenset({"predict"})


def operation_of(method: Explainer) -> str:
    """The ID of a method's operation: a verb, for clients that are generated from it."""
    return method.name if method.name in VERBS else f"compute_{method.name}"


NEEDS: dict[str, Need] = {
    "check_liveness": NONE,
    "check_readiness": NONE,
    "get_metrics": ADMIN,
    "explorer": NONE,
    "docs": NONE,
    "openapi": NONE,
    "list_methods": ANY_KEY,
    "list_models": READS,
    "describe_model": READS,
    "summarize_model": READS,
    "list_layers": READS,
    "describe_layer": READS,
    "list_versions": READS,
    "upload_model": WRITES,
    "change_model": WRITES,
    "delete_model": WRITES,
    "load_model": WRITES,
    "unload_model": WRITES,
    "explain": EXPLAINS,
    "predict_instances": EXPLAINS,
    "explain_instances": EXPLAINS,
    "describe_server": ANY_KEY,
    "check_server_live": NONE,
    "check_server_ready": NONE,
    **{f"describe_served_{each}": READS for each in ("model", "version")},
    **{f"check_served_{each}_ready": READS for each in ("model", "version")},
    **{f"infer_served_{each}": EXPLAINS for each in ("model", "version")},
    **{operation_of(method): ALWAYS_JOBS if method.cost.as_job else EXPLAINS for method in EXPLAINERS},
    "list_jobs": JOBS,
    "get_job": JOBS,
    "cancel_job": JOBS,
    "follow_job": JOBS,
    "preview_job": JOBS,
    "get_result": JOBS,
}


async def allowed(request: Request) -> None:
    """Raises NotAllowed where the caller's key lacks a scope of the route that was matched."""
    for any_of in need_of(request.scope["route"].operation_id):
        caller_of(request).needs(*sorted(any_of))


class GuardedRouter(APIRouter):
    """A router whose every route asks first what its caller may.

    Its routes are the application's own: FastAPI prepares those of a router that is included once more (3 MB, 0.1 s).
    """

    def __init__(self, prefix: str = "", *, tags: Sequence[str] = (), dependencies: Sequence[Dependency] = ()) -> None:
        super().__init__(prefix=prefix, tags=list(tags), dependencies=[Depends(allowed), *dependencies])


def need_of(operation_id: str | None) -> Need:
    """What the operation needs."""
    return NEEDS.get(operation_id or "", ADMIN)


def in_words(need: Need) -> str:
    """`explain and jobs`, `models:read or explain`."""
    return " and ".join("any" if group == EVERY else " or ".join(sorted(group)) for group in need) or "none"


def state_scopes(openapi: JsonObject) -> JsonObject:
    """The OpenAPI document with the key and the scopes of each operation in `x-scope`, and a 403 where it has a 401."""
    openapi["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, operations in openapi["paths"].items():
        for operation in operations.values():
            operation["x-scope"] = in_words(need_of(operation["operationId"]))
            operation["security"] = [] if is_open(path) else [{"key": []}, {}]
            if refused := operation["responses"].get("401"):
                said = "The key lacks a scope; while the service is open, a page of another origin asks."
                answers = operation["responses"] | {"403": refused | {"description": said}}
                operation["responses"] = dict(sorted(answers.items()))
    return openapi
