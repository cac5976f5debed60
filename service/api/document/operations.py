"""The parts of the OpenAPI document that follow from the catalogue of methods."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import get_args

from pydantic import BaseModel

from service.api.answering.negotiate import MEDIA
from service.api.answering.schemas import Problem
from service.api.answering.schemas_inference import InferenceError
from service.api.answering.schemas_jobs import JobOut
from service.api.reading.body import NPY
from service.api.reading.parameters import (
    FORMS_OF_MANY,
    MAX_METHODS,
    RequestOptions,
    SharedParams,
    callable_names,
    forms_of,
    options_of,
)
from service.api.reading.upload import ARCHITECTURE, MODEL, WEIGHTS, UploadForm
from service.explainers.base import Explainer, Photograph
from service.explainers.params import ExplainerParams
from service.imaging.formats import MEDIA_TYPES
from service.json_types import JsonObject
from service.models.files.uploads.record import Visibility

BINARY = {"schema": {"type": "string", "format": "binary"}}
JOB_HEADERS: list[JsonObject] = [
    {
        "name": "Prefer",
        "in": "header",
        "required": False,
        "description": "`respond-async`: as a background job; `wait=N`: wait up to N s for the job's result.",
        "schema": {"type": "string"},
    },
    {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "The same key with the same request gives the same job, however often it is sent.",
        "schema": {"type": "string", "maxLength": 255},
    },
]
CACHE_HEADERS: list[JsonObject] = [
    {
        "name": "If-None-Match",
        "in": "header",
        "required": False,
        "description": "The `ETag` of an answer that is there already: 304 without a body when it would be the same.",
        "schema": {"type": "string"},
    }
]
_PROBLEMS = {
    400: "The body cannot be read, or the service has no such name.",
    401: "A valid API key is needed.",
    403: "The key lacks a scope, models are not taken, or a page of another origin asks an open service.",
    404: "There is no such model, layer, class or job.",
    406: "The answer cannot be given in that form.",
    408: "The request took too long to arrive.",
    409: "The model cannot be loaded, its ID is taken, the job has no result, or the idempotency key is another's.",
    410: "The result is no longer kept.",
    413: "The body or the image is too large.",
    415: "The media type is not supported, or the body is compressed.",
    422: "A parameter, the image, or the method for this model is not valid.",
    429: "This caller calls too often, or has too many calls or jobs waiting and running.",
    503: "The engine is starting, too many calls are waiting, or the service is being stopped.",
    504: "The call took longer than its deadline.",
    507: "This key's room for models is used up.",
}


def problems(*statuses: int) -> dict[int | str, JsonObject]:
    """The `responses` of a route for these statuses."""
    media = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _PROBLEMS[status], "model": Problem, "content": media} for status in statuses}


def inference_errors(*statuses: int) -> dict[int | str, JsonObject]:
    """The same under `/v2`, where an error is the protocol's own object."""
    return {status: {"description": _PROBLEMS[status], "model": InferenceError} for status in statuses}


