"""What routes take from the application."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Path, Request

from service.api.guarding.keys import caller_of, seen_by
from service.engine.host.pool import EnginePool
from service.errors import FieldError, InvalidParameter, NotAllowed, UnknownModel, nearest
from service.keys.scope import Scope
from service.metrics import CallMetrics, Exposition
from service.settings import Settings
from service.usecases.cache import AnswerCache
from service.usecases.explain import Explain
from service.usecases.fetch import Fetcher
from service.usecases.folders import Folders
from service.usecases.jobs import BackgroundJobs
from service.usecases.models import Models
from service.usecases.uploads import Uploads


@dataclass(frozen=True)
class Services:
    """The use cases of one application, made in `create_app`."""

    settings: Settings
    engines: EnginePool
    explain: Explain
    models: Models
    jobs: BackgroundJobs
    cache: AnswerCache
    fetch: Fetcher
    uploads: Uploads
    metrics: CallMetrics
    exposition: Exposition
    folders: Folders


# FastAPI calls what is not `async` in another thread, which takes longer than to open one small file.
async def services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


async def known_query(request: Request) -> None:
    """Raises InvalidParameter for a query parameter that the route does not take, naming the closest it does."""
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    for name in request.query_params:
        if name not in known:
            takes = nearest(name, known) or ("; it takes " + ", ".join(sorted(known)) if known else "; it takes none")
            raise InvalidParameter(
                f"{name}: unknown parameter{takes}", errors=[FieldError((name,), "unknown parameter")]
            )


async def served_model(
    model_id: Annotated[str, Path(description="ID of a model, as `GET /v1/models` lists them.", max_length=100)],
    request: Request,
) -> str:
    """`name@2` where the path names a version, which other routes write into the ID. Raises UnknownModel."""
    version = request.path_params.get("version")
    if version is not None and not re.fullmatch("[0-9]{1,9}", version):
        raise UnknownModel(f"there is no version {version[:40]!r} of any model; versions are numbers from 1")
    return model_id if version is None else f"{model_id}@{version}"


ServedModel = Annotated[str, Depends(served_model)]
ServicesDep = Annotated[Services, Depends(services)]
ModelId = Annotated[str, Path(description="ID of a model, as `GET /v1/models` lists them.", max_length=128)]
JobId = Annotated[str, Path(description="ID of a job, as its submission gave it.", max_length=128)]
LayerPath = Annotated[str, Path(description="Path, index or unambiguous name of a layer.", max_length=300)]


async def visible_model(model_id: ModelId, request: Request, services: ServicesDep) -> None:
    """Raises UnknownModel for the upload of another key that is not shared, as for one that is not there."""
    if services.uploads.hidden(model_id, seen_by(request)):
        raise UnknownModel(f"there is no model {model_id!r}")


async def visible_served_model(model: ServedModel, request: Request, services: ServicesDep) -> None:
    """Does what `visible_model` does."""
    await visible_model(model, request, services)


async def may_load(model_id: ModelId, request: Request, services: ServicesDep) -> None:
    """Raises NotAllowed where loading would take a model out of quarantine that is not the caller's own."""
    caller = caller_of(request)
    if Scope.ADMIN in caller.scopes or services.uploads.is_own(model_id, seen_by(request)):
        return
    if services.models.quarantined(model_id):
        raise NotAllowed(
            f"the model {model_id!r} is in quarantine; a key with the scope 'admin', or the one that uploaded it, may "
            "load it anew"
        )


async def may_unload(model_id: ModelId, request: Request, services: ServicesDep) -> None:
    """Raises NotAllowed for a model that the operator keeps warm, or that another key shares."""
    caller = caller_of(request)
    if Scope.ADMIN in caller.scopes:
        return
    if await services.models.pinned(model_id):
        raise NotAllowed(
            f"the model {model_id!r} is kept warm by the operator (setting preload); a key with the scope 'admin' may "
            "unload it"
        )
    if services.uploads.is_anothers(model_id, seen_by(request)):
        raise NotAllowed(f"the model {model_id!r} may be unloaded by the key that uploaded it alone")


def own_model(model_id: ModelId, request: Request, services: ServicesDep) -> None:
    """Raises UnknownModel or NotAllowed for what is no upload of this key."""
    services.uploads.own(model_id, seen_by(request))
