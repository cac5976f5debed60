"""Whether what a caller says of an uploaded model can be: the file has been read, and its sizes are known."""

from __future__ import annotations

from typing import Any

from service.errors import FieldError, InvalidParameter
from service.ingest.verdict import Manifest
from service.models.preprocess import InputShape, input_problem
from service.models.spec import InputSpec, Preprocessing


def require_fits(spec: dict[str, Any], manifest: Manifest) -> None:
    """Raises InvalidParameter with all that does not fit the file; `spec` is that of the upload, as JSON values."""
    found = [*_labels(spec.get("labels"), manifest), *_input(spec, manifest)]
    if found:
        raise InvalidParameter("; ".join(item.msg for item in found), errors=found)


def _labels(labels: Any, manifest: Manifest) -> list[FieldError]:
    classes = manifest.outputs[0][-1]
    if isinstance(labels, list | tuple) and classes is not None and len(labels) != classes:
        return [FieldError(("spec", "labels"), f"the spec has {len(labels)} labels, and the model {classes} classes")]
    return []


def _input(spec: dict[str, Any], manifest: Manifest) -> list[FieldError]:
    sizes = manifest.inputs[0][1:]
    if len(manifest.inputs) != 1 or len(sizes) not in (2, 3):
        # No picture is shown to such a model, so nothing is done with one.
        return []
    stated = InputSpec.model_validate(spec.get("input", {}))
    found = [
        FieldError(("spec", "input", name), f"the spec says {name} {given}, and the file {fixed}")
        for name, given, fixed in (("height", stated.height, sizes[0]), ("width", stated.width, sizes[1]))
        if given is not None and fixed is not None and given != fixed
    ]
    shape = InputShape(sizes[0] or 1, sizes[1] or 1, (sizes[2] or 3) if len(sizes) == 3 else 1)
    mode = Preprocessing.model_validate(spec.get("preprocessing", {}))
    if problem := input_problem(shape, stated, mode):
        found.append(FieldError(("spec", "input" if problem.startswith("'channels'") else "preprocessing"), problem))
    return found
