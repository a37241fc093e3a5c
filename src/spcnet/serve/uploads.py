"""Requests for poses as they come over the wire: bounded, in memory, in their encodings."""

import json
import math
import re
from collections.abc import Callable
from pathlib import PureWindowsPath
from typing import Any, Literal, TypeAlias, TypeVar

from pydantic import ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, FormParser, parse_options_header
from python_multipart.multipart import File as FilePart
from starlette.requests import Request

from spcnet.errors import counted, in_words
from spcnet.serve.errors import RequestError
from spcnet.serve.limits import FEW, MAPS_PERSONS, TEXT_OF_BOX, Limits
from spcnet.serve.schema import LONGEST_NAME, FileWishes, Form, Question, VideoForm

LONGEST_ECHO = 60  # characters of a wrong value that are said again
MULTIPART, JSON = "multipart/form-data", "application/json"
File: TypeAlias = Literal["image", "video"]  # the field in which it comes
ENCODINGS: dict[File, dict[str, type[FileWishes]]] = {
    "image": {MULTIPART: Form, JSON: Question},
    "video": {MULTIPART: VideoForm},
}
NAMES: dict[File, str] = {"image": "picture", "video": "video"}

# Possessive, as a string that does not end would be gone through from each of its quotes again.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
Asked = TypeVar("Asked", bound=FileWishes)


async def read_body(
    request: Request, limits: Limits, heard: Callable[[], None], file: File = "image"
) -> tuple[bytes, str]:
    """The whole body of a request, and its content type; `heard` is called for each piece.

    Raises:
        RequestError: it is of a type without an encoding, or larger than a picture may be, by its
            announced length or as soon as that much has come.
        ClientDisconnect: the client hung up.
    """
    kind = request.headers.get("content-type", "")
    essence = kind.partition(";")[0].strip().lower()
    if essence not in ENCODINGS[file]:
        text = ", or ".join([f"{MULTIPART} with a file named {file}", *[*ENCODINGS[file]][1:]])
        text = f"content type {essence or '(none)'}: send {text}"
        raise RequestError(415, "unsupported_type", text, unread=True)
    if request.query_params:
        name = next(iter(request.query_params))[:LONGEST_ECHO]
        text = f"query parameter {name!r}: what is asked of a {NAMES[file]} is a field of the body"
        raise RequestError(422, "bad_request", text, unread=True)
    most = limits.body_bytes(base64=essence == JSON)
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most:
        raise _too_large(file, limits, unread=True)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            raise _too_large(file, limits, unread=True)
        chunks.append(chunk)
        heard()
    return b"".join(chunks), kind


def parse(body: bytes, kind: str, limits: Limits) -> Form | Question:
    """What a whole body of a content type asks for; a `RequestError` where that is too much."""
    of_json = kind.lower().startswith(JSON)
    asked = _from_json(body, limits) if of_json else _from_form(Form, "image", body, kind, limits)
    if len(asked.image) > limits.picture_bytes:
        raise _too_large("image", limits)
    persons = len(asked.boxes or [])
    few = ""
    if persons > limits.boxes:
        few = f"at most {limits.boxes} are taken"
    elif persons > MAPS_PERSONS and (asked.heatmaps or asked.attention):
        few = f"heatmaps and attention are answered for at most {MAPS_PERSONS}"
    if few:
        raise RequestError(422, "too_many_boxes", f"{counted(persons, 'box', 'boxes')}: {few}")
    return asked


def parse_video(body: bytes, kind: str, limits: Limits) -> VideoForm:
    """The same of a video."""
    asked = _from_form(VideoForm, "video", body, kind, limits)
    if len(asked.video) > limits.picture_bytes:
        raise _too_large("video", limits)
    return asked


def _too_large(file: File, limits: Limits, *, unread: bool = False) -> RequestError:
    most = f"larger than {limits.picture_bytes / 1e6:g} MB"
    text = f"the {NAMES[file]}'s file is {most}; reduce it first"
    return RequestError(413, "too_large", text, unread=unread)


