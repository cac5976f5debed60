"""From the text a caller writes to the class score a method explains."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from service.errors import InvalidParameter, UnknownClass, nearest
from service.explainers.base import Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.models.head import Head


def parse_target(text: str, head: Head, labels: Sequence[str]) -> Target:
    """`top1`, an index, a label, or `a-b` of two of the latter.

    Raises UnknownClass with the closest labels or the valid range, InvalidParameter for an ambiguous label,
    MethodNotValid when the model has no classes.
    """
    head.check_classes()
    if text == "top1":
        return Target(head)
    if text in labels or _is_index(text):
        return Target(head, _class_index(text, head, labels))
    contrast = re.fullmatch(r"(.+?)-(.+)", text)
    if contrast:
        for cut in (match.start() for match in re.finditer("-", text)):
            left, right = text[:cut], text[cut + 1 :]
            if all(_is_index(part) or part in labels for part in (left, right)):
                return Target(head, _class_index(left, head, labels), _class_index(right, head, labels))
    return Target(head, _class_index(text, head, labels))


def _is_index(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,9}", text) is not None


def _class_index(text: str, head: Head, labels: Sequence[str]) -> int:
    if _is_index(text):
        index = int(text)
        if head.classes is not None and index >= head.classes:
            raise UnknownClass(f"there is no class {index}; the model has the classes 0 to {head.classes - 1}")
        return index
    places = [index for index, label in enumerate(labels) if label == text]
    if not places:
        places = [index for index, label in enumerate(labels) if label.lower() == text.lower().replace(" ", "_")]
    if len(places) > 1:
        raise InvalidParameter(f"{text!r} is the label of the classes {places}; say which by its index")
    if places:
        return places[0]
    if not labels:
        raise UnknownClass(f"{text!r} is no class: this model has no labels, so write an index, or top1")
    raise UnknownClass(f"there is no class {text!r}{nearest(text, labels)}")
