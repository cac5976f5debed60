"""The part of the OpenAPI document that says how a model is uploaded."""

from __future__ import annotations

from typing import Any, get_args

from service.api.openapi import BINARY
from service.api.upload_body import ARCHITECTURE, MODEL, WEIGHTS, UploadForm
from service.models.uploads.record import Visibility


def upload_operation() -> dict[str, Any]:
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
