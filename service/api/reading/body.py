"""The body forms of a POST → image and parameters: the image itself, multipart, JSON, an npy array."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

from service.api.reading.json_text import json_object
from service.api.reading.picture_sets import MOST_FILES, ZIP_TYPES, File, SetReader, joined
from service.api.reading.planes import PART_NAMES
from service.errors import InvalidParameter, MalformedBody, UnsupportedMediaType
from service.imaging.decode import decode_base64
from service.imaging.formats import MEDIA_TYPES
from service.json_types import JsonObject
from service.usecases.fetch import Fetcher
from service.usecases.request import MethodCall, SentImage, SentSet

NPY = "application/x-npy"
FORM = "application/x-www-form-urlencoded"
ACCEPTED = f"{', '.join(MEDIA_TYPES)}, {NPY}, multipart/form-data, application/json"
MAX_FIELDS = 64


@dataclass(frozen=True)
class Body:
    """What a request carries: the image where there is one, parameters as text or JSON values, and sets of pictures."""

    image: SentImage | None
    params: JsonObject
    sets: Mapping[str, SentSet] = field(default_factory=dict)


async def read(request: Request, fetch: Fetcher, reader: SetReader | None = None) -> Body:
    """`fetch` is for an image that is given as a URL, `reader` for a method that looks at sets of pictures.

    Raises MalformedBody, UnsupportedMediaType, InvalidParameter, UndecodableImage or UnfetchableImage.
    """
    params = query(request)
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    whole = _whole(request)
    sets = [await reader.of_text(params)] if reader else []
    if not media_type and not await whole.body():
        return Body(None, params, joined(sets))
    if reader and media_type in ZIP_TYPES:
        sets.append(await reader.of_files({reader.names[0]: [("", await whole.body())]}))
        return Body(None, params, joined(sets))
    if media_type in MEDIA_TYPES or media_type == NPY:
        data = await whole.body()
        if not data:
            raise MalformedBody(f"the body is empty; send the image itself as {media_type}")
        return Body(SentImage(data, npy=media_type == NPY), params)
    if media_type == "multipart/form-data":
        image, sent, files = await _multipart(whole, reader.names if reader else ())
        sets += [await reader.of_files(files), await reader.of_text(sent)] if reader else []
    elif media_type == "application/json":
        sent = json_object(await whole.body(), "the body")
        sets += [await reader.of_json(sent)] if reader else []
        image = await _json_image(sent, fetch)
    else:
        raise UnsupportedMediaType(f"{_stated(media_type, 'image/png')}; send one of {ACCEPTED}")
    for name, value in sent.items():
        if name in params and str(params[name]) != (str(value).lower() if isinstance(value, bool) else str(value)):
            raise InvalidParameter(f"{name!r} stands in the query and in the body with two values; give it once")
    return Body(image, params | sent, joined(sets))


async def json_body(request: Request) -> JsonObject:
    """A body that is a JSON object. Raises MalformedBody or UnsupportedMediaType."""
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type not in ("", "application/json"):
        raise UnsupportedMediaType(f"{_stated(media_type, 'application/json')}; send application/json")
    return json_object(await _whole(request).body(), "the body")


def _stated(media_type: str, example: str) -> str:
    """What the caller said of the body, and who said it in its stead."""
    if media_type == FORM:
        return (
            f"the Content-Type is {FORM!r}: curl adds that itself where no other is given, and "
            f"-H 'Content-Type: {example}' is what is missing"
        )
    return f"the Content-Type is {repr(media_type) if media_type else 'none'}"


def check_image(image: SentImage | None, calls: Iterable[MethodCall]) -> None:
    """Raises MalformedBody for an image that is missing, InvalidParameter for one that no method looks at."""
    calls = tuple(calls)
    wanted = [call.explainer.wants_image(call.params) for call in calls]
    sets = [f"{each.name!r}" for call in calls for each in call.explainer.sets_of(call.params)]
    if image is not None and sets:
        raise InvalidParameter(f"one image is sent, and sets of pictures are looked at; send {', '.join(sets)} instead")
    if image is None and any(wanted):
        raise MalformedBody(f"there is no image in the body; send it as 'image', or the body as one of {ACCEPTED}")
    if image is not None and not any(wanted):
        raise InvalidParameter(
            "no image is looked at with these parameters; leave it out, or start from it: init=image"
        )


def query(request: Request) -> JsonObject:
    """Query parameters as text; one that is repeated is a list, which only parameters that hold several values take."""
    return _collected(request.query_params.multi_items())


def _collected(items: Iterable[tuple[str, str]]) -> JsonObject:
    found: dict[str, list[str]] = {}
    for name, value in items:
        found.setdefault(name, []).append(value)
    return {
        name: values[0] if len(values) == 1 else [part for value in values for part in value.split(",")]
        for name, values in found.items()
    }


def _whole(request: Request) -> Request:
    """The request, whose body ends in MalformedBody where the connection ended before it did."""

    async def receive() -> Message:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise MalformedBody("the connection ended before the whole body had arrived")
        return message

    return Request(request.scope, receive)


async def _multipart(
    request: Request, sets: tuple[str, ...]
) -> tuple[SentImage | None, JsonObject, dict[str, list[File]]]:
    """The image, the parameters, and the files of these sets."""
    params: JsonObject = {}
    files: dict[str, list[File]] = {}
    fields: list[tuple[str, str]] = []
    image = None
    _, options = parse_options_header(request.headers["content-type"])
    charset = options.get(b"charset", b"utf-8").decode("latin-1").lower()
    if charset not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMediaType(f"the form is written in the charset {charset!r}; write it in UTF-8")
    try:
        async with request.form(max_files=1 + len(PART_NAMES) + len(sets) * MOST_FILES, max_fields=MAX_FIELDS) as form:
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    if name in sets:
                        files.setdefault(name, []).append((value.filename or "", await value.read()))
                    elif name in PART_NAMES:
                        fields.append((name, base64.b64encode(await value.read()).decode()))
                    elif name != "image":
                        wanted = " or ".join(map(repr, sets or ("image",)))
                        raise MalformedBody(f"the file part is named {name!r}; name it {wanted}")
                    elif image is not None:
                        raise MalformedBody("the part 'image' is sent twice; send one image")
                    else:
                        image = SentImage(await value.read(), npy=value.content_type == NPY)
                elif name == "params":
                    if params:
                        raise MalformedBody("the part 'params' is sent twice; send one with all parameters")
                    params = json_object(value.encode(), "the part 'params'")
                elif name == "image":
                    raise MalformedBody("the part 'image' is text; send it as a file (curl: -F image=@cat.png)")
                else:
                    fields.append((name, value))
    except HTTPException as error:
        raise MalformedBody(f"the multipart body cannot be read: {error.detail}") from error
    single = _collected(fields)
    for name in single:
        if name in params:
            raise MalformedBody(f"{name!r} stands in the part 'params' and in a part of its own; give it once")
    return image, params | single, files


async def _json_image(params: JsonObject, fetch: Fetcher) -> SentImage | None:
    """Takes the image of a JSON body out of `params`."""
    image = params.pop("image", None)
    if image is None:
        return None
    if isinstance(image, dict) and set(image) == {"url"} and isinstance(image["url"], str):
        return SentImage(await fetch(image["url"]))
    if not isinstance(image, str):
        raise MalformedBody(
            '\'image\' must be a text, the base64 of an image file or a data URI, or {"url": "https://…"}'
        )
    return SentImage(decode_base64(image))
