"""Requests for poses as they come over the wire: bounded, in memory, in two encodings."""

import base64
import binascii
import json
import re
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from spcnet.serve.errors import RequestError
from spcnet.serve.limits import FEW, MAPS_PERSONS, Limits
from spcnet.serve.schema import Boxes, People, Question

LONGEST_ECHO = 60  # characters of a wrong value that are said again
MULTIPART, JSON = "multipart/form-data", "application/json"

_BOXES = TypeAdapter(Boxes)
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_FLAG = TypeAdapter(bool)
_PEOPLE: TypeAdapter[People] = TypeAdapter(People)


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A question with its picture's file as bytes."""

    picture: bytes
    boxes: list[tuple[float, float, float, float]] | None = None
    people: People = "one"
    skeleton: str | None = None
    heatmaps: bool = False
    attention: bool = False


class Body:
    """The body of a request, read as far as it may go.

    Attributes:
        whole: whether it was read to its end.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.whole = False

    async def read(self, limits: Limits) -> tuple[bytes, str]:
        """All of it, and the content type.

        Raises:
            RequestError: it is of another type than the two, or larger than a picture may be, by
                its announced length or as soon as that much has come.
            ClientDisconnect: the client hung up.
        """
        kind = self.request.headers.get("content-type", "")
        essence = kind.partition(";")[0].strip().lower()
        if essence not in (MULTIPART, JSON):
            raise RequestError(
                415,
                "unsupported_type",
                f"content type {essence or '(none)'}: send {MULTIPART} with a file named image, "
                f"or {JSON}",
            )
        most = limits.body_bytes(base64=essence == JSON)
        if _announced(self.request) > most:
            raise _too_large(limits)
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self.request.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > most:
                raise _too_large(limits)
            chunks.append(chunk)
            if not message.get("more_body", False):
                self.whole = True
                return b"".join(chunks), kind


def parse(body: bytes, kind: str, limits: Limits) -> Upload:
    """What a whole body asks for.

    Args:
        body: as it came.
        kind: its content type, with the boundary of a multipart one.
        limits: of the service.

    Raises:
        RequestError: it has not the form it says, or asks for more than is given.
    """
    of_json = kind.lower().startswith(JSON)
    upload = _from_json(body, limits) if of_json else _from_form(body, kind, limits)
    if len(upload.picture) > limits.picture_bytes:
        raise _too_large(limits)
    persons = len(upload.boxes or [])
    if persons > limits.boxes:
        raise RequestError(
            422, "too_many_boxes", f"{persons} boxes: at most {limits.boxes} are taken"
        )
    if persons > MAPS_PERSONS and (upload.heatmaps or upload.attention):
        raise RequestError(
            422,
            "too_many_boxes",
            f"{persons} boxes: heatmaps and attention are answered for at most {MAPS_PERSONS}",
        )
    return upload


def _announced(request: Request) -> int:
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0


def _too_large(limits: Limits) -> RequestError:
    return RequestError(
        413,
        "too_large",
        f"the picture's file is larger than {limits.picture_bytes / 1e6:g} MB; reduce it first",
    )


def _check_text(what: str, size: int, limits: Limits) -> None:
    """Check how long a text is before it is taken apart, which takes many times its memory.

    Raises:
        RequestError: it is longer than those of the boxes that are taken.
    """
    if size > limits.text_bytes:
        raise RequestError(
            422,
            "bad_request",
            f"{what} {size} bytes; at most {limits.text_bytes} are taken for {limits.boxes} boxes",
        )


def _from_json(body: bytes, limits: Limits) -> Upload:
    longest = 0
    for count, text in enumerate(_STRING.finditer(body)):
        longest = max(longest, text.end() - text.start())
        if count == FEW:
            break
    _check_text("body: beside the picture it has", len(body) - longest, limits)
    try:
        question = Question.model_validate_json(body)
    except ValidationError as error:
        raise RequestError(422, "bad_request", _first(error)) from None
    encoded = question.image
    if encoded.startswith("data:"):
        encoded = encoded.partition(",")[2]
    try:
        picture = base64.b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError):
        raise RequestError(422, "bad_base64", "image: not base64 of a picture's file") from None
    return Upload(
        picture=picture,
        boxes=question.boxes,
        people=question.people,
        skeleton=question.skeleton,
        heatmaps=question.heatmaps,
        attention=question.attention,
    )


def _from_form(body: bytes, kind: str, limits: Limits) -> Upload:
    parts = _parts(body, kind)
    if "image" not in parts:
        raise _not_the_form(f"got {', '.join(map(repr, parts))}" if parts else "got none")
    _check_text("boxes: a text of", len(parts.get("boxes", b"")), limits)
    try:
        boxes = _BOXES.validate_json(parts["boxes"]) if parts.get("boxes") else None
    except ValidationError as error:
        raise RequestError(422, "bad_boxes", _first(error, within="boxes")) from None
    flags = {}
    for name in ("heatmaps", "attention"):
        try:
            flags[name] = _FLAG.validate_python(parts.get(name, b"false").decode(errors="replace"))
        except ValidationError:
            raise RequestError(422, "bad_request", f"{name}: must be true or false") from None
    skeleton = parts.get("skeleton", b"")[:LONGEST_ECHO].decode(errors="replace") or None
    try:
        people = _PEOPLE.validate_python(parts.get("people", b"one").decode(errors="replace"))
    except ValidationError:
        raise RequestError(422, "bad_request", "people: must be one or all") from None
    return Upload(picture=parts["image"], boxes=boxes, people=people, skeleton=skeleton, **flags)


def _not_the_form(text: str) -> RequestError:
    return RequestError(
        422,
        "bad_request",
        "the form has a file image and may have boxes, people, skeleton, heatmaps and attention; "
        + text,
    )


def _parts(body: bytes, kind: str) -> dict[str, bytes]:
    """The parts of a form by name.

    Ready-made form parsers put large files on disk; a photo is to stay in memory.

    Raises:
        RequestError: it is no whole form, or has a part that is unknown or was there before, which
            ends it at that part's head, as millions of parts would take long.
    """
    parts: dict[str, list[bytes]] = {}
    header = value = b""
    name = ""
    ended = False

    def header_field(data: bytes, start: int, end: int) -> None:
        nonlocal header
        header += data[start:end]

    def header_value(data: bytes, start: int, end: int) -> None:
        nonlocal value
        value += data[start:end]

    def header_end() -> None:
        nonlocal header, value, name
        if header.lower() == b"content-disposition":
            options = parse_options_header(value)[1]
            name = options.get(b"name", b"").decode(errors="replace")
        header = value = b""

    def headers_finished() -> None:
        if name not in Question.model_fields:
            raise _not_the_form(f"got {name!r}")
        if name in parts:
            raise FormParserError(f"two parts are named {name!r}")
        parts[name] = []

    def part_data(data: bytes, start: int, end: int) -> None:
        parts[name].append(data[start:end])

    def part_end() -> None:
        nonlocal name
        name = ""

    def end() -> None:
        nonlocal ended
        ended = True

    boundary = parse_options_header(kind)[1].get(b"boundary", b"")
    try:
        if not boundary:
            raise FormParserError("the content type names no boundary")
        parser = MultipartParser(
            boundary,
            {
                "on_header_field": header_field,
                "on_header_value": header_value,
                "on_header_end": header_end,
                "on_headers_finished": headers_finished,
                "on_part_data": part_data,
                "on_part_end": part_end,
                "on_end": end,
            },
        )
        parser.write(body)
        parser.finalize()
        if not ended:
            raise FormParserError("its last boundary is missing")
    except FormParserError as error:
        raise RequestError(422, "bad_request", f"not a whole multipart form: {error}") from None
    return {name: b"".join(chunks) for name, chunks in parts.items()}


def _first(error: ValidationError, within: str = "") -> str:
    """The first thing that is wrong, in one line."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in (within, *first["loc"]) if part != "")
    given = json.dumps(first["input"], default=_as_text)
    tells = first["type"] != "missing" and len(given) <= LONGEST_ECHO
    got = f", got {given}" if tells else ""
    code = "; boxes are [[x0, y0, x1, y1], ...]" if place.startswith("boxes") else ""
    return f"{place or 'body'}: {first['msg']}{got}{code}"


def _as_text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else repr(value)
