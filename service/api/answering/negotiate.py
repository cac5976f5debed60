"""An answer's form (JSON, a picture, npy or npz), chosen by what the caller says, and the answer in that form."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Literal

import orjson
from fastapi import Response
from starlette.types import Receive, Scope, Send

from service.api.reading.parameters import FORMS_OF_MANY, STILL, forms_of, parse_result
from service.arrays import Array
from service.contract.options import PICTURES, AnswerOptions, Format
from service.contract.results import MethodSaid
from service.errors import NotAcceptable
from service.json_types import Fields, JsonObject
from service.usecases import archive
from service.usecases.answer import Answer, Result
from service.usecases.forms import held_of, moves
from service.usecases.pieces import Pieces
from service.usecases.request import ExplainRequest

MEDIA: dict[Format, str] = {
    "json": "application/json",
    "png": "image/png",
    "jpeg": "image/jpeg",
    "npy": "application/x-npy",
    "npz": "application/x-npz",
    "webp": "image/webp",
    "gif": "image/gif",
}


# What is told of what is said; the rest is what pictures are drawn by.
SAID = set(MethodSaid.model_fields)


def choose(stated: Format | None, accept: str | None, forms: Collection[Format] = STILL) -> Format:
    """`stated` where there is one, else what `Accept` wants most. Raises NotAcceptable for what is none of `forms`."""
    media_types = {form: media for form, media in MEDIA.items() if form in forms}
    given = ", ".join(media_types.values())
    if stated and stated not in forms:
        instead = "; ask one method alone for it" if set(forms) == set(FORMS_OF_MANY) else ""
        raise NotAcceptable(f"this route gives {given}, not {stated!r}{instead}")
    if stated:
        return stated
    if not accept:
        return "json"
    ranges: dict[str, tuple[float, int]] = {}
    for place, part in enumerate(accept.split(",")):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((_quality(item[2:]) for item in parameters if item.startswith("q=")), 1.0)
        ranges[name] = (-quality, place)
    if "text/html" in ranges:
        # A browser that opens a link names WebP among pages, whatever lies there.
        ranges.pop("image/webp", None)
    wanted: list[tuple[tuple[float, int], int, Format]] = []
    for place, (form, media) in enumerate(media_types.items()):
        most_specific = next((name for name in (media, media.split("/")[0] + "/*", "*/*") if name in ranges), None)
        if most_specific and ranges[most_specific][0] < 0:
            wanted.append((ranges[most_specific], place, form))
    if not wanted:
        raise NotAcceptable(f"none of {accept!r} can be given; this route gives {given}")
    return min(wanted)[2]


def respond(answer: Answer, options: AnswerOptions) -> Response:
    """The answer of one method. Raises NotAcceptable when the method has nothing to give in that form."""
    (result,) = answer.results
    if options.format in PICTURES:
        if not result.pictures:
            name = result.said.method.name
            raise NotAcceptable(f"{name!r} was to draw no picture; ask for json, npy or npz, or for other 'outputs'")
        content = result.pictures[0].data
    elif options.format == "npy":
        return _in_pieces(archive.npy(result.arrays[result.said.primary]), answer, options.format)
    elif options.format == "npz":
        return _in_pieces(archive.packed(result.arrays), answer, options.format)
    else:
        body = {
            "model": answer.model.model_dump(),
            "image": answer.image,
            **result_out(result, options),
            "timing_ms": _timing(answer),
        }
        content = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(content, headers=_headers(answer), media_type=MEDIA[options.format])


def respond_many(answer: Answer, options: AnswerOptions) -> Response:
    """The answer of several methods, as JSON or npz."""
    if options.format == "npz":
        arrays = {f"{result.name}/{name}": array for result in answer.results for name, array in result.arrays.items()}
        return _in_pieces(archive.packed(arrays), answer, "npz")
    results = [{"name": result.name, **result_out(result, options)} for result in answer.results]
    body = {"model": answer.model.model_dump(), "image": answer.image, "results": results, "timing_ms": _timing(answer)}
    content = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(content, headers=_headers(answer), media_type=MEDIA["json"])


def _in_pieces(pieces: Pieces, answer: Answer, form: Format) -> Response:
    return PiecesResponse(pieces, _headers(answer), MEDIA[form])


def responder(request: ExplainRequest) -> Callable[[Answer, AnswerOptions], Response]:
    """How the answer of one method, or of several, is given."""
    return respond_many if request.many else respond


def _headers(answer: Answer) -> dict[str, str]:
    return {"Server-Timing": ", ".join(f"{name};dur={value:.1f}" for name, value in answer.timing_ms.items())}


def _timing(answer: Answer) -> dict[str, float]:
    return {name: round(value, 2) for name, value in answer.timing_ms.items()}


def result_out(result: Result, options: AnswerOptions) -> JsonObject:
    """What one method found, as JSON values."""
    images = [
        {
            "name": picture.name,
            "media_type": picture.media_type,
            "width": picture.width,
            "height": picture.height,
            "data": base64.b64encode(picture.data).decode(),
        }
        for picture in result.pictures
    ]
    encoding = options.arrays
    arrays = [] if encoding == "none" else [_array(name, value, encoding) for name, value in result.arrays.items()]
    said = result.said.model_dump(include=SAID)
    return {**said, "images": images, "arrays": arrays}


def _array(name: str, array: Array, encoding: Literal["base64", "list"]) -> JsonObject:
    data = base64.b64encode(archive.raw(array)).decode() if encoding == "base64" else array.tolist()
    return {
        "name": name,
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "min": float(array.min()) if array.size else None,
        "max": float(array.max()) if array.size else None,
        "encoding": encoding,
        "data": data,
    }


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


class PiecesResponse(Response):
    """The answer; its length is known, so that it is no chunked body."""

    def __init__(self, pieces: Pieces, headers: Mapping[str, str], media_type: str) -> None:
        super().__init__(headers={**headers, "Content-Length": str(pieces.size)}, media_type=media_type)
        self.pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for piece in self.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def length_of(response: Response) -> int:
    return response.pieces.size if isinstance(response, PiecesResponse) else len(response.body)


def body_of(response: Response) -> bytes | memoryview:
    """The whole body, joined where it is in pieces."""
    return response.pieces.joined() if isinstance(response, PiecesResponse) else response.body


ANYTHING = (None, "", "*/*")
# What can be another than when the job was submitted, beside the form.
ANEW = ("outputs", "arrays", "picture", "quality", "max_side")


def answered_as(submitted: ExplainRequest, given: Fields, accept: str | None) -> ExplainRequest:
    """The request as submitted, answered in the form that is asked for now, else in the form asked for then.

    Another form gives those of the pictures asked for then that it can hold. Raises InvalidParameter, NotAcceptable.
    """
    wanted = parse_result(given)
    stated = wanted.format or (submitted.options.format if accept in ANYTHING else None)
    forms = FORMS_OF_MANY if submitted.many else forms_of(submitted.methods[0].explainer)
    anew = {name: getattr(wanted, name) for name in ANEW if name in given}
    form = choose(stated, accept, forms)
    moving = any(moves(call.explainer, form) for call in submitted.methods)
    held = held_of(submitted.options, form, moving=moving)
    return replace(submitted, options=replace(held, **anew))