def json_body(model: type[BaseModel]) -> JsonObject:
    """A body that a route reads itself; `document.py` adds the schema."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def picture_responses(explainer: Explainer | None = None) -> dict[int | str, JsonObject]:
    """The 200 of a route that negotiates, beside its JSON schema; of any method where none is named."""
    forms = forms_of(explainer) if explainer else tuple(MEDIA)
    content = {MEDIA[form]: BINARY for form in forms if form != "json"}
    return {200: {"description": "The answer in the form asked for.", "content": content}}


def not_modified() -> dict[int | str, JsonObject]:
    """The 304 of a GET whose answers have an `ETag`."""
    return {304: {"description": "The answer is the one that `If-None-Match` names."}}


def as_job_responses() -> dict[int | str, JsonObject]:
    """The 202 of a route whose answer may be a background job."""
    headers = {
        "Location": {"description": "Where the job is.", "schema": {"type": "string"}},
        "Preference-Applied": {"description": "What of `Prefer` was heeded.", "schema": {"type": "string"}},
    }
    said = "A background job was made: with `Prefer: respond-async`, and always for an ascent and for sets of pictures."
    return {202: {"description": said, "model": JobOut, "headers": headers}}


def query_parameters(*models: type[BaseModel], leave_out: tuple[str, ...] = ()) -> list[JsonObject]:
    """Each field as a query parameter; lists are written comma-separated."""
    # FastAPI's parameter models describe another contract, and keep it: what the body may give they want in the query,
    # lists they want repeated and not with commas, and of a single value that is repeated they take the last.
    found = []
    for model in models:
        schema = model.model_json_schema(by_alias=True)
        for name, field in schema["properties"].items():
            if name not in leave_out:
                required = name in schema.get("required", ())
                found.append({"name": name, "in": "query", "required": required, **_as_parameter(field)})
    return found


def explain_operation(explainer: Explainer) -> JsonObject:
    """Query parameters and the four body forms of a method's route."""
    properties = {
        name: _without_default(field)
        for model in (explainer.Params, options_of(explainer))
        for name, field in model.model_json_schema(by_alias=True)["properties"].items()
    }
    properties["format"] = _narrowed(properties["format"], forms_of(explainer))
    parameters = query_parameters(explainer.Params, options_of(explainer))
    for parameter in parameters:
        if parameter["name"] == "format":
            parameter["schema"] = _narrowed(parameter["schema"], forms_of(explainer))
    if explainer.sets:
        return _sets_operation(explainer, parameters, properties)
    image = {"type": "string", "description": "Base64 of an image file, or a data URI."}
    needed = explainer.photograph is Photograph.REQUIRED
    as_json = {
        "type": "object",
        "required": ["image"] if needed else [],
        "additionalProperties": False,
        "properties": {"image": image, **properties},
    }
    as_form = {
        "type": "object",
        "required": ["image"] if needed else [],
        "properties": {"image": {"type": "string", "format": "binary"}, **properties},
    }
    return {
        "parameters": parameters + JOB_HEADERS,
        "requestBody": {"required": needed, "content": _body_forms(as_json, as_form)},
    }


def _sets_operation(explainer: Explainer, parameters: list[JsonObject], properties: JsonObject) -> JsonObject:
    """The same of a method that looks at sets of pictures: files or a zip each, or the name of a folder."""
    file, text = BINARY["schema"], {"type": "string"}
    as_json, as_form, folders = {}, {}, []
    for asked in explainer.sets:
        who = [each.name for each in explainer.variants if asked in explainer.sets_of(_params_of(explainer, each.name))]
        of = f"{', '.join(who)}: {asked.least} to {asked.most} {asked.what}."
        folder = {"type": "object", "required": ["folder"], "properties": {"folder": text}}
        pictures = {"type": "array", "items": text, "maxItems": asked.most}
        as_json[asked.name] = {
            "anyOf": [pictures, text, folder],
            "description": f"{of} Base64 of each, base64 of one zip, or the name of a folder that the service has.",
        }
        as_form[asked.name] = {
            "anyOf": [{"type": "array", "items": file}, file, text],
            "description": f"{of} A file part each, one zip, or, as text, the name of a folder that the service has.",
        }
        described = f"{of} The name of a folder that the service has, instead of files."
        folders.append({"name": asked.name, "in": "query", "required": False, "description": described, "schema": text})
    content = {
        "application/zip": BINARY,
        "application/json": {
            "schema": {"type": "object", "additionalProperties": False, "properties": as_json | properties}
        },
        "multipart/form-data": {"schema": {"type": "object", "properties": as_form | properties}},
    }
    return {
        "parameters": parameters + folders + JOB_HEADERS,
        "requestBody": {"required": False, "content": content},
    }


def _params_of(explainer: Explainer, variant: str) -> ExplainerParams:
    return explainer.Params.model_validate({"method": variant})


