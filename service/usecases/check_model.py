"""What `kerascope models check` prints of a model file. Loads TensorFlow, so it belongs to no api process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from service.engine.describe import layer_row, model_details
from service.errors import ModelNotLoadable
from service.ingest.trusted import scan
from service.models.library import spec_of_file
from service.models.loaded import load_model
from service.models.spec import ModelSpec

LAYERS_SHOWN = 12


def _refusal(spec: ModelSpec) -> str | None:
    try:
        scan(spec, ())
    except ModelNotLoadable as error:
        return f"refused: {error.detail}"
    return None


def report(path: Path, cache_dir: Path) -> Iterator[str]:
    """Lines of text. Raises ModelNotLoadable or WeightsUnavailable with the reason."""
    spec = spec_of_file(path)
    refusal = _refusal(spec)
    model = load_model(spec, cache_dir)
    found = model_details(model, "cpu")
    shape, head, preprocessing = found["input"], found["head"], found["preprocessing"]
    yield f"{'id':<15} {model.spec.id}"
    yield f"{'digest':<15} {found['digest']}"
    yield f"{'scan':<15} {refusal or 'passed: an upload of it would be taken'}"
    yield f"{'input':<15} {shape['height']}×{shape['width']} px, {shape['channels']} channels, {shape['resize']}"
    origin = "assumed; say it in model.toml if it is another" if preprocessing["assumed"] else "known"
    yield f"{'preprocessing':<15} {preprocessing['mode']} ({origin})"
    yield f"{'head':<15} {head['kind']}, last activation {head['activation']}, {head['classes'] or 'no'} classes"
    yield f"{'labels':<15} {len(found['labels']) or 'none'}"
    yield f"{'parameters':<15} {found['parameters']:,}"
    yield f"{'CAM layer':<15} {found['cam_layer'] or 'none: the network has no spatial map'}"
    rows = [layer_row(model.graph, entry) for entry in model.graph.layers]
    yield f"{'layers':<15} {len(rows)}"
    for row in rows[:LAYERS_SHOWN]:
        index = "" if row["index"] is None else row["index"]
        yield f"  {index:>4} {row['path']:<40} {row['class']:<22} {row['output_shape']}"
    if len(rows) > LAYERS_SHOWN:
        yield f"       … and {len(rows) - LAYERS_SHOWN} more"