def _check_text(what: str, size: int, limits: Limits) -> None:
    """Refuse a text longer than those of all boxes: taken apart, it takes many times its memory."""
    most = TEXT_OF_BOX * (1 + limits.boxes)
    if size > most:
        text = f"{what} {size} bytes; at most {most} are taken for {limits.boxes} boxes"
        raise RequestError(422, "bad_request", text)


def _from_json(body: bytes, limits: Limits) -> Question:
    longest = end = 0
    for _ in range(FEW):
        if (begin := body.find(b'"', end)) < 0:
            break
        text = _STRING.match(body, begin)
        if text is None:
            raise RequestError(422, "bad_request", "body: faulty JSON: its last string has no end")
        end = text.end()
        longest = max(longest, end - begin)
    _check_text("body: beside the picture it has", len(body) - longest, limits)
    return _validated(Question.model_validate_json, body)


def _from_form(form: type[Asked], file: File, body: bytes, kind: str, limits: Limits) -> Asked:
    parts = _parts([*form.model_fields], file, body, kind, limits)
    given = {name: part for name, part in parts.items() if part or name == file}
    return _validated(form.model_validate, given)


def _parts(
    fields: list[str], file: File, body: bytes, kind: str, limits: Limits
) -> dict[str, bytes | str]:
    """The parts of a form by name, all in memory: a photo is not to come on a disk.

    The first part that is unknown, or was there before, ends it, as millions would take long.
    """
    parts: dict[str, bytes | str] = {}
    sent: dict[str, str] = {}  # names of files
    ended: list[bool] = []

    def keep(part: Field | FilePart) -> None:
        name = (part.field_name or b"").decode(errors="replace")
        if name not in fields:
            raise FormParserError(f"it may have {', '.join(fields)}, got {name!r}")
        if name in parts:
            raise FormParserError(f"two parts are named {name!r}")
        if isinstance(part, FilePart):
            part.file_object.seek(0)
            path = (part.file_name or b"").decode(errors="replace")
            sent[name] = PureWindowsPath(path).name[:LONGEST_NAME]
        value = part.file_object.read() if isinstance(part, FilePart) else part.value or b""
        if name != file:
            _check_text(f"{name}: a text of", len(value), limits)
        parts[name] = value if name == file else value.decode(errors="replace")

    try:
        boundary = parse_options_header(kind)[1].get(b"boundary")
        if not boundary:
            raise FormParserError("the content type names no boundary")
        memory = {"MAX_MEMORY_FILE_SIZE": math.inf}
        parser = FormParser(
            MULTIPART, keep, keep, lambda: ended.append(True), boundary, config=memory
        )
        parser.write(body)
        parser.finalize()
        if not ended:
            raise FormParserError("its last boundary is missing")
    except FormParserError as error:
        text = f"not a whole multipart form with a file named {file}: {error}"
        raise RequestError(422, "bad_request", text) from None
    return {"file_name": sent.get(file, ""), **parts}


def _validated(validate: Callable[[Any], Asked], given: Any) -> Asked:
    """What is given, or the first thing that is wrong with it, in one line."""
    try:
        return validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"])) or "body"
    text, value = f"{place}: {in_words(first['msg'])}", first["input"]
    long = isinstance(value, str | bytes) and len(value) > LONGEST_ECHO
    if first["type"] != "missing" and not long:
        value = json.dumps(value, default=lambda raw: raw.decode(errors="replace"))
        text += f", got {value}" if len(value) <= LONGEST_ECHO else ""
    code = "bad_base64" if first["type"] == "bad_base64" else "bad_request"
    if place.startswith("boxes"):
        text += "; boxes are [[x0, y0, x1, y1], ...]"
        code = "bad_boxes" if isinstance(given, dict) else code  # of a form
    raise RequestError(422, code, text)