def explain_many_operation() -> JsonObject:
    """Query parameters and body forms of the route that takes several methods."""
    one = {
        "type": "object",
        "required": ["method"],
        "properties": {
            "method": {"type": "string", "enum": sorted(callable_names())},
            "variant": {"type": "string", "description": "With `method` a family; its usual variant when absent."},
        },
        "description": "A method or a variant by name, with its own parameters beside it.",
    }
    methods = {"type": "array", "items": {"anyOf": [{"type": "string"}, one]}, "minItems": 1, "maxItems": MAX_METHODS}
    names = {"type": "string", "description": "Names of methods and variants, comma-separated."}
    properties = {
        name: _without_default(field)
        for model in (SharedParams, RequestOptions)
        for name, field in model.model_json_schema()["properties"].items()
        if name != "methods"
    }
    forms = {"type": "string", "enum": list(FORMS_OF_MANY)}
    properties |= {
        "target": {"type": "string", "description": "For every method that names none of its own; top1 when absent."},
        "format": {**forms, "description": properties["format"]["description"]},
    }
    image = {"type": "string", "description": "Base64 of an image file, or a data URI."}
    required = ["image", "methods"]
    as_json = {
        "type": "object",
        "required": required,
        "additionalProperties": False,
        "properties": {"image": image, "methods": methods, **properties},
    }
    as_form = {
        "type": "object",
        "required": required,
        "properties": {"image": {"type": "string", "format": "binary"}, "methods": names, **properties},
    }
    query = {"methods": names, **properties}
    return {
        "parameters": [
            {"name": name, "in": "query", "required": False, **_as_parameter(field)} for name, field in query.items()
        ]
        + JOB_HEADERS,
        "requestBody": {"required": True, "content": _body_forms(as_json, as_form)},
    }


def _body_forms(as_json: JsonObject, as_form: JsonObject) -> JsonObject:
    """The image itself, an array, JSON and multipart."""
    media_types = [name for name in MEDIA_TYPES if name != "image/jpg"]
    return {
        **dict.fromkeys([*media_types, NPY], BINARY),
        "application/json": {"schema": as_json},
        "multipart/form-data": {"schema": as_form},
    }


def _narrowed(schema: JsonObject, forms: Collection[str]) -> JsonObject:
    """Makes the same with those values alone that a method has."""
    kinds = {"anyOf": [_narrowed(kind, forms) for kind in schema["anyOf"]]} if "anyOf" in schema else {}
    values = {"enum": [value for value in schema["enum"] if value in forms]} if "enum" in schema else {}
    return schema | kinds | values


def _as_parameter(field: JsonObject) -> JsonObject:
    """A JSON Schema property as a query parameter: the null of an optional one goes, a list becomes text."""
    schema = _without_default(field)
    description = schema.pop("description", "")
    kinds = [kind for kind in schema.pop("anyOf", []) if kind.get("type") != "null"]
    if kinds:
        schema |= kinds[0]
    if schema.get("type") == "array":
        schema = {"type": "string"}
    return {"description": description, "schema": schema}


def _without_default(field: JsonObject) -> JsonObject:
    """The property with its default in its description: a `default` is sent by generated clients, also with a method
    that does not take it."""
    schema = {key: value for key, value in field.items() if key not in ("title", "default")}
    default = field.get("default")
    if default is not None:
        shown = default if isinstance(default, str) else json.dumps(default)
        schema["description"] = f"{field.get('description', '')} When absent: `{shown}`.".strip()
    return schema


def upload_operation() -> JsonObject:
    """The multipart body, which FastAPI cannot tell as it is read in pieces."""
    file = BINARY["schema"]
    form = UploadForm.model_json_schema(ref_template="#/components/schemas/{model}")
    said = f"{UploadForm.model_fields['visibility'].description} When absent: as it is; a new model is `private`."
    seen_by = {"type": "string", "enum": list(get_args(Visibility)), "description": said}
    spec = {"type": "string", "description": "JSON: " + _fields()}
    fields = form["properties"] | {"visibility": seen_by, "spec": spec}
    files = {
        MODEL: file | {"description": "A `.keras` or HDF5 file."},
        ARCHITECTURE: file | {"description": "`model.to_json()`, with the weights beside instead of `model`."},
        WEIGHTS: file | {"description": "HDF5, with `architecture`."},
    }
    schema = {"type": "object", "required": ["id"], "properties": fields | files}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def _fields() -> str:
    spec = UploadForm.model_fields["spec"].default
    return ", ".join(f"`{name}`" for name in type(spec).model_fields)
