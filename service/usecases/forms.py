"""Whether the form of an answer can hold what is asked, and which pictures are drawn for it."""

from __future__ import annotations

from dataclasses import replace

from service.contract.options import ANIMATED, PICTURES, AnswerOptions, Format
from service.errors import InvalidParameter, NotAcceptable, nearest
from service.explainers.base import Explainer, Picture
from service.explainers.forms import RAW_FORMS, require_one_array
from service.usecases.draw import known_outputs
from service.usecases.request import ExplainRequest, MethodCall

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


def moves(explainer: Explainer, form: Format) -> bool:
    """Whether a method's answer in that form is a moving picture."""
    return form in ANIMATED and ANIMATION in explainer.outputs


def held_of(submitted: AnswerOptions, form: Format, *, moving: bool) -> AnswerOptions:
    """What was wished when a job was submitted, as far as an answer in another form, `moving` or not, can hold it."""
    if form == "json" or form == submitted.format:
        outputs, arrays = submitted.outputs, submitted.arrays
    else:
        still = tuple(name for name in submitted.outputs or () if name != ANIMATION)
        outputs, arrays = (still or None) if form in PICTURES and not moving else None, "none"
    held = replace(submitted, format=form, outputs=outputs, arrays=arrays)
    picture = held.picture if form == "json" else None
    quality = held.quality if (picture or form) in ("jpeg", "webp") and not moving else None
    max_side = None if form in RAW_FORMS or moving else held.max_side
    return replace(held, picture=picture, quality=quality, max_side=max_side)


def _require_form(options: AnswerOptions) -> None:
    """Raises InvalidParameter for wishes that do not go with the form, whatever the method."""
    form, outputs = options.format, options.outputs or ()
    if form in RAW_FORMS and outputs:
        raise InvalidParameter(
            f"format={form} holds raw arrays and no pictures; leave 'outputs' out, or ask for format=json or png"
        )
    if form not in ("json", *RAW_FORMS) and options.arrays != "none":
        raise InvalidParameter(
            f"format={form} holds a picture and no raw arrays; leave 'arrays' out, or ask for format=json or npz"
        )
    if form in ("png", "jpeg") and ANIMATION in outputs:
        raise InvalidParameter(f"format={form} holds nothing that moves; ask for format=webp, gif or json")
    if options.picture and form != "json":
        raise InvalidParameter(f"'picture' says what the pictures of format=json are; with format={form} leave it out")
    if form in RAW_FORMS:
        for name in ("quality", "max_side"):
            if getattr(options, name) is not None:
                raise InvalidParameter(f"format={form} holds no pictures; leave {name!r} out")
    if options.quality is not None and options.still == "png":
        raise InvalidParameter(
            "PNG keeps every pixel and takes no 'quality'; ask for format=jpeg or webp, or for picture=jpeg in JSON"
        )


def _require_held(call: MethodCall, options: AnswerOptions) -> None:
    """Raises InvalidParameter or NotAcceptable as far as the parameters of one method show it."""
    explainer, form = call.explainer, options.format
    if form == "npy":
        require_one_array(explainer.stated_arrays(call.params), targeted=explainer.targeted)
    pictures = explainer.outputs if options.outputs is None else options.outputs
    if moves(explainer, form):
        if any(name != ANIMATION for name in options.outputs or ()):
            raise InvalidParameter(
                f"format={form} holds the animation alone; ask for format=json or png for other outputs"
            )
        for name in ("quality", "max_side"):
            if getattr(options, name) is not None:
                raise InvalidParameter(f"{name!r} is for still pictures, and format={form} moves; leave it out")
    if form in PICTURES and not pictures:
        raise NotAcceptable(
            f"{explainer.name!r} was to draw no picture; ask for json, npy or npz, or for other 'outputs'"
        )


def _drawn(explainer: Explainer, outputs: tuple[str, ...], options: AnswerOptions) -> tuple[str, ...]:
    """Chooses what is drawn: nothing for raw formats; where the answer is one picture the first unless more are asked
    for, but all layers of a stack of tiles; moving pictures only when asked."""
    if options.format in RAW_FORMS:
        return ()
    if moves(explainer, options.format):
        return (ANIMATION,)
    if options.outputs is not None:
        return outputs
    still = tuple(name for name in outputs if name != ANIMATION)
    return still[:1] if options.format in PICTURES and explainer.picture is not Picture.TILES else still
