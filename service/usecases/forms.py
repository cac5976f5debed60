"""Whether the form of an answer can hold what is asked, and which pictures are drawn for it."""

from __future__ import annotations

from service.errors import InvalidParameter, NotAcceptable, nearest
from service.explainers.base import Explainer, Picture
from service.explainers.forms import require_one_array
from service.usecases.answer import ANIMATED, AnswerOptions, Format
from service.usecases.draw import known_outputs
from service.usecases.request import ExplainRequest, MethodCall

RAW: tuple[Format, ...] = ("npy", "npz")
ANIMATION = "animation"


def wanted_outputs(request: ExplainRequest) -> list[tuple[str, ...]]:
    """The pictures each method is to draw. Of several methods each draws those it has.

    Raises InvalidParameter for a name that none of them draws, and where the form of the answer cannot hold all that is
    asked for; NotAcceptable where there is nothing to be held.
    """
    explainers, options = [call.explainer for call in request.methods], request.options
    wanted = options.outputs
    if wanted is None or len(explainers) == 1:
        own = [known_outputs(explainer, wanted) for explainer in explainers]
    else:
        known = list(dict.fromkeys(name for explainer in explainers for name in explainer.outputs))
        for name in wanted:
            if name not in known:
                drawn = ", ".join(known) or "no pictures"
                raise InvalidParameter(f"these methods draw {drawn}, not {name!r}{nearest(name, known)}")
        own = [tuple(name for name in wanted if name in explainer.outputs) for explainer in explainers]
    _require_form(options)
    for call in request.methods:
        _require_held(call, options)
    return [_drawn(explainer, outputs, options) for explainer, outputs in zip(explainers, own, strict=True)]


def held_of(submitted: AnswerOptions, form: Format) -> AnswerOptions:
    """What was wished when a job was submitted, as far as an answer in another form can hold it."""
    if form == "json" or form == submitted.format:
        outputs, arrays = submitted.outputs, submitted.arrays
    else:
        still = tuple(name for name in submitted.outputs or () if name != ANIMATION)
        outputs, arrays = (still or None) if form == "png" else None, "none"
    return AnswerOptions(form, outputs, arrays, submitted.top)


def _require_form(options: AnswerOptions) -> None:
    """Raises InvalidParameter for wishes that do not go with the form, whatever the method."""
    form, outputs = options.format, options.outputs or ()
    if form in RAW and outputs:
        raise InvalidParameter(
            f"format={form} holds raw arrays and no pictures; leave 'outputs' out, or ask for format=json or png"
        )
    if form not in ("json", *RAW) and options.arrays != "none":
        raise InvalidParameter(
            f"format={form} holds a picture and no raw arrays; leave 'arrays' out, or ask for format=json or npz"
        )
    if form == "png" and ANIMATION in outputs:
        raise InvalidParameter("format=png holds nothing that moves; ask for format=webp, gif or json")
    if form in ANIMATED and any(name != ANIMATION for name in outputs):
        raise InvalidParameter(f"format={form} holds the animation alone; ask for format=json or png for other outputs")


def _require_held(call: MethodCall, options: AnswerOptions) -> None:
    """Raises InvalidParameter or NotAcceptable as far as the parameters of one method show it."""
    explainer, form = call.explainer, options.format
    if form == "npy":
        require_one_array(explainer.stated_arrays(call.params), targeted=explainer.targeted)
    pictures = explainer.outputs if options.outputs is None else options.outputs
    if form == "png" and not pictures:
        raise NotAcceptable(
            f"{explainer.name!r} was to draw no picture; ask for json, npy or npz, or for other 'outputs'"
        )


def _drawn(explainer: Explainer, outputs: tuple[str, ...], options: AnswerOptions) -> tuple[str, ...]:
    """Chooses what is drawn: nothing for raw formats; of PNG the first unless more are asked for, but all layers of a
    stack of tiles; moving pictures only when asked."""
    if options.format in RAW:
        return ()
    if options.format in ANIMATED:
        return (ANIMATION,)
    if options.outputs is not None:
        return outputs
    still = tuple(name for name in outputs if name != ANIMATION)
    return still[:1] if options.format == "png" and explainer.picture is not Picture.TILES else still
