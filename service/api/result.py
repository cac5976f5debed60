"""The form in which a job's result is taken, which may be another than the submission's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from service.api.negotiate import choose
from service.api.options import FORMS_OF_MANY, forms_of
from service.api.parameters import parse_result
from service.usecases.forms import held_of, moves
from service.usecases.request import ExplainRequest

ANYTHING = (None, "", "*/*")
# What can be another than when the job was submitted, beside the form.
ANEW = ("outputs", "arrays", "picture", "quality", "max_side")


def answered_as(submitted: ExplainRequest, given: Mapping[str, Any], accept: str | None) -> ExplainRequest:
    """The request as submitted, answered in the form that is asked for now, else in the form asked for then.

    Another form gives those of the pictures asked for then that it can hold. Raises InvalidParameter, NotAcceptable.
    """
    wanted = parse_result(given)
    stated = wanted.format or (submitted.options.format if accept in ANYTHING else None)
    forms = FORMS_OF_MANY if submitted.many else forms_of(submitted.methods[0].explainer)
    anew = {
        name: getattr(wanted, name) for name in ("outputs", "arrays", "picture", "quality", "max_side") if name in given
    }
    form = choose(stated, accept, forms)
    moving = any(moves(call.explainer, form) for call in submitted.methods)
    held = held_of(submitted.options, form, moving=moving)
    return replace(submitted, options=replace(held, **anew))
