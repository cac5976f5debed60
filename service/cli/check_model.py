"""What `kerascope models check` prints of a model file. Loads TensorFlow, so it belongs to no api process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from service.engine.child.describe import layer_row, model_found
from service.errors import ModelNotLoadable
from service.ingest.trusted import Trust, require_allowed, require_no_code
from service.models.files.entries import spec_of_file
from service.models.loaded import LoadedModel, load_model

LAYERS_SHOWN = 12


def report(path: Path, cache_dir: Path, *, trust_all: bool = False) -> Iterator[str]:
    """Lines of text. Does what loading does, `trust_all` being the setting KERASCOPE_TRUST_MODELS_DIR.

    Raises ModelNotLoadable or WeightsUnavailable with the reason.
    """
    spec = spec_of_file(path)
    trusted = trust_all or spec.trusted
    require_allowed(spec, Trust.WHOLE if trusted else Trust.NO_CODE, ())
    model = load_model(spec, cache_dir, trusted=trusted)
    found = model_found(model)
    yield f"{'id':<15} {model.spec.id}"
    yield f"{'digest':<15} {found.digest}"
    yield f"{'keras':<15} {found.keras}"
    yield f"{'code':<15} {_code(model) if trusted else 'none'}"
    yield from _input(model)
    outputs = ", ".join(f"{each.name} {each.shape}" for each in found.outputs or ())
    yield f"{'outputs':<15} {outputs}"
    head = model.head
    yield f"{'head':<15} {head.kind}, last activation {head.activation}, {head.classes or 'no'} classes"
    if model.head.doubt:
        yield f"{'':<15} {model.head.doubt}"
    yield f"{'labels':<15} {len(found.labels or ()) or 'none'}"
    yield f"{'parameters':<15} {found.parameters or 0:,}"
    yield f"{'CAM layer':<15} {found.cam_layer or 'none: the network has no spatial map'}"
    rows = [layer_row(model.graph, entry) for entry in model.graph.layers]
    yield f"{'layers':<15} {len(rows)}"
    for row in rows[:LAYERS_SHOWN]:
        index = "" if row.index is None else row.index
        yield f"  {index:>4} {row.path:<40} {row.class_name:<22} {row.output_shape}"
    if len(rows) > LAYERS_SHOWN:
        yield f"       … and {len(rows) - LAYERS_SHOWN} more"


def _code(model: LoadedModel) -> str:
    """What trust was needed for."""
    try:
        require_no_code(model.spec)
    except ModelNotLoadable as error:
        return f"run, for the model is trusted: {error.detail.partition(': ')[2].rpartition('. If you trust')[0]}"
    return "none, though the model is trusted"


def _input(model: LoadedModel) -> Iterator[str]:
    inputs = ", ".join(f"{tensor.path} {list(tensor.shape[1:])}" for tensor in model.graph.inputs)
    if model.obstacle:
        yield f"{'input':<15} {inputs}"
        yield f"{'methods':<15} none: {model.obstacle}"
        return
    shape = model.input_shape
    order = ", channels first in the file" if shape.channels_first else ""
    yield (
        f"{'input':<15} {shape.height}×{shape.width} px, {shape.channels} channels, {model.spec.input.resize}{order}"
    )
    origin = "assumed; say it in model.toml if it is another" if model.preprocessing_assumed else "known"
    yield f"{'preprocessing':<15} {model.preprocessing.mode} ({origin})"
    for note in model.notes:
        if "assumed" not in note:
            yield f"{'note':<15} {note}"
