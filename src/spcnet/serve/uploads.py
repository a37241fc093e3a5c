"""Requests for poses as they come over the wire: bounded, in memory, in two encodings."""

import base64
import json
import math
import re

from pydantic import ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, FormParser, parse_options_header
from starlette.requests import Request

from spcnet.serve.errors import RequestError
from spcnet.serve.limits import FEW, MAPS_PERSONS, Limits
from spcnet.serve.schema import Form, Question, Wishes

LONGEST_ECHO = 60  # characters of a wrong value that are said again
MULTIPART, JSON = "multipart/form-data", "application/json"

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


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
        announced = self.request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > most:
            raise _too_large(limits)
        chunks: list[bytes] = []
        size = 0
        async for chunk in self.request.stream():
            size += len(chunk)
            if size > most:
                raise _too_large(limits)
            chunks.append(chunk)
        self.whole = True
        return b"".join(chunks), kind


def parse(body: bytes, kind: str, limits: Limits) -> tuple[bytes, Wishes]:
    """The picture's file in a whole body, and what is asked of it.

    Args:
        body: as it came.
        kind: its content type, with the boundary of a multipart one.
        limits: of the service.

    Raises:
        RequestError: it has not the form it says, or asks for more than is given.
    """
    of_json = kind.lower().startswith(JSON)
    picture, wishes = _from_json(body, limits) if of_json else _from_form(body, kind, limits)
    if len(picture) > limits.picture_bytes:
        raise _too_large(limits)
    persons = len(wishes.boxes or [])
    few = ""
    if persons > limits.boxes:
        few = f"at most {limits.boxes} are taken"
    elif persons > MAPS_PERSONS and (wishes.heatmaps or wishes.attention):
        few = f"heatmaps and attention are answered for at most {MAPS_PERSONS}"
    if few:
        raise RequestError(422, "too_many_boxes", f"{persons} boxes: {few}")
    return picture, wishes


def _too_large(limits: Limits) -> RequestError:
    text = f"the picture's file is larger than {limits.picture_bytes / 1e6:g} MB; reduce it first"
    return RequestError(413, "too_large", text)


def _check_text(what: str, size: int, limits: Limits) -> None:
    """Refuse a text longer than those of all boxes: taken apart, it takes many times its memory."""
    if size > limits.text_bytes:
        most = f"at most {limits.text_bytes} are taken for {limits.boxes} boxes"
        raise RequestError(422, "bad_request", f"{what} {size} bytes; {most}")


def _from_json(body: bytes, limits: Limits) -> tuple[bytes, Wishes]:
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
    encoded, question.image = question.image, ""
    if encoded.startswith("data:"):
        encoded = encoded.partition(",")[2]
    try:
        return base64.b64decode("".join(encoded.split()), validate=True), question
    except ValueError:
        raise RequestError(422, "bad_base64", "image: not base64 of a picture's file") from None


def _from_form(body: bytes, kind: str, limits: Limits) -> tuple[bytes, Wishes]:
    parts = _parts(body, kind)
    _check_text("boxes: a text of", len(parts.get("boxes", b"")), limits)
    given = {
        name: part if name == "image" else part.decode(errors="replace")
        for name, part in parts.items()
        if part or name == "image"
    }
    try:
        form = Form.model_validate(given)
    except ValidationError as error:
        text = _first(error)
        code = "bad_boxes" if text.startswith("boxes") else "bad_request"
        raise RequestError(422, code, text) from None
    picture, form.image = form.image, b""
    return picture, form


def _parts(body: bytes, kind: str) -> dict[str, bytes]:
    """The parts of a form by name, all in memory: a photo is not to come on a disk.

    The first part that is unknown, or was there before, ends it, as millions would take long.
    """
    parts: dict[str, bytes] = {}
    ended: list[bool] = []

    def keep(part: Field | File) -> None:
        name = (part.field_name or b"").decode(errors="replace")
        if name not in Form.model_fields:
            raise FormParserError(f"it may have {', '.join(Form.model_fields)}, got {name!r}")
        if name in parts:
            raise FormParserError(f"two parts are named {name!r}")
        if isinstance(part, Field):
            parts[name] = part.value or b""
        else:
            part.file_object.seek(0)
            parts[name] = part.file_object.read()

    try:
        boundary = parse_options_header(kind)[1].get(b"boundary")
        if not boundary:
            raise FormParserError("the content type names no boundary")
        parser = FormParser(
            MULTIPART, keep, keep, lambda: ended.append(True), boundary,
            config={"MAX_MEMORY_FILE_SIZE": math.inf},
        )  # fmt: skip
        parser.write(body)
        parser.finalize()
        if not ended:
            raise FormParserError("its last boundary is missing")
    except FormParserError as error:
        text = f"not a whole multipart form with a file named image: {error}"
        raise RequestError(422, "bad_request", text) from None
    return parts


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, in one line."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"]))
    given = json.dumps(first["input"], default=lambda raw: raw.decode(errors="replace"))
    shown = first["type"] != "missing" and len(given) <= LONGEST_ECHO
    got = f", got {given}" if shown else ""
    code = "; boxes are [[x0, y0, x1, y1], ...]" if place.startswith("boxes") else ""
    return f"{place or 'body'}: {first['msg']}{got}{code}"
